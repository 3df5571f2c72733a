"""Faults when somebody asks for them, and their end when somebody asks for that: a component of live clusters."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from harness.engine.component import (
    SECOND,
    DisturbRegistry,
    DisturbWatches,
    Effect,
    Event,
    InjectFault,
    Instant,
    Observe,
    Outcome,
    Relist,
    RestartApiServer,
    RestartProcess,
    ResumeProcess,
    Start,
    Subscribe,
    Timer,
    WakeAt,
    Watch,
)
from harness.faults.action import STEP
from harness.faults.fault import Fault
from harness.faults.running_actions import ActionToken, RunningActions
from harness.faults.targets import Targets
from harness.faults.timeline import told_short, with_fault_events
from harness.model.faults import REGISTRY, Crash, Freeze, Partition, Undo

FIRST_CAUSE = 1_000_001
"""Causes of a timeline are counted from 1."""


class Order(msgspec.Struct, frozen=True):
    """A fault that somebody wants, under a name of his."""

    name: str
    fault: Fault


class Recall(msgspec.Struct, frozen=True):
    """The fault of that name ends now."""

    name: str


class Injected(msgspec.Struct, frozen=True):
    """What became of an order: effects 0: there was nothing to be hit. `undoable`: it lasts, and can be ended."""

    name: str
    cause: int
    effects: int
    targets: tuple[str, ...]
    undoable: bool


class FaultsOnDemand:
    """Orders come as timers. `take` tells, between two steps, what has been injected."""

    name = "faults-on-demand"
    watches = ("Node", "Pod")
    handled_failures = 0

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._targets = Targets()
        self._seen = set(self.watches)
        self._held: dict[str, tuple[int, list[Effect]]] = {}  # cause and what ends it, by name
        self._actions = RunningActions()
        self._injected: list[Injected] = []
        self._cause = FIRST_CAUSE

    def take(self) -> list[Injected]:
        out, self._injected = self._injected, []
        return out

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            match event:
                case Watch() | Relist():
                    self._targets.observe(event)
                case Timer(Order() as order):
                    self._order(now, order, effects)
                case Timer(Recall(name)):
                    effects += self._recall(name)
                case Timer(ActionToken() as token):
                    effects += self._actions.on_timer(now, token, self._targets)
                case Timer(effect):
                    effects.append(effect)
                case Outcome(Subscribe(_, Order() as order)):
                    self._inject(now, order, effects)
                case Outcome() if isinstance(event.effect.token, ActionToken):
                    self.handled_failures += event.error is not None
                    effects += self._actions.on_outcome(now, event, self._targets)
                case Outcome() if event.error is not None:
                    self.handled_failures += 1
                    if event.error.code >= 500 or event.error.code == 429:
                        effects.append(WakeAt(now + SECOND, event.effect))
                case Start() | Outcome():
                    pass
                case _:
                    raise AssertionError(event)
        return effects

    def _order(self, now: Instant, order: Order, effects: list[Effect]) -> None:
        unseen = tuple(kind for kind in getattr(order.fault, "watches", ()) if kind not in self._seen)
        if unseen:
            self._seen.update(unseen)
            effects.append(Subscribe(unseen, order))  # injected when all that is there has been heard of
        else:
            self._inject(now, order, effects)

    def _inject(self, now: Instant, order: Order, effects: list[Effect]) -> None:
        cause, self._cause = self._cause, self._cause + 1
        about = (-1, type(order.fault).__name__)
        self._targets.take_short()
        if hasattr(order.fault, "begin"):
            begun = self._actions.begin(now, order.fault, about, cause, self._targets, self._rng)
            effects += [*begun, *told_short(self._targets, cause)]
            writes = [effect for effect in begun if not isinstance(effect, Observe | WakeAt)]
            steps = (effect for effect in begun if isinstance(effect, Observe) and effect.topic == STEP)
            nodes = dict.fromkeys(about for _, _, about, _ in (step.data for step in steps) if about)
            self._injected.append(Injected(order.name, cause, len(writes) or len(nodes), tuple(nodes), False))
            return
        injected = list(order.fault.effects(self._targets, self._rng))
        effects += [*with_fault_events(injected, about, cause), *told_short(self._targets, cause)]
        ends = [end for effect in injected if (end := _end_of(effect)) is not None]
        if ends:
            self._held[order.name] = (cause, ends)
        targets = tuple(target for effect in injected for target in _targets_of(effect))
        self._injected.append(Injected(order.name, cause, len(injected), targets, bool(ends)))

    def _recall(self, name: str) -> list[Effect]:
        held = self._held.pop(name, None)
        if held is None:
            return []
        cause, ends = held
        return [*ends, Observe("faultUndone", (cause,))]


def _end_of(effect: Effect) -> Effect | None:
    """What undoes an effect; None where nothing does."""
    match effect:
        case InjectFault(nodes, Crash()):
            return InjectFault(nodes, Undo("crash"))
        case InjectFault(nodes, Freeze()):
            return InjectFault(nodes, Undo("freeze"))
        case InjectFault(nodes, Partition()):
            return InjectFault(nodes, Undo("partition"))
        case DisturbRegistry(images, does):
            return DisturbRegistry(images, does, 0)
        case RestartProcess(process):
            return ResumeProcess(process)
        case _:
            return None


def _targets_of(effect: Effect) -> tuple[str, ...]:
    match effect:
        case InjectFault(nodes):
            return nodes
        case RestartProcess(process) | DisturbWatches(process):
            return (process,)
        case RestartApiServer():
            return ("apiserver",)
        case DisturbRegistry():
            return (REGISTRY,)
        case _:
            name = getattr(effect, "name", "") or getattr(getattr(effect, "obj", None), "metadata", None)
            return (name if isinstance(name, str) else name.name,) if name else ()
