"""Shortest first: sjf, srtf and srsf. They go by what a job's speed says that it needs, so they know the future.

Sources: Conway, Maxwell, Miller, Theory of Scheduling, 1967 (SJF, SRPT); srsf, shortest remaining service first, with
service in GPU-seconds, is the yardstick of Tiresias (Gu et al., NSDI 2019, section 3.1). The time left is steps over
speed at the present batch size: a job that changes its batch size later needs less than that.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.jobs.protocol import Boundary, JobView, Schedule
from schedulers.rounds.gavel import keep_gpus


def seconds_left(job: JobView) -> float:
    return job.steps_left / job.steps_per_s


def first_that_fit(order: Sequence[JobView], gpus: int) -> list[JobView]:
    """Jobs in order, each whose gang still fits. What does not fit is passed over, and smaller ones go before it."""
    chosen = []
    for job in order:
        if job.gang <= gpus:
            chosen.append(job)
            gpus -= job.gang
    return chosen


class _ShortestJob:
    """Not preemptive: what runs runs on; of those that wait, the one with the least time in all."""

    def schedule(self, boundary: Boundary) -> Schedule:
        order = sorted(boundary.active, key=lambda job: (not job.gpus, seconds_left(job), job.arrival_s, job.id))
        chosen = first_that_fit(order, boundary.gpus - len(boundary.unusable))
        return keep_gpus(chosen, boundary.gpus, boundary.unusable)


class _ShortestRemaining:
    """Preemptive: at each boundary those with the least time left, or the least time times GPUs."""

    def __init__(self, by_service: bool) -> None:
        self._by_service = by_service

    def schedule(self, boundary: Boundary) -> Schedule:
        def left(job: JobView) -> float:
            return seconds_left(job) * (job.gang if self._by_service else 1)

        order = sorted(boundary.active, key=lambda job: (left(job), job.arrival_s, job.id))
        chosen = first_that_fit(order, boundary.gpus - len(boundary.unusable))
        return keep_gpus(chosen, boundary.gpus, boundary.unusable)


def sjf() -> _ShortestJob:
    """Shortest job first: a job that runs is not preempted."""
    return _ShortestJob()


def srtf() -> _ShortestRemaining:
    """Shortest remaining time first, preemptive."""
    return _ShortestRemaining(by_service=False)


def srsf() -> _ShortestRemaining:
    """Shortest remaining service (time times GPUs) first, preemptive."""
    return _ShortestRemaining(by_service=True)
