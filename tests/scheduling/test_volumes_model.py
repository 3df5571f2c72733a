"""Claims, volumes and classes through any course of events against a model in plain Python."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.model.core import Pod
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire
from harness.model.storage import PersistentVolume
from harness.model.wire import Time
from harness.scheduling.feasibility.fit_error import diagnose, reasons_on_node
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from tests.examples import examples
from tests.scheduling import naive_volumes as naive
from tests.scheduling.test_volumes import DONE, OLD_ZONE, REGION, ZONE, claim, node, place, pod, storage_class, volume

NODES = tuple(f"n{index}" for index in range(5))
CLAIMS = tuple(f"c{index}" for index in range(5))
VOLUMES = tuple(f"v{index}" for index in range(5))
CLASSES = {
    "late": storage_class("late", "kubernetes.io/no-provisioner"),
    "made": storage_class("made", "disk.csi", "WaitForFirstConsumer", "a", "b"),
    "anywhere": storage_class("anywhere", "disk.csi"),
    "now": storage_class("now", "disk.csi", "Immediate"),
}
zones = st.sampled_from(("", "a", "b", "c"))
labels = st.builds(
    lambda zone, old, region: {key: value for key, value in ((ZONE, zone), (OLD_ZONE, old), (REGION, region)) if value},
    zones, st.sampled_from(("", "", "a", "b")), st.sampled_from(("", "", "r", "s")),
)  # fmt: skip
affinities = st.one_of(
    st.none(),
    st.builds(lambda zone: {ZONE: zone}, st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)),
    st.builds(lambda name: {"kubernetes.io/hostname": [name]}, st.sampled_from(NODES)),
    st.just({ZONE: ["a", "b"], REGION: ["r"]}),
)
sizes = st.sampled_from(("1Gi", "2Gi", "3Gi"))
kinds = st.sampled_from(("late", "late", "made", "anywhere", "now", "unheard-of"))
modes = st.sampled_from((["ReadWriteOnce"], ["ReadWriteOncePod"], ["ReadWriteMany"]))


@st.composite
def volumes(draw: st.DrawFn) -> dict[str, Any]:
    labels = draw(st.sampled_from(({}, {}, {"tier": "fast"}, {ZONE: "a"}, {ZONE: "a__b"}, {OLD_ZONE: "b"})))
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce", *draw(modes)]}
    reserved = draw(st.sampled_from(("", "", "", *CLAIMS)))
    if reserved:
        uid = draw(st.sampled_from(("", reserved, "another")))
        spec["claimRef"] = {"namespace": "default", "name": reserved, "uid": uid}
    return {
        "of": draw(kinds), "storage": draw(sizes), "labels": labels, "at": draw(affinities), "spec": spec,
        "phase": draw(st.sampled_from(("Available", "Available", "Available", "Bound", "Pending"))),
        "going": draw(st.integers(0, 9)) == 0,
    }  # fmt: skip


@st.composite
def claims(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "of": draw(kinds), "storage": draw(sizes), "modes": draw(modes),
        "volume": draw(st.sampled_from(("", "", "", *VOLUMES))), "complete": draw(st.integers(0, 4)) > 0,
        "selected": draw(st.sampled_from(("", "", "", "", *NODES))), "fast": draw(st.integers(0, 4)) == 0,
        "phase": draw(st.sampled_from(("Pending", "Bound", "Bound", "Bound", "Lost"))),
        "going": draw(st.integers(0, 9)) == 0,
    }  # fmt: skip


class VolumesMachine(RuleBasedStateMachine):
    """Nodes, claims, volumes and classes come, change and go; pods are placed, and what they were promised is held."""

    @initialize(found=st.lists(labels, min_size=2, max_size=4), there=st.lists(volumes(), min_size=2, max_size=5))
    def start(self, found: list[dict[str, str]], there: list[dict[str, Any]]) -> None:
        self.on = Snapshot()
        self.world = naive.Storage()
        self.made = 0
        self.placed: dict[str, tuple[Pod, list[str], str]] = {}  # by key: pod, claims, node
        self.asked: list[list[str]] = [["c0"], ["c1", "c2"]]
        for index, each in enumerate(found):
            self.put_node(f"n{index}", each)
        for index, given in enumerate(there):
            self.put_volume(f"v{index}", given)
        for name in ("late", "made", "anywhere"):
            self.put_class(name)
        for index in range(3):
            self.put_claim(f"c{index}", _PLAIN | {"of": ("late", "made", "late")[index]})

    @rule(name=st.sampled_from(NODES), labels=labels)
    def put_node(self, name: str, labels: dict[str, str]) -> None:
        item = node(name, **labels)
        known = name in self.world.nodes
        self.world.nodes[name] = item
        (self.on.update_node if known else self.on.add_node)(**node_columns(item))

    @precondition(lambda self: len(self.world.nodes) > 2)
    @rule(name=st.sampled_from(NODES))
    def drop_node(self, name: str) -> None:
        if name in self.world.nodes:
            for key in [key for key, (_, _, at) in self.placed.items() if at == name]:
                self.give_back(key)
            del self.world.nodes[name]
            self.on.remove_node(name)

    @rule(name=st.sampled_from(VOLUMES), given=volumes())
    def put_volume(self, name: str, given: dict[str, Any]) -> None:
        item = volume(name, given["of"], given["storage"], labels=given["labels"], at=given["at"], **given["spec"])
        if name in self.world.taken:
            return  # what a promise speaks of changes by binding alone
        going = Time(1) if given["going"] else None
        item = PersistentVolume(
            metadata=ObjectMeta(name=name, labels=item.metadata.labels, deletion_timestamp=going),
            spec=item.spec,
            status=type(item.status)(phase=given["phase"]),
        )
        self.world.volumes[name] = item
        self.on.tables.learn_volumes(item)

    @rule(name=st.sampled_from(VOLUMES))
    def drop_volume(self, name: str) -> None:
        item = self.world.volumes.get(name)
        if item is not None and name not in self.world.taken:
            del self.world.volumes[name]
            self.on.tables.learn_volumes(item, gone=True)

    @rule(name=st.sampled_from(CLAIMS), given=claims())
    def put_claim(self, name: str, given: dict[str, Any]) -> None:
        if name in self.world.selected or name in self.world.taken.values():
            return
        annotations = dict(DONE) if given["volume"] and given["complete"] else {}
        if given["selected"]:
            annotations[naive.SELECTED] = given["selected"]
        item = claim(name, given["of"], given["storage"])
        spec = {"accessModes": given["modes"], "volumeName": given["volume"], "storageClassName": given["of"]}
        spec["resources"] = {"requests": {"storage": given["storage"]}}
        if given["fast"]:
            spec["selector"] = {"matchLabels": {"tier": "fast"}}
        meta = {"name": name, "namespace": "default", "uid": name, "annotations": annotations}
        if given["going"]:
            meta["deletionTimestamp"] = "2025-01-01T00:00:10Z"
        wire = {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec, "status": {"phase": given["phase"]}}
        item = from_wire(wire)
        self.world.claims[name] = item
        self.on.tables.learn_volumes(item)

    @rule(name=st.sampled_from(CLAIMS))
    def drop_claim(self, name: str) -> None:
        if name in self.world.claims and name not in self.world.selected and name not in self.world.taken.values():
            self.on.tables.learn_volumes(self.world.claims.pop(name), gone=True)

    @rule(name=st.sampled_from(sorted(CLASSES)))
    def put_class(self, name: str) -> None:
        self.world.classes[name] = CLASSES[name]
        self.on.tables.learn_volumes(CLASSES[name])

    @rule(names=st.lists(st.sampled_from(CLAIMS), min_size=1, max_size=3, unique=True))
    def ask(self, names: list[str]) -> None:
        self.asked = [*self.asked[-4:], names]

    @precondition(lambda self: self.world.nodes)
    @rule(pick=st.integers(0, 4), data=st.data())
    def place(self, pick: int, data: st.DataObject) -> None:
        """Anywhere: what is not legal is refused, with the reasons of the node."""
        names = self.asked[pick % len(self.asked)]
        at = data.draw(st.sampled_from(sorted(self.world.nodes)))
        self.made += 1
        item = pod(f"p{self.made}", *names)
        why = naive.before(self.world, names)
        reasons = [why] if why else naive.reasons(self.world, names, self.world.nodes[at])
        told = place(self.on, item, at)
        assert told == (f"{at}: {', '.join(reasons)}" if reasons else "")
        if reasons:
            return
        wanted = naive.found(self.world, names, self.world.nodes[at])
        assert wanted is not None
        promise = self.on.volumes.reservation_of(item.metadata.key)
        assert promise is not None
        assert {asked.metadata.name: given.metadata.name for asked, given in promise.bindings} == wanted[0]
        assert sorted(asked.metadata.name for asked in promise.provisions) == sorted(wanted[1])
        self.world.taken |= {given: asked for asked, given in wanted[0].items()}
        self.world.selected |= dict.fromkeys(wanted[1], at)
        self.placed[item.metadata.key] = (item, names, at)
        self.world.running = [names for _, names, _ in self.placed.values()]

    @precondition(lambda self: self.placed)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        self.give_back(data.draw(st.sampled_from(sorted(self.placed))))

    def give_back(self, key: str) -> None:
        names = self.placed.pop(key)[1]
        self.on.forget(key)
        self.world.running = [names for _, names, _ in self.placed.values()]
        kept = {name for names in self.world.running for name in names}
        for name in names:
            if name not in kept:
                self.world.selected.pop(name, None)
                self.world.taken = {given: asked for given, asked in self.world.taken.items() if asked != name}

    @invariant()
    def every_node_is_judged_alike(self) -> None:
        if not hasattr(self, "world"):
            return
        for names in self.asked:
            view = self.on.classes.view(pod("asked", *names))
            feasible = self.on.feasible(view)
            why = naive.before(self.world, names)
            counted: Counter[str] = Counter()
            for name, item in self.world.nodes.items():
                index = self.on.node_table.index[name]
                reasons = [why] if why else naive.reasons(self.world, names, item)
                assert feasible[index] == (not reasons), (names, name, reasons)
                assert self.on.verdicts.holds(view.cls, index) == (not reasons)
                assert list(reasons_on_node(self.on, view.cls, index)) == reasons
                counted.update(reasons)
            found = diagnose(self.on, view)
            assert found.pre_filter_message == why
            assert found.reasons == ({} if why else dict(sorted(counted.items())))


_PLAIN: dict[str, Any] = {
    "of": "late", "storage": "1Gi", "modes": ["ReadWriteOnce"], "volume": "", "complete": True, "selected": "",
    "fast": False, "phase": "Pending", "going": False,
}  # fmt: skip

VolumesMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=25, deadline=None)
TestVolumes = VolumesMachine.TestCase
