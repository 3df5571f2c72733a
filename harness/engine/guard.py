"""Around a component: an exception on one object ends neither the component nor the cluster.

A component that raises is suspect: part of a step is done, the rest is not. So it is started again (`Start`, and its
watches list everything anew), as a controller manager that has panicked is. The object at fault is left out meanwhile
and shown again when it changes, or after a backoff; where no object is found, the component itself waits. Each fault is
told (`Observe` of COMPONENT_FAULT, an Event about the object), so that a run can name it at its end.

Also here: whether every write that failed was handled (see Component.handled_failures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.engine.component import (
    DELETED,
    SECOND,
    Component,
    Effect,
    Event,
    Instant,
    Observe,
    Outcome,
    Record,
    Relist,
    Start,
    Subscribe,
    Timer,
    WakeAt,
    Watch,
)
from harness.model.objects import kind_of

COMPONENT_FAULT, UNHANDLED_OUTCOME = "componentFault", "unhandledOutcome"
"""Topics. Data of the first: (component, kind, key, error, where); of the second: (component, what was refused)."""

BACKOFF_FIRST_NS, BACKOFF_MOST_NS = 10 * SECOND, 300 * SECOND
"""Until an object that made its component raise is shown again, or a component that raised for no known object is
started again. Source: the kubelet's crash-loop backoff, which restarts a control plane's static pods."""

CAREFUL_NS = 2 * BACKOFF_MOST_NS
"""How long after a fault its component is given one event at a time."""

MESSAGE_MOST = 300  # characters of an error that are kept


class Misbehaved(Exception):
    """Somebody else's code did what it may not, in a sandbox that knows: `where`, its author's function and line."""

    def __init__(self, told: str, where: str) -> None:
        super().__init__(told)
        self.where = where


class ComponentFault(msgspec.Struct, frozen=True):
    """`kind`, `key`: the object at fault, empty where none was found. `where`: the author's function, file and line."""

    component: str
    kind: str
    key: str
    error: str
    where: str

    def __str__(self) -> str:
        subject = f" on {self.kind} {self.key}" if self.kind else f" on {self.key}" if self.key else ""
        return f"component {self.component} failed{subject}: {self.error} (in {self.where})"

    def observation(self) -> Observe:
        return Observe(COMPONENT_FAULT, (self.component, self.kind, self.key, self.error, self.where))


def fault_of(component: str, error: BaseException, subject: Any = None, key: str = "") -> ComponentFault:
    """`subject`: the object at fault where it is known; else one is looked for in the frames that the error passed."""
    if subject is None and not key:
        subject = _object_in_frames(error)
    kind = "" if subject is None else kind_of(subject)
    known = isinstance(error, Misbehaved)
    text = (str(error) if known else f"{type(error).__name__}: {error}")[:MESSAGE_MOST]
    where = error.where if isinstance(error, Misbehaved) else _where(error)
    return ComponentFault(component, kind, subject.metadata.key if subject is not None else key, text, where)


def event_about(subject: Any, fault: ComponentFault) -> Record:
    return Record(subject, "Warning", "ComponentFault", f"{fault.component}: {fault.error} (in {fault.where})")


