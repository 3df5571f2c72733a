"""The loop that controllers share: a key that raises is contained, told and tried again; the others go on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import (
    MODIFIED,
    SECOND,
    Create,
    Effect,
    Event,
    Outcome,
    Record,
    Start,
    Timer,
    WakeAt,
    Watch,
)
from harness.model.core import Node, Pod
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError


class Copies(Reconciler):
    """A pod for each node; `bad` names what raises, and where."""

    def __init__(self) -> None:
        super().__init__("copies", {"Node": self._changed})
        self.bad: tuple[str, str] = ("", "")
        self.done: list[str] = []

    def _changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None:
            self.queue.add(new.metadata.name)

    def _check(self, where: str, key: str) -> None:
        if self.bad == (where, key):
            raise ValueError(f"{key} is bad")

    def reconcile(self, now: int, key: str) -> None:
        self.write(key, Create(Pod(metadata=ObjectMeta(name=key, namespace="default")), key))
        self._check("reconcile", key)

    def succeeded(self, key: str, outcome: Outcome) -> None:
        self._check("succeeded", key)

    def settled(self, now: int, key: str, failures: Sequence[Outcome]) -> None:
        super().settled(now, key, failures)
        self.done.append(key)


def node(name: str) -> Watch:
    return Watch(MODIFIED, Node(metadata=ObjectMeta(name=name, uid=f"uid-{name}")))


def step(made: Copies, at_s: float, *events: Event) -> list[Effect]:
    return list(made.step(round(at_s * SECOND), events))


def created(effects: list[Effect]) -> list[str]:
    return [effect.obj.metadata.name for effect in effects if isinstance(effect, Create)]


def told(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, Record)]


@pytest.mark.parametrize("where", ["reconcile", "succeeded"])
def test_a_key_that_raises_is_told_and_tried_again(where: str) -> None:
    made = Copies()
    step(made, 0, Start())
    made.bad = (where, "bad")
    effects = step(made, 1, node("bad"), node("good"))
    if where == "succeeded":
        assert created(effects) == ["bad", "good"]
        effects = step(
            made, 2, *(Outcome(effect, effect.obj, None) for effect in effects if isinstance(effect, Create))
        )
        assert made.done == ["good"]
    else:
        assert created(effects) == ["good"], "nothing of the attempt that raised is written"
    assert told(effects) == ["ComponentFault"]
    assert any(type(effect).__name__ == "Observe" for effect in effects)
    made.bad = ("", "")
    (wake,) = [effect for effect in effects if isinstance(effect, WakeAt)]
    assert created(list(made.step(wake.at, (Timer(wake.token),)))) == ["bad"]


def test_a_key_is_not_looked_at_again_before_its_writes_are_answered() -> None:
    made = Copies()
    step(made, 0, Start())
    (first,) = step(made, 1, node("a"))
    assert isinstance(first, Create)
    assert step(made, 2, node("a")) == []
    assert created(step(made, 3, Outcome(first, first.obj, None))) == ["a"], "what came meanwhile is looked at now"


def test_a_refusal_is_retried_ever_later_and_a_success_forgives() -> None:
    made = Copies()
    step(made, 0, Start())
    effects = step(made, 1, node("a"))
    waits = []
    at = SECOND
    for _ in range(4):
        (create,) = [effect for effect in effects if isinstance(effect, Create)]
        (wake,) = made.step(at, (Outcome(create, None, ApiError(500, "InternalError", "no")),))
        assert isinstance(wake, WakeAt)
        waits.append(wake.at - at)
        at = wake.at
        effects = list(made.step(at, (Timer(wake.token),)))
    assert waits == [waits[0] * 2**n for n in range(4)]
    assert made.handled_failures == 4
    (create,) = [effect for effect in effects if isinstance(effect, Create)]
    step(made, at / SECOND, Outcome(create, create.obj, None))
    (create,) = (effect for effect in step(made, at / SECOND + 1, node("a")) if isinstance(effect, Create))
    (wake,) = step(made, at / SECOND + 2, Outcome(create, None, ApiError(500, "InternalError", "no")))
    assert isinstance(wake, WakeAt)
    assert wake.at - round((at / SECOND + 2) * SECOND) == waits[0]
