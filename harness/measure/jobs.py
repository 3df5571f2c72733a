"""Measures over jobs: completion times, waiting, slowdown, fairness. Times in seconds since the trace's start.

A job that is not complete when the run ends is censored: it counts as complete at the end, which is the least that it
can come to, and the summary says how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.jobs.rounds import RoundsRecord

SHORTEST_S = 10.0
"""Of the bounded slowdown. Source: Feitelson et al., Theory and Practice in Parallel Job Scheduling, JSSPP 1997."""

UNFAIR_RHO = 1.05
"""Above it a job counts as treated unfairly. Source: Zheng et al., Shockwave, NSDI 2023."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """`alone_s`: how long it would run with its gang to itself. `waited_s`: until it ran first; None: it never did."""

    id: int
    gang: int
    arrival_s: float
    alone_s: float
    waited_s: float | None
    completed_s: float | None


@dataclass(frozen=True, slots=True)
class JobsSummary:
    """`rho`: finish-time fairness by job, 5 digits: completion time over `alone_s` times the jobs that share a GPU, of
    all jobs. `rho_themis`: the same with the mean number of jobs that were there while it was. `gpu_utilization`: by
    GPU, of the makespan. `resizes`: how often a gang had another size than when it ran last.
    """

    jobs: int
    censored: int
    makespan_s: float
    completion_s: Mapping[int, float]
    mean_completion_s: float
    geometric_mean_completion_s: float
    harmonic_mean_completion_s: float
    mean_wait_s: float
    mean_bounded_slowdown: float
    rho: Mapping[int, float]
    rho_themis: Mapping[int, float]
    worst_rho: float
    unfair_share: float
    jain: float
    gpu_utilization: Mapping[int, float]
    mean_utilization: float
    lease_extensions: int
    lease_opportunities: int
    resizes: int


def jain(values: Sequence[float]) -> float:
    """Jain's index: 1 where all are equal, 1/n where one has all. Source: Jain, Chiu, Hawe, DEC-TR-301, 1984."""
    squares = math.fsum(value * value for value in values)
    return math.fsum(values) ** 2 / (len(values) * squares) if squares else 1.0


def bounded_slowdown(completion_s: float, alone_s: float) -> float:
    """How many times longer than alone a job took; very short ones count as `SHORTEST_S` long. At least 1."""
    return max(completion_s / max(alone_s, SHORTEST_S), 1.0)


def outcomes(record: RoundsRecord) -> list[JobOutcome]:
    """By id."""
    first: dict[int, float] = {}
    for start, schedule in zip(record.starts_s, record.schedules, strict=True):
        for job in schedule:
            first.setdefault(job, start - record.jobs[job].arrival_s)
    return [
        JobOutcome(
            job.id,
            job.gang,
            job.arrival_s,
            record.exclusive_s[job.id],
            first.get(job.id),
            record.completed_s.get(job.id),
        )
        for job in sorted(record.jobs.values(), key=lambda job: job.id)
    ]


def summarize(record: RoundsRecord) -> JobsSummary:
    """Of a run of rounds with at least one job."""
    jobs = outcomes(record)
    end = record.makespan_s
    completion = {job.id: _until(job.completed_s, end) - job.arrival_s for job in jobs}
    times = list(completion.values())
    share = max(1, len(jobs) / record.gpus)
    rho = {job.id: round(completion[job.id] / (job.alone_s * share), 5) for job in jobs}
    contention = dict.fromkeys((job.id for job in jobs), 0.0) | _contention(record)  # 0: there at no boundary
    themis = {
        job.id: round(completion[job.id] / (job.alone_s * max(1, contention[job.id] / record.gpus)), 5) for job in jobs
    }
    utilization = {gpu: round(record.busy_s.get(gpu, 0.0) / end, 5) if end else 0.0 for gpu in range(record.gpus)}
    extensions, opportunities = _leases(record)
    return JobsSummary(
        jobs=len(jobs),
        censored=sum(job.completed_s is None for job in jobs),
        makespan_s=end,
        completion_s=completion,
        # NumPy's pairwise sums: the published figures are equal to the last bit.
        mean_completion_s=float(np.mean(times)),
        geometric_mean_completion_s=float(np.exp(np.log(times).mean())),
        harmonic_mean_completion_s=len(times) / float(np.sum(1 / np.array(times))),
        mean_wait_s=math.fsum(_until(job.waited_s, end - job.arrival_s) for job in jobs) / len(jobs),
        mean_bounded_slowdown=math.fsum(bounded_slowdown(completion[job.id], job.alone_s) for job in jobs) / len(jobs),
        rho=rho,
        rho_themis=themis,
        worst_rho=max(rho.values()),
        unfair_share=sum(value > UNFAIR_RHO for value in rho.values()) / len(rho),
        jain=jain([1 / value for value in rho.values()]),
        gpu_utilization=utilization,
        mean_utilization=float(np.mean(list(utilization.values()))),
        lease_extensions=extensions,
        lease_opportunities=opportunities,
        resizes=_resizes(record),
    )


def _until(value: float | None, end: float) -> float:
    return end if value is None else value


def _contention(record: RoundsRecord) -> dict[int, float]:
    """Mean number of active jobs over the rounds in which each was active."""
    total: dict[int, int] = {}
    rounds: dict[int, int] = {}
    for active in record.active:
        for job in active:
            total[job] = total.get(job, 0) + len(active)
            rounds[job] = rounds.get(job, 0) + 1
    return {job: total[job] / rounds[job] for job in total}


def _resizes(record: RoundsRecord) -> int:
    last: dict[int, int] = {}
    found = 0
    for schedule in record.schedules:
        for job, gpus in schedule.items():
            found += last.get(job, len(gpus)) != len(gpus)
            last[job] = len(gpus)
    return found


def _leases(record: RoundsRecord) -> tuple[int, int]:
    """Jobs that kept their GPUs from one round to the next, of those that were still active."""
    extensions = opportunities = 0
    for before, now, active in zip(record.schedules, record.schedules[1:], record.active[1:], strict=False):
        still = set(active)
        for job, gpus in before.items():
            opportunities += job in still
            extensions += job in still and set(now.get(job, ())) == set(gpus)
    return extensions, opportunities
