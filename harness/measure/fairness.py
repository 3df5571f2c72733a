"""Who got what: dominant shares over time, and what each would have had in a share of the cluster to itself.

Sources: Ghodsi et al., Dominant Resource Fairness, NSDI 2011 (dominant share: the largest of one's shares of any
resource); Mahajan et al., Themis, NSDI 2020 (finish-time fairness: completion time over that in a cluster of 1/N).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.measure.job_lives import JobRow
from harness.measure.pods import NEVER
from harness.measure.tasks import ENDLESS

Int64 = npt.NDArray[np.int64]

Step = tuple[int, int, int, int]
"""From an instant on: capacity in milli-CPU, bytes and GPU milli."""


class Hold(NamedTuple):
    """What a pod held, from `bound_ns` to `ended_ns` (NEVER: it still does)."""

    bound_ns: int
    ended_ns: int
    cpu_milli: int
    memory_bytes: int
    gpu_milli: int


def dominant_share(holds: Sequence[Hold], steps: Sequence[Step], since_ns: int, until_ns: int) -> float:
    """The mean over the window of the largest share of any resource that was held, 0..1 (more where nodes are full
    beyond what they have). What the cluster has is what is registered at that instant."""
    if until_ns <= since_ns or not holds or not steps:
        return 0.0
    held = np.array(holds, dtype=np.int64)
    begin = np.clip(held[:, 0], since_ns, until_ns)
    end = np.clip(np.where(held[:, 1] == NEVER, until_ns, held[:, 1]), since_ns, until_ns)
    has = np.array(steps, dtype=np.int64)
    at = np.unique(np.concatenate([begin, end, np.clip(has[:, 0], since_ns, until_ns), [since_ns, until_ns]]))
    change = np.zeros((len(at), 3), dtype=np.int64)
    np.add.at(change, np.searchsorted(at, begin), held[:, 2:])
    np.subtract.at(change, np.searchsorted(at, end), held[:, 2:])
    amounts = np.cumsum(change, axis=0)
    step = np.searchsorted(has[:, 0], at, side="right") - 1
    capacity = np.where(step[:, None] >= 0, has[np.maximum(step, 0), 1:], 0)
    shares = np.where(capacity > 0, amounts / np.maximum(capacity, 1), 0.0).max(axis=1)
    return float((shares[:-1] * np.diff(at)).sum() / (until_ns - since_ns))


def isolated_completions(jobs: Sequence[JobRow], capacity: Sequence[float]) -> dict[str, float]:
    """ns from its arrival to its completion of each job that says how long it runs, were these jobs alone with
    `capacity` (milli-CPU, bytes, GPU milli): first come, first served, each begun when there is enough for it. A job
    that asks for more than there is has all of it, and takes so much longer, as Themis reckons. What asks for something
    that is not there is left out."""
    free = [float(amount) for amount in capacity]
    running: list[tuple[float, tuple[float, ...]]] = []
    now = 0.0
    out: dict[str, float] = {}
    for job in sorted(jobs, key=lambda row: (row.arrival_ns, row.job)):
        asks = (job.cpu_milli, job.memory_bytes, job.gpu_milli)
        if job.alone_ns == ENDLESS or any(ask and not has for ask, has in zip(asks, capacity, strict=True)):
            continue
        stretch = max([1.0, *(ask / has for ask, has in zip(asks, capacity, strict=True) if has)])
        takes = tuple(min(float(ask), float(has)) for ask, has in zip(asks, capacity, strict=True))
        now = max(now, float(job.arrival_ns))
        while running and (running[0][0] <= now or any(t > f * (1 + 1e-9) for t, f in zip(takes, free, strict=True))):
            end, back = heappop(running)
            now = max(now, end)
            free = [f + b for f, b in zip(free, back, strict=True)]
        free = [f - t for f, t in zip(free, takes, strict=True)]
        end = now + job.alone_ns * stretch
        heappush(running, (end, takes))
        out[job.job] = end - job.arrival_ns
    return out


def finish_time_fairness(
    by_value: Mapping[str, Sequence[JobRow]], capacity: Sequence[int], until_ns: int
) -> dict[str, tuple[float, bool]]:
    """Of each job: (completion time over the one in 1/N of the capacity, where the N values share it alike; whether it
    is a lower bound, as the job is not complete). Above 1 it would have been better off by itself."""
    share = [amount / max(1, len(by_value)) for amount in capacity]
    out = {}
    for jobs in by_value.values():
        alone = isolated_completions(jobs, share)
        for job in jobs:
            if alone.get(job.job, 0.0) > 0:
                late = job.completed_ns == NEVER
                took = (until_ns if late else job.completed_ns) - job.arrival_ns
                out[job.job] = (took / alone[job.job], late)
    return out
