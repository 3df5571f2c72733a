"""Policies of shares that need no solver: gandiva-fair, isolated, isolated-plus, fifo; and allox by an assignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.jobs.protocol import JobView
from schedulers.rounds.gavel import GavelRounds, Shares


class _GandivaFair:
    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        each = gpus / len(jobs)
        return {job.id: each / max(each, 1) for job in jobs}


class _Isolated:
    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        return {job.id: min(1.0, gpus / (len(jobs) * job.gang)) for job in jobs}


class _Fifo:
    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        shares = dict.fromkeys((job.id for job in jobs), 0.0)
        for job in jobs:
            if job.gang > gpus:
                break
            shares[job.id] = 1.0
            gpus -= job.gang
        return shares


class _AlloX:
    """Least sum of completion times by an assignment of jobs to places in the queues of workers (Le et al., EuroSys
    2020), over the oldest jobs that have no whole share.
    """

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha

    def shares(self, now_s: float, jobs: Sequence[JobView], gpus: int, last: Shares) -> Shares:
        from scipy.optimize import linear_sum_assignment  # slow to import

        shares = {job.id: last.get(job.id, 0.0) for job in jobs}
        waiting = [job for job in sorted(jobs, key=lambda job: (job.arrival_s, job.id)) if shares[job.id] != 1.0]
        workers = gpus - sum(share == 1.0 for share in shares.values())
        waiting = waiting[: max(int(self._alpha * len(waiting)), workers)]
        if not waiting or workers <= 0:
            return shares
        run_s = np.array([job.steps_left / job.steps_per_s for job in waiting])
        age_s = np.array([now_s - job.arrival_s for job in waiting])
        # Entry (i, k, w): job i runs on worker w as the (k + 1)-th from the last.
        places = np.arange(1, len(waiting) + 1)
        cost = np.repeat(places[None, :] * run_s[:, None] + age_s[:, None], workers, axis=1)
        # SciPy once subtracted the least entry by itself; whether it is subtracted decides ties.
        rows, columns = linear_sum_assignment(cost - cost.min())
        first: dict[int, tuple[int, JobView]] = {}
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            place, worker = divmod(column, workers)
            if worker not in first or place > first[worker][0]:
                first[worker] = (place, waiting[row])
        for _, job in first.values():
            shares[job.id] = 1 / job.gang
        return shares


def gandiva_fair() -> GavelRounds:
    """Every job the same share, whatever its gang."""
    return GavelRounds(_GandivaFair())


def isolated() -> GavelRounds:
    """Every job what it would have of its own part of the cluster: fewer GPUs a job, less time for larger gangs."""
    return GavelRounds(_Isolated())


def isolated_plus() -> GavelRounds:
    """Shares as gandiva-fair; no smaller job goes before one that does not fit."""
    return GavelRounds(_GandivaFair(), strict=True)


def fifo() -> GavelRounds:
    """The oldest jobs that fit, whole; nothing is filled up with others."""
    return GavelRounds(_Fifo(), positive=True)


def allox(alpha: float = 0.2) -> GavelRounds:
    """AlloX: jobs to workers so that the sum of completion times is least."""
    return GavelRounds(_AlloX(float(alpha)))
