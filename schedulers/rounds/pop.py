"""POP: a policy of shares solved in parts, each with some of the jobs and its part of the GPUs.

Source: Narayanan et al., Solving Large-Scale Granular Resource Allocation Problems Efficiently with POP, SOSP 2021,
and the authors' code (stanford-futuredata/POP, cluster_scheduling, class PartitionedProblem): each job goes to one of
`parts` sub-problems at random, each sub-problem has the number of GPUs divided by `parts`, rounded down, and the
allocations are put together as they are. The programmes are smaller, so that they are solved sooner; shares are less
good.

Own choices: the authors draw a part for each job at each computation; here a job keeps its part, which follows from
`seed` and its id. Client splitting (section 4.3 of the paper), where a large job is in several parts, is not
modelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from harness.jobs.protocol import JobView
from harness.model.errors import UserError, did_you_mean
from schedulers.rounds.gavel import GavelRounds, SharePolicy, Shares
from schedulers.rounds.linear import policy_of


class _POP:
    def __init__(self, make: Callable[[], SharePolicy], parts: int, seed: int) -> None:
        self._policies = [make() for _ in range(parts)]  # they may keep state
        self._seed = seed

    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        parts: list[list[JobView]] = [[] for _ in self._policies]
        for job in jobs:
            parts[self._part(job.id)].append(job)
        shares: dict[int, float] = {}
        for policy, members in zip(self._policies, parts, strict=True):
            part = gpus // len(parts)
            if members and part:
                shares.update(policy.shares(now_s, members, part, last))
            else:  # a policy divides by its GPUs
                shares.update(dict.fromkeys((job.id for job in members), 0.0))
        return shares

    def _part(self, job: int) -> int:
        return Random(f"pop/{self._seed}/{job}").randrange(len(self._policies))


POLICIES = ("max-min-fairness", "max-sum-throughput", "min-total-duration", "finish-time-fairness")


def pop(policy: str = "max-min-fairness", parts: int = 2, seed: int = 0, solver: str = "ortools") -> GavelRounds:
    """`policy`: max-min-fairness, max-sum-throughput, min-total-duration or finish-time-fairness, in `parts` parts."""
    if policy not in POLICIES:
        raise UserError(
            "pop splits no such policy", found=policy, expected=", ".join(POLICIES), hint=did_you_mean(policy, POLICIES)
        )
    if int(parts) < 1:
        raise UserError("no such number of parts", found=repr(parts), expected="at least 1")
    return GavelRounds(_POP(lambda: policy_of(policy, solver), int(parts), int(seed)))
