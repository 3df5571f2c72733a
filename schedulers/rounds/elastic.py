"""Optimus: GPUs go one after the other where they shorten a job's remaining time most; gangs grow and shrink.

Source: Peng et al., Optimus: An Efficient Dynamic Resource Scheduler for Deep Learning Clusters, EuroSys 2018, section
4.1, and the authors' code (pengyanghua/optimus 8c43920, scheduler/optimus_scheduler.py): each job, by arrival, has the
least first, so that none starves; then the job with the largest marginal gain, which is how much sooner it would be
done divided by what that takes, grows; until nothing is left or nobody gains. All sizes are chosen anew every ten
minutes (TS_INTERVAL). It needs each job's remaining steps and its speed at each size, which the authors estimate and a
round strategy is told.

Own choices: gangs have the sizes that their jobs allow, so that one may grow by several GPUs at once, and the gain is
that of each of them (the authors name this against local optima, and add one worker at a time); the walk goes on where
the one that gains most does not fit; between two computations of all sizes, GPUs that become free go to jobs that wait
and then by the same rule to those that run, of which none shrinks. Not modelled: parameter servers, the estimates and
their errors, and placement (section 4.2): a round's speeds do not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from harness.jobs.protocol import Boundary, JobView, Schedule
from harness.model.errors import UserError
from schedulers.rounds.gavel import keep_gpus

EVERY_S = 600.0


def growth(job: JobView, size: int, free: int) -> tuple[float, int]:
    """Seconds that `job` would be done sooner, for each GPU more, and the size at which that is most; 0 where no size
    helps. `free`: how many more it may have."""
    now_s = job.steps_left / job.sizes[size]
    best = 0.0, size
    for larger, speed in job.sizes.items():
        if size < larger <= size + free:
            gain = (now_s - job.steps_left / speed) / (larger - size)
            best = max(best, (gain, larger), key=lambda each: (each[0], -each[1]))
    return best


def sizes_by_gain(order: Sequence[JobView], free: int, held: Mapping[int, int]) -> dict[int, int]:
    """GPUs by job, `free` in all. `held`: what some jobs have already, and keep at least."""
    sizes = dict(held)
    free -= sum(sizes.values())
    for job in order:
        least = min(job.sizes)
        if job.id not in sizes and least <= free:
            sizes[job.id] = least
            free -= least
    queue: list[tuple[float, int, int, JobView]] = []  # gain, turned round; place in `order`; size

    def offer(place: int, job: JobView) -> None:
        gain, larger = growth(job, sizes[job.id], free)
        if gain > 0:
            heappush(queue, (-gain, place, larger, job))

    for place, job in enumerate(order):
        if job.id in sizes:
            offer(place, job)
    while queue:
        _, place, larger, job = heappop(queue)
        more = larger - sizes[job.id]
        if more <= free:
            sizes[job.id] = larger
            free -= more
        offer(place, job)  # there is less left than when it was offered last: it gains no more than then
    return sizes


class Optimus:
    """`every_s`: seconds after which all sizes are computed anew."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._computed_s = -every_s

    def schedule(self, boundary: Boundary) -> Schedule:
        free = boundary.gpus - len(boundary.unusable)
        order = sorted(boundary.active, key=lambda job: (job.arrival_s, job.id))
        held = {job.id: len(job.gpus) for job in order if len(job.gpus) in job.sizes}
        if boundary.now_s - self._computed_s >= self._every_s or sum(held.values()) > free:
            held = {}
            self._computed_s = boundary.now_s
        sizes = sizes_by_gain(order, free, held)
        chosen = [job for job in order if job.id in sizes]
        return keep_gpus(chosen, boundary.gpus, boundary.unusable, sizes)


def optimus(every_s: float = EVERY_S) -> Optimus:
    """Elastic gangs: GPUs go where they shorten a job's remaining time most. `every_s`: all anew so often."""
    if not float(every_s) >= 0:
        raise UserError("no such interval", found=f"every_s {every_s!r}", expected="seconds, 0 or more")
    return Optimus(float(every_s))
