"""The wall clock, optionally scaled: the same components, driven when their instants really come."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.engine.component import MS, Instant

STEP_NS = 200 * MS
"""The most that is caught up at once when the cluster has fallen behind its clock."""

IDLE_S = 0.2
"""The longest sleep: how soon whoever waits for a turn gets one."""


class WallClock:
    """Instants that pass `scale` times as fast as the world's, from `start` at the moment of construction."""

    def __init__(self, start: Instant = 0, scale: float = 1.0) -> None:
        self.scale = scale
        self._start = start
        self._begun = time.monotonic_ns()

    def now(self) -> Instant:
        return self._start + round((time.monotonic_ns() - self._begun) * self.scale)

    def seconds_until(self, at: Instant) -> float:
        """Of the world."""
        return max(0.0, (at - self.now()) / 1e9 / self.scale)


def drive(
    run: Callable[[Instant], None],
    next_due: Callable[[], Instant | None],
    clock: WallClock,
    until: Instant,
    turn: Callable[[Instant], None] | None = None,
) -> None:
    """Run what is due as it comes, until the clock shows `until`; `turn` is called after each piece."""
    at = 0
    while at < until:
        at = min(clock.now(), at + round(STEP_NS * max(clock.scale, 1.0)), until)
        run(at)
        if turn is not None:
            turn(at)
        due = next_due()
        wait = clock.seconds_until(until if due is None else min(due, until))
        if wait > 0:
            time.sleep(min(wait, IDLE_S))
