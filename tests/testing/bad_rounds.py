"""Round strategies that each break one property of the conformance kit; and one that keeps them all."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np

from harness.jobs.protocol import Boundary, JobView, Schedule
from schedulers.rounds.gavel import keep_gpus
from schedulers.rounds.shortest import first_that_fit


class Good:
    def order(self, boundary: Boundary) -> list[JobView]:
        return sorted(boundary.active, key=lambda job: job.id)

    def schedule(self, boundary: Boundary) -> Schedule:
        chosen = first_that_fit(self.order(boundary), boundary.gpus - len(boundary.unusable))
        return keep_gpus(chosen, boundary.gpus, boundary.unusable)


class Raises(Good):
    def schedule(self, boundary: Boundary) -> Schedule:
        if boundary.round == 1:
            raise KeyError("no such job")
        return super().schedule(boundary)


class Exits:
    def schedule(self, boundary: Boundary) -> Schedule:
        raise SystemExit(3)


class Endless:
    def schedule(self, boundary: Boundary) -> Schedule:
        while True:
            pass


class AnswersNothing:
    def schedule(self, boundary: Boundary) -> Any:
        return None


class HalfGangs(Good):
    def schedule(self, boundary: Boundary) -> Schedule:
        return {job: gpus[: max(1, len(gpus) // 2)] for job, gpus in super().schedule(boundary).items()}


class Twice:
    def schedule(self, boundary: Boundary) -> Schedule:
        usable = [gpu for gpu in range(boundary.gpus) if gpu not in boundary.unusable]
        return {job.id: tuple(usable[: job.gang]) for job in boundary.active}


class Beyond(Good):
    def schedule(self, boundary: Boundary) -> Schedule:
        return {job: tuple(gpu + boundary.gpus for gpu in gpus) for job, gpus in super().schedule(boundary).items()}


class Unusable(Good):
    """It does not look at what cannot be used."""

    def schedule(self, boundary: Boundary) -> Schedule:
        return keep_gpus(first_that_fit(self.order(boundary), boundary.gpus), boundary.gpus)


class Gone(Good):
    """It goes on with jobs that are complete."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[int, ...]] = {}

    def schedule(self, boundary: Boundary) -> Schedule:
        self.last = self.last or dict(super().schedule(boundary))
        return self.last


class Writes(Good):
    def schedule(self, boundary: Boundary) -> Schedule:
        object.__setattr__(boundary.active[0], "steps_left", 1)
        return super().schedule(boundary)


class OneGpuJobsOnly(Good):
    """Gangs of two and more wait for ever."""

    def order(self, boundary: Boundary) -> list[JobView]:
        return [job for job in super().order(boundary) if job.gang == 1]


class GlobalRandom(Good):
    def order(self, boundary: Boundary) -> list[JobView]:
        return sorted(boundary.active, key=lambda job: random.random())


class NumpyRandom(Good):
    def order(self, boundary: Boundary) -> list[JobView]:
        return sorted(boundary.active, key=lambda job: np.random.random())


class Clock(Good):
    def order(self, boundary: Boundary) -> list[JobView]:
        return sorted(boundary.active, key=lambda job: (job.id + int(time.time()) // 10**6) % 3)


class Hashes(Good):
    def order(self, boundary: Boundary) -> list[JobView]:
        return sorted(boundary.active, key=lambda job: hash(f"job {job.id}"))


SEEN: list[int] = []


class Remembers(Good):
    """What it knows outlives the run."""

    def order(self, boundary: Boundary) -> list[JobView]:
        SEEN.append(boundary.round)
        return sorted(boundary.active, key=lambda job: (job.id + len(SEEN)) % 3)
