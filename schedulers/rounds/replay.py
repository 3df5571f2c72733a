"""Given schedules and given shares as round strategies: they show whether the round loop is the published one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.jobs.protocol import Boundary, JobView, Schedule
from harness.model.errors import UserError
from schedulers.rounds.gavel import GavelRounds, Shares


class GivenSchedule:
    """Answers round r with the r-th of `rounds`: by job, its GPUs."""

    def __init__(self, rounds: Sequence[Schedule]) -> None:
        self._rounds = rounds

    def schedule(self, boundary: Boundary) -> Schedule:
        if boundary.round >= len(self._rounds):
            raise UserError(
                "the given schedule ends before the jobs do",
                found=f"{len(self._rounds)} rounds, and jobs {', '.join(str(j.id) for j in boundary.active)} are left",
                expected="a schedule of the same trace, speeds and number of GPUs",
            )
        return self._rounds[boundary.round]


class _GivenShares:
    def __init__(self, computations: Sequence[tuple[float, Mapping[int, float]]]) -> None:
        self._computations = list(computations)
        self._next = 0

    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        if self._next >= len(self._computations) or self._computations[self._next][0] != now_s:
            raise UserError("the given shares are not those of this run", found=f"shares asked for at {now_s!r} s")
        at = self._next
        self._next += 1
        return self._computations[at][1]


def given_shares(computations: Sequence[tuple[float, Mapping[int, float]]]) -> GavelRounds:
    """Gavel's rounds with shares as they were computed elsewhere: instants in seconds, and shares by job."""
    return GavelRounds(_GivenShares(computations))
