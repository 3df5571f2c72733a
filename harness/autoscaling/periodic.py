"""What autoscaling controllers have in common: a look at everything once a period, at a phase of their own."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engine.component import (
    Effect,
    Event,
    Instant,
    Outcome,
    Relist,
    Start,
    Subscribe,
    Timer,
    WakeAt,
    Watch,
    next_tick,
)


class PeriodicController:
    """A component that takes in what its watches bring and calls `_run_once` every `period_ns` while `_is_needed`.

    A subclass has `period_ns` and calls `_reset` when it is made.
    """

    phase_ns: int = 0
    _armed: int = -1
    """When it looks next; -1: not yet known."""
    _watches_leases: bool = False

    @property
    def period_ns(self) -> int:
        raise NotImplementedError

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                self._hear(event)
            elif type(event) is Relist:
                self._relist(event)
            elif type(event) is Timer:
                if event.token == self._armed:
                    self._armed = -1
                    self._run_once(now, effects)
                else:
                    self._handle_timer(now, event, effects)
            elif type(event) is Outcome:
                self._handle_outcome(now, event, effects)
            elif type(event) is Start:
                self._reset()
        if not self._watches_leases and self._needs_leases():
            self._watches_leases = True
            effects.append(Subscribe(("Lease",)))
        if self._armed < 0 and self._is_needed():
            self._armed = next_tick(now, self.period_ns, self.phase_ns)
            effects.append(WakeAt(self._armed, self._armed))
        return effects

    def _reset(self) -> None:
        """It knows nothing, as one that has just started."""
        self._watches_leases = False
        self._armed = -1

    def _is_needed(self) -> bool:
        """Whether there is something to look at."""
        raise NotImplementedError

    def _needs_leases(self) -> bool:
        """Whether it must hear of the leases of nodes from now on."""
        return False

    def _hear(self, event: Watch) -> None:
        raise NotImplementedError

    def _relist(self, event: Relist) -> None:
        raise NotImplementedError

    def _run_once(self, now: Instant, effects: list[Effect]) -> None:
        raise NotImplementedError

    def _handle_timer(self, now: Instant, timer: Timer, effects: list[Effect]) -> None:
        """A timer of its own that is not the period's."""

    def _handle_outcome(self, now: Instant, outcome: Outcome, effects: list[Effect]) -> None:
        raise NotImplementedError
