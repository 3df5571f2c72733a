"""Around somebody else's round strategy: whatever it answers comes out as a schedule that can be, or as a named fault.

`raised`           an exception, also SystemExit
`deadline`         one call took longer than it may
`no decision`      an answer that is no schedule
`illegal schedule` a job that is not active, half a gang, a GPU that is not there, not usable, or given twice

A boundary at which it was at fault changes nothing: what ran runs on where it can, and nothing else is started. After
IN_A_ROW such boundaries in a row, or three calls past the deadline, the strategy is asked no more in this run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from harness.jobs.legality import IllegalSchedule, check_schedule
from harness.jobs.protocol import Boundary, RoundStrategy, Schedule
from harness.model.errors import UserError
from harness.scheduling.sandbox.deadline import Call
from harness.scheduling.sandbox.guard import DEADLINE_S, OVERRUNS, raised, stable_text
from harness.scheduling.strategy import StrategyFault

IN_A_ROW = 10
"""Boundaries at fault: a strategy that cannot answer so often will not, and nobody starts a job meanwhile."""


class RoundGuard:
    """One strategy's. `told`: each fault, with the boundary's instant in seconds. `given_up`: it is asked no more."""

    def __init__(
        self,
        strategy: RoundStrategy,
        told: Callable[[float, StrategyFault], None],
        deadline_s: float | None = DEADLINE_S,
    ) -> None:
        self._strategy = strategy
        self._told = told
        self._call = Call(float("inf") if deadline_s is None else deadline_s)
        self._in_a_row = 0
        self.overruns = 0
        self.given_up = False

    def schedule(self, boundary: Boundary) -> Schedule:
        if self.given_up:
            return {}
        shown = replace(
            boundary,
            settlements=tuple(boundary.settlements),
            arrived=tuple(boundary.arrived),
            active=tuple(boundary.active),
        )
        answer, error = self._call.run(self._strategy.schedule, shown)
        fault: StrategyFault | None = None
        schedule: Schedule = {}
        if self._call.late:
            self.overruns += 1
            fault = StrategyFault("deadline", "", f"schedule() took longer than {self._call.limit_s:g} s")
        elif isinstance(error, UserError):
            fault = StrategyFault("raised", "", str(error))
        elif error is not None:
            fault = raised(error)
        else:
            try:
                schedule = _in_plain_values(answer)
                check_schedule(schedule, boundary)
            except IllegalSchedule as illegal:
                kind = "illegal schedule" if isinstance(answer, Mapping) else "no decision"
                fault = StrategyFault(kind, "", str(illegal))
        if fault is None:
            self._in_a_row = 0
            return schedule
        self._told(boundary.now_s, fault)
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW or self.overruns >= OVERRUNS:
            self.given_up = True
            why = f"asked no more: {self._in_a_row} boundaries in a row, {self.overruns} calls past the deadline"
            self._told(boundary.now_s, StrategyFault(fault.kind, "", why))
            return {}
        return kept(boundary)


def _in_plain_values(answer: Any) -> Schedule:
    """`answer` as whole numbers of Python, in its order. Raises IllegalSchedule for what is none."""
    if not isinstance(answer, Mapping):
        raise IllegalSchedule(f"schedule() answers with GPUs by job, not {stable_text(answer)}")
    out: dict[int, tuple[int, ...]] = {}
    for job, given in answer.items():
        try:
            out[operator.index(job)] = tuple(operator.index(gpu) for gpu in given)
        except TypeError:
            wrong = f"{stable_text(job)}: {stable_text(given)}"
            raise IllegalSchedule(f"a job and its GPUs are whole numbers, not {wrong}") from None
    return out


def kept(boundary: Boundary) -> Schedule:
    """What ran in the round that has ended goes on where its GPUs are usable, and its gang may still be so large."""
    return {
        job.id: job.gpus
        for job in boundary.active
        if len(job.gpus) in job.sizes and not boundary.unusable & set(job.gpus)
    }