def _where(error: BaseException) -> str:
    """The innermost function that is no library's: 'harness.controllers.x.reconcile, line 12'."""
    found = "?"
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "site-packages" not in code.co_filename and not code.co_filename.startswith("<"):
            module = trace.tb_frame.f_globals.get("__name__", "?")
            found = f"{module}.{code.co_qualname}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _object_in_frames(error: BaseException) -> Any:
    """The API object that the innermost function was about: a local variable, or what a watch event there holds."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            if type(value) is Watch:
                value = value.obj
            if isinstance(value, msgspec.Struct) and getattr(getattr(value, "metadata", None), "uid", None):
                found = value
        trace = trace.tb_next
    return found


class _LeftOut:
    """An object that its component is not shown."""

    __slots__ = ("event", "failures", "shown_at")

    def __init__(self, event: Watch, failures: int, shown_at: Instant) -> None:
        self.event = event  # the last that was heard of it
        self.failures = failures
        self.shown_at = shown_at


class Guard:
    """One component's. `faults`: all so far. `unhandled`: writes whose failure it did not handle."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self.name = component.name
        self.watches = component.watches
        self.faults: list[ComponentFault] = []
        self.unhandled: list[str] = []
        self._left_out: dict[tuple[str, str], _LeftOut] = {}
        self._failures: dict[tuple[str, str], int] = {}  # also of objects that are shown again
        self._subscribed: dict[str, None] = dict.fromkeys(component.watches)
        self._down_until = -1  # waiting to be started again
        self._careful_until = 0
        self._crashes = 0

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        if self._left_out or now < self._careful_until:
            return self._step_carefully(now, events)
        try:
            for event in events:
                if type(event) is Outcome and event.error is not None:
                    return self._step_and_audit(now, events)
            effects = self.component.step(now, events)
            return effects if type(effects) is list else list(effects)
        except Exception as error:
            return self._contain(now, events, error)

    def _step_and_audit(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """A step of which it is told which failed writes nobody handled."""
        component = self.component
        failed = sum(type(event) is Outcome and event.error is not None for event in events)
        before = getattr(component, "handled_failures", 0)
        effects = list(component.step(now, events))
        if getattr(component, "handled_failures", 0) - before < failed:
            for event in events:
                if type(event) is Outcome and event.error is not None:
                    what = f"{type(event.effect).__name__}: {event.error}"
                    self.unhandled.append(what)
                    effects.append(Observe(UNHANDLED_OUTCOME, (self.name, what)))
        return effects

    # -- after a fault -------------------------------------------------------------------------------------------------

    def _contain(self, now: Instant, events: Sequence[Event], error: Exception) -> list[Effect]:
        """The step raised: begin again, with the object at fault left out if it is known."""
        effects: list[Effect] = []
        only = events[0] if len(events) == 1 else None
        self._blame(now, only.obj if type(only) is Watch else None, error, effects)
        if only is None:
            self._down_until = -1  # which of the events it was shows when they come one by one
        self._start_again(now, effects)
        return effects

    def _blame(self, now: Instant, subject: Any, error: Exception, effects: list[Effect]) -> None:
        """Tell of the fault, and leave its object out from now on."""
        if subject is None:
            subject = _object_in_frames(error)
        fault = fault_of(self.name, error, subject)
        self._careful_until = now + CAREFUL_NS
        self.faults.append(fault)
        effects.append(fault.observation())
        if subject is None:
            self._crashes += 1
            wait = min(BACKOFF_FIRST_NS << min(self._crashes - 1, 20), BACKOFF_MOST_NS)
            self._down_until = now + wait
            effects.append(WakeAt(self._down_until, self))
            return
        effects.append(event_about(subject, fault))
        at = (fault.kind, fault.key)
        failures = self._failures[at] = self._failures.get(at, 0) + 1
        shown_at = now + min(BACKOFF_FIRST_NS << min(failures - 1, 20), BACKOFF_MOST_NS)
        self._left_out[at] = _LeftOut(Watch("ADDED", subject), failures, shown_at)
        effects.append(WakeAt(shown_at, self))

    def _start_again(self, now: Instant, effects: list[Effect]) -> None:
        if now < self._down_until:
            return
        try:
            effects += self.component.step(now, [Start()])
        except Exception as error:
            self._blame(now, None, error, effects)
            return
        self._remember(effects)
        effects.append(Subscribe(tuple(self._subscribed)))

    def _remember(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if type(effect) is Subscribe:
                self._subscribed.update(dict.fromkeys(effect.kinds))

    def _step_carefully(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """One event at a time, so that a fault has one cause, without what is left out."""
        effects: list[Effect] = []
        suspect = False
        for event in events:
            if type(event) is Timer and event.token is self:
                suspect |= self._awake(now, effects)
                continue
            if now < self._down_until or (type(event) is Watch and self._is_left_out(now, event)):
                continue
            if type(event) is Relist:
                self._drop_missing(event)
                event = Relist(event.kind, tuple(obj for obj in event.objects if not self._skips(event.kind, obj)))
            suspect |= not self._try(now, event, effects)
        if suspect:
            self._start_again(now, effects)
        return effects

    def _try(self, now: Instant, event: Event, effects: list[Effect]) -> bool:
        try:
            stepped = self._step_and_audit(now, (event,))
        except Exception as error:
            self._blame(now, event.obj if type(event) is Watch else None, error, effects)
            return False
        self._remember(stepped)
        effects += stepped
        return True

    def _awake(self, now: Instant, effects: list[Effect]) -> bool:
        """A backoff is over; whether the component is to be started again."""
        again = 0 <= self._down_until <= now
        if again:
            self._down_until = -1
        for at, left in list(self._left_out.items()):
            if left.shown_at <= now:
                del self._left_out[at]
                if not again and not self._try(now, left.event, effects):
                    again = True
        return again

    def _is_left_out(self, now: Instant, event: Watch) -> bool:
        """Whether the component is not shown this. A changed object is shown: it may be well now."""
        obj = event.obj
        at = (kind_of(obj), obj.metadata.key)
        left = self._left_out.get(at)
        if left is None:
            return False
        known = left.event.obj.metadata
        if event.type != DELETED and known.resource_version == obj.metadata.resource_version:
            return True
        del self._left_out[at]
        return False

    def _drop_missing(self, event: Relist) -> None:
        """What is left out and not in the list is gone, and never shown."""
        uids = {obj.metadata.key: obj.metadata.uid for obj in event.objects}
        for kind, key in list(self._left_out):
            if kind == event.kind and uids.get(key) != self._left_out[kind, key].event.obj.metadata.uid:
                del self._left_out[kind, key]

    def _skips(self, kind: str, obj: Any) -> bool:
        left = self._left_out.get((kind, obj.metadata.key))
        return left is not None and left.event.obj.metadata.resource_version == obj.metadata.resource_version
