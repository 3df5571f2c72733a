"""The users of a cluster: they create what a workload says, when it says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.engine.component import SECOND, Create, Effect, Event, Instant, Outcome, Timer, WakeAt
from harness.model.core import Pod
from harness.model.meta import ApiObject

_REPEATED = "repeated"
"""Token of what is asked for again: the first time it may have been done although the answer was lost."""


class WorkloadDriver:
    """The user: creates what the workload says when it says so, and asks again when the server is down. A component."""

    name = "workload"
    watches = ()
    handled_failures = 0

    def __init__(self, items: Iterable[tuple[Instant, ApiObject]]) -> None:
        self._items = iter(items)
        self._next: tuple[Instant, ApiObject] | None = next(self._items, None)
        self._again: list[ApiObject] = []
        self._armed = -1
        self.pods = 0  # Pods that were asked for, and not refused; those of a Job are its controller's to make
        self.refused: list[str] = []

    @property
    def done(self) -> bool:
        return self._next is None and not self._again

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is not Outcome or event.error is None:
                continue
            self.handled_failures += 1
            assert type(event.effect) is Create  # it writes nothing else
            obj = event.effect.obj
            if event.error.code >= 500 or event.error.code == 429:
                self._again.append(obj)
                effects.append(WakeAt(now + SECOND))
            elif event.error.reason != "AlreadyExists" or event.token != _REPEATED:  # else it was created after all
                self.refused.append(str(event.error))
                self.pods -= type(obj) is Pod
        if self._again and any(type(event) is Timer for event in events):
            effects += [Create(obj, _REPEATED) for obj in self._again]
            self._again.clear()
        while self._next is not None and self._next[0] <= now:
            effects.append(Create(self._next[1]))
            self.pods += type(self._next[1]) is Pod
            self._next = next(self._items, None)
        if self._next is not None and self._armed != self._next[0]:
            self._armed = self._next[0]
            effects.append(WakeAt(self._armed))
        return effects
