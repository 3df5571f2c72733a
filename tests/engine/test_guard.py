"""One bad object ends neither a component nor a cluster: it is told, left out, and shown again when it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.cluster.assembly import ClusterPlan, assemble
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import (
    MINUTE,
    SECOND,
    Create,
    Effect,
    Event,
    Instant,
    Outcome,
    Start,
    Timer,
    WakeAt,
    Watch,
)
from harness.model.core import ConfigMap
from harness.model.meta import ObjectMeta
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

pytestmark = pytest.mark.component_faults


class Reader:
    """Knows the number that each ConfigMap holds; has never heard that one may hold something else."""

    name = "reader"
    watches = ("ConfigMap",)

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.starts = 0

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        for event in events:
            if isinstance(event, Start):
                self.starts += 1
                self.known.clear()
            elif isinstance(event, Watch):
                self.known.pop(event.obj.metadata.name, None)
                if event.type != "DELETED":
                    self.known[event.obj.metadata.name] = int(event.obj.data["number"])
        return []


def config_map(name: str, number: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data={"number": number})


class Story:
    def __init__(self, *components: Any) -> None:
        plan = ClusterPlan(controllers=(), components=components)
        self.cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.run(1)

    def run(self, seconds: float) -> None:
        self.cluster.run(self.cluster.now + round(seconds * SECOND))
        self.cluster.server.now = self.cluster.now

    def put(self, *items: tuple[str, str]) -> None:
        """In one batch, so that one step is told of them all."""
        server = self.cluster.server
        for name, number in items:
            obj = config_map(name, number)
            if f"default/{name}" in server.objects("ConfigMap"):
                server.update(obj)
            else:
                server.create(obj)
        self.cluster.api.flush(self.cluster.now)
        self.run(1)


def test_the_others_are_known_whatever_batch_the_bad_one_comes_in() -> None:
    reader = Reader()
    story = Story(reader)
    story.put(("a", "1"), ("bad", "many"), ("b", "2"))
    assert reader.known == {"a": 1, "b": 2}
    story.put(("c", "3"))
    assert reader.known == {"a": 1, "b": 2, "c": 3}


def test_a_fault_names_component_object_error_and_function() -> None:
    story = Story(Reader())
    story.put(("a", "1"), ("bad", "many"))
    (told,) = story.cluster.component_faults
    assert told.startswith("component reader failed on ConfigMap default/bad: ValueError: invalid literal for int()")
    assert "test_guard.Reader.step, line " in told
    (event,) = [item for item in story.cluster.server.listed("Event") if item.reason == "ComponentFault"]
    assert event.involved_object.name == "bad"


def test_what_was_bad_is_shown_as_soon_as_it_changes() -> None:
    reader = Reader()
    story = Story(reader)
    story.put(("bad", "many"))
    story.put(("bad", "7"))
    assert reader.known == {"bad": 7}


def test_what_is_bad_and_goes_is_forgotten() -> None:
    reader = Reader()
    story = Story(reader)
    story.put(("bad", "many"), ("a", "1"))
    story.cluster.server.delete("ConfigMap", "default", "bad")
    story.cluster.api.flush(story.cluster.now)
    story.run(MINUTE / SECOND)
    assert reader.known == {"a": 1}


def test_a_bad_object_is_tried_again_ever_more_seldom() -> None:
    reader = Reader()
    story = Story(reader)
    story.put(("bad", "many"), ("a", "1"))
    starts = reader.starts
    story.run(1200)
    # After 10, 20, 40, .., 300 s: a restart each.
    assert 5 <= reader.starts - starts <= 9
    assert reader.known == {"a": 1}


def test_many_bad_objects_cost_a_restart_or_two_not_one_each() -> None:
    reader = Reader()
    story = Story(reader)
    story.put(*((f"bad{i}", "x") for i in range(50)), ("a", "1"))
    assert reader.known == {"a": 1}
    assert reader.starts <= 4


class Ticking:
    """Raises on its timer, for no object's sake, until `well`."""

    name = "ticking"
    watches = ()

    def __init__(self) -> None:
        self.ticks = self.starts = 0
        self.well = False

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, Start):
                self.starts += 1
                effects.append(WakeAt(now + SECOND, "tick"))
            elif isinstance(event, Timer):
                self.ticks += 1
                if not self.well:
                    raise RuntimeError("not well")
                effects.append(WakeAt(now + SECOND, "tick"))
        return effects


def test_a_component_that_fails_by_itself_is_started_again_after_a_backoff() -> None:
    ticking = Ticking()
    story = Story(ticking)
    story.run(65)
    assert ticking.starts == 3  # at 0, and 10 and 20 s after it failed for the first and the second time
    ticking.well = True
    story.run(400)
    assert ticking.ticks > 300
    assert story.cluster.component_faults[0].startswith("component ticking failed: RuntimeError: not well (in ")


class Careless:
    """Asks for what is there already, and does not listen to the answer."""

    name = "careless"
    watches = ()

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        if any(isinstance(event, Start) for event in events):
            return [Create(config_map("a", "1")), Create(config_map("a", "1"))]
        return []


class Careful(Careless):
    name = "careful"
    handled_failures = 0

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        self.handled_failures += sum(isinstance(event, Outcome) and event.error is not None for event in events)
        return super().step(now, events)


def test_a_failed_write_that_nobody_handles_is_told() -> None:
    assert Story(Careful()).cluster.component_faults == []
    (told,) = Story(Careless()).cluster.component_faults
    assert told.startswith("component careless did not handle that a write failed: Create: configmaps")


class Doubling(Reconciler):
    """Makes a second ConfigMap of each; cannot be told one that holds no number."""

    def __init__(self) -> None:
        super().__init__("doubling", {"ConfigMap": self._changed})

    def _changed(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        if new is not None and not new.metadata.name.endswith("-twice"):
            self.queue.add(new.metadata.key)

    def reconcile(self, now: Instant, key: str) -> None:
        found: ConfigMap | None = self.informer.get("ConfigMap", key)
        if found is None or self.informer.get("ConfigMap", f"{key}-twice") is not None:
            return
        number = int(found.data["number"])
        self.write(key, Create(config_map(f"{found.metadata.name}-twice", str(2 * number)), key))


def test_a_reconciler_goes_on_with_its_other_keys_and_needs_no_restart() -> None:
    story = Story(Doubling())
    story.put(("a", "1"), ("bad", "many"), ("b", "2"))
    there = story.cluster.server.objects("ConfigMap")
    assert {"default/a-twice", "default/b-twice"} <= set(there)
    (told,) = story.cluster.component_faults
    assert told.startswith("component doubling failed on ConfigMap default/bad: ValueError")
    story.put(("bad", "4"))
    assert there["default/bad-twice"].data["number"] == "8"
