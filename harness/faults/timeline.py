"""Faults at given instants, or drawn at a rate: a component like any other, that asks for them to be injected."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from harness.engine.component import (
    MS,
    SECOND,
    Delete,
    DisturbProvider,
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
    RestoreSnapshot,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.faults.fault import Fault
from harness.faults.registry import FAULTS
from harness.faults.running_actions import ActionToken, RunningActions
from harness.faults.targets import Targets
from harness.model.errors import UserError, did_you_mean
from harness.model.objects import kind_of
from harness.model.times import parse_duration

AGAIN_NS = 10 * MS
"""After a conflict a change is made again. Source: client-go util/retry DefaultRetry, 10 ms."""

LEAST_EVERY_NS = 10**9
"""Faults that come more often keep a run busy for hours, and leave no time in which anything recovers."""

WHEN = ("at", "every", "until")
"""Keys of an entry besides the fault's name: one fault `at` an instant, or again and again `every` so long on average
(exponentially), `until` an instant or else the end."""


class Planned(msgspec.Struct, frozen=True):
    """`at_ns` of the first time; `every_ns` 0: once; `until_ns` 0: for ever."""

    at_ns: int
    every_ns: int
    fault: Fault
    until_ns: int = 0

    @property
    def quiet_from_ns(self) -> int | None:
        """From here on it changes nothing any more: undone, or for good; None: it comes until the end."""
        if self.every_ns and not self.until_ns:
            return None
        return max(self.at_ns, self.until_ns) + (self.fault.lasts_ns() or 0)


def parse(items: Sequence[Any], where: str = "faults") -> tuple[Planned, ...]:
    """From plain data. Raises UserError naming the entry and what is wrong with it."""
    return tuple(_entry(item, f"{where}[{index}]") for index, item in enumerate(items))


def _entry(item: Any, where: str) -> Planned:
    if not isinstance(item, dict):
        expected = "a mapping with at, and one of " + ", ".join(FAULTS.names())
        raise UserError(f"{where}: not a fault", found=repr(item), expected=expected)
    named = [str(key) for key in item if key not in WHEN]
    for name in named:
        _known(name, where)
    if len(named) != 1:
        expected = "one of " + ", ".join(FAULTS.names())
        raise UserError(f"{where}: one fault an entry", found=str(len(named)), expected=expected)
    if ("at" in item) == ("every" in item):
        raise UserError(f"{where}: when?", expected="either at or every")
    if "until" in item and "every" not in item:
        raise UserError(f"{where}: until is of faults that come again", expected="every beside it")
    try:
        at, every, until = (_instant(item, key, where) for key in WHEN)
        if "every" in item and every < LEAST_EVERY_NS:
            raise UserError(f"{where}.every: too often", found=item["every"], expected="1s or more, on average")
        if "until" in item and not until:
            raise UserError(f"{where}.until: the faults end before they begin", found=item["until"])
    except ValueError as error:
        raise UserError(f"{where}: {error}", expected="durations such as 90s or 10m") from None
    fault = read_fault(named[0], item[named[0]], where)
    if "at" in item and (before := _prepares_ns(fault)) > at:
        found = f"at {item['at']}, {before / SECOND:g} s of preparation"
        raise UserError(f"{where}: {named[0]} would have to be prepared before the run begins", found=found)
    return Planned(at, every, fault, until)


def _prepares_ns(fault: Fault) -> int:
    """How long before its instant a fault has something to do (`prepared`, `of_prepared`); 0: it has not."""
    return int(getattr(fault, "prepares_ns", 0))


def read_fault(name: str, data: Any, where: str) -> Fault:
    """One fault from what stands under its name. Raises UserError."""
    try:
        fault = _fault(name, data, where)
        fault.effects(Targets(), Random(0))  # its fields are read here, so that a wrong one is told at once
        fault.lasts_ns()
        _prepares_ns(fault)
    except ValueError as error:
        raise UserError(f"{where}: {error}", expected="durations such as 90s or 10m") from None
    except UserError as error:
        if error.what.startswith(where):
            raise
        about = {"found": error.found, "expected": error.expected, "hint": error.hint}
        raise UserError(f"{where}.{name}.{error.what}", **about) from None  # type: ignore[arg-type]
    return fault


def read_fault_on_demand(name: str, data: Any, where: str) -> Fault:
    """One that somebody asks for now. Raises UserError, also for a fault that needed a preparation."""
    fault = read_fault(name, data, where)
    if _prepares_ns(fault):
        hint = "podyard snapshot FILE, and podyard restore FILE later" if name == "etcdRestore" else None
        raise UserError(f"{where}: {name} has to be prepared earlier, as on a scenario's timeline", hint=hint)
    return fault


def _known(name: str, where: str) -> None:
    if ":" in name or name in FAULTS.names():
        return
    known = (*WHEN, *FAULTS.names())
    raise UserError(f"{where}: unknown key {name!r}", expected=", ".join(known), hint=did_you_mean(name, known))


def _instant(item: dict[str, Any], key: str, where: str) -> int:
    text = item.get(key, "0s")
    if not isinstance(text, str):
        raise UserError(f"{where}.{key}: not a duration", found=repr(text), expected="text such as 90s or 10m")
    return parse_duration(text)


def _fault(name: str, data: Any, where: str) -> Fault:
    try:
        kind: type[Fault] = FAULTS.load(name)
    except UserError as error:
        raise UserError(f"{where}: {error.what}", found=error.found, expected=error.expected, hint=error.hint) from None
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$")
        path = at.rstrip("`")
        known: tuple[str, ...] = getattr(kind, "__struct_encode_fields__", ())
        expected = ", ".join(known) if not path and "unknown field" in what else None
        raise UserError(f"{where}.{name}{path}: {what}", expected=expected) from None


_CAUSED = (
    InjectFault,
    RestartApiServer,
    RestoreSnapshot,
    RestartProcess,
    DisturbWatches,
    DisturbProvider,
    DisturbRegistry,
)
"""Effects that carry which fault they are of."""


def with_fault_events(injected: Sequence[Effect], about: tuple[int, str], cause: int) -> list[Effect]:
    """What a fault does, with the facts that measures go by. `about`: index of the entry, name of the fault's class;
    `cause`: which of all faults of the cluster it is, counted from 1."""
    effects: list[Effect] = [Observe("fault", (*about, len(injected), cause))]
    effects += [
        Observe("podDeleted", (effect.namespace, effect.name, cause))
        for effect in injected
        if isinstance(effect, Delete) and effect.kind == "Pod"
    ]
    effects += [
        msgspec.structs.replace(effect, cause=cause) if isinstance(effect, _CAUSED) else effect for effect in injected
    ]
    return effects


def told_short(targets: Targets, cause: int) -> list[Effect]:
    """The fact that a fault found fewer targets than it asks for, where it did."""
    short = targets.take_short()
    return [] if short is None else [Observe("faultShort", (cause, *short))]


def _written(effect: Any) -> tuple[str, str, str] | None:
    """Kind, namespace and name of what an effect writes."""
    match effect:
        case Delete(kind, namespace, name):
            return (kind, namespace, name)
        case Update(obj):
            return (kind_of(obj), obj.metadata.namespace, obj.metadata.name)
        case _:
            return None


class _Again(msgspec.Struct, frozen=True):
    """A change to be made from the newest version of its object; `index` of the entry."""

    index: int


class _Prepare(msgspec.Struct, frozen=True):
    """A fault is due later that has something to do now; `index` of the entry, `turn` of an entry that comes again."""

    index: int
    turn: int


class Timeline:
    """`start`: the instant at which the cluster's clock stands; what was due before has been."""

    name = "faults"
    handled_failures = 0

    def __init__(self, planned: tuple[Planned, ...], rng: Random, start: Instant = 0) -> None:
        self._planned = planned
        self._rng = rng
        self._start = start
        others = {kind: None for item in planned for kind in getattr(item.fault, "watches", ())}
        self.watches = ("Node", "Pod", *others)
        self._targets = Targets()
        self._begun = False
        self._injected = 0
        self._turns: dict[int, int] = {}  # how often entries with a preparation have come, by index
        self._causes: dict[tuple[str, str, str] | None, int] = {}  # by what was written last
        self._actions = RunningActions()

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, (Watch, Relist)):
                self._targets.observe(event)
            elif isinstance(event, Start) and not self._begun:
                self._begun = True
                for index, planned in enumerate(self._planned):
                    if planned.every_ns:
                        self._draw(now, index, effects)
                    elif planned.at_ns >= self._start:
                        self._wait(now, planned.at_ns, index, effects)
            elif isinstance(event, Timer) and isinstance(event.token, int):
                self._inject(now, event.token, effects)
            elif isinstance(event, Timer) and isinstance(event.token, _Prepare):
                token = event.token
                fault: Any = self._planned[token.index].fault
                effects += fault.prepared(self._name_of(token.index, token.turn))
            elif isinstance(event, Timer) and isinstance(event.token, _Again):
                effects += self._effects(event.token.index)
            elif isinstance(event, Timer) and isinstance(event.token, ActionToken):
                effects += self._actions.on_timer(now, event.token, self._targets)
            elif isinstance(event, Timer):
                effects.append(event.token)
            elif isinstance(event, Outcome) and isinstance(event.effect.token, ActionToken):
                self.handled_failures += event.error is not None
                effects += self._actions.on_outcome(now, event, self._targets)
            elif isinstance(event, Outcome) and event.error is not None:
                self.handled_failures += 1
                if event.error.code >= 500 or event.error.code == 429:
                    effects.append(WakeAt(now + SECOND, event.effect))  # whoever made it asks again; else it failed
                elif event.error.reason == "Conflict" and isinstance(event.effect.token, _Again):
                    effects.append(WakeAt(now + AGAIN_NS, event.effect.token))
                else:
                    effects += self._refused(event)
        return effects

    def _wait(self, now: Instant, at: Instant, index: int, effects: list[Effect]) -> None:
        """For the instant of a fault, and for that at which it is prepared."""
        if before := _prepares_ns(self._planned[index].fault):
            turn = self._turns[index] = self._turns.get(index, 0) + 1
            effects.append(WakeAt(max(now, at - before), _Prepare(index, turn)))
        effects.append(WakeAt(at, index))

    def _name_of(self, index: int, turn: int) -> str:
        return f"{index}/{turn}"

    def _refused(self, outcome: Outcome) -> list[Effect]:
        """The fact that a write of a fault has failed for good."""
        cause = self._causes.get(_written(outcome.effect), 0)
        return [Observe("faultRefused", (cause, str(outcome.error)))] if cause else []

    def _effects(self, index: int) -> list[Effect]:
        """Of a change that was made from a version of its object: marked, so that it can be made again."""
        if index in self._turns:
            fault: Any = self._planned[index].fault
            return list(fault.of_prepared(self._name_of(index, self._turns[index])))
        return [
            msgspec.structs.replace(effect, token=_Again(index))
            if isinstance(effect, Update) and effect.obj.metadata.resource_version
            else effect
            for effect in self._planned[index].fault.effects(self._targets, self._rng)
        ]

    def _draw(self, now: int, index: int, effects: list[Effect]) -> None:
        planned = self._planned[index]
        at = now + max(1, round(self._rng.expovariate(1.0) * planned.every_ns))
        if not planned.until_ns or at < planned.until_ns:
            self._wait(now, at, index, effects)

    def _inject(self, now: int, index: int, effects: list[Effect]) -> None:
        planned = self._planned[index]
        self._injected += 1
        about, cause = (index, type(planned.fault).__name__), self._injected
        self._targets.take_short()
        if hasattr(planned.fault, "begin"):
            effects += self._actions.begin(now, planned.fault, about, cause, self._targets, self._rng)
        else:
            injected = self._effects(index)
            self._causes.update((_written(item), cause) for item in injected if isinstance(item, (Delete, Update)))
            effects += with_fault_events(injected, about, cause)
        effects += told_short(self._targets, cause)
        if planned.every_ns:
            self._draw(now, index, effects)
