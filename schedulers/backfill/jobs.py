"""Jobs that wait, in the order of the queue, remembered between calls: a call hands over a part of the queue only."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.scheduling.strategy import ClusterView, Int64, PodBatch, PodView
from schedulers.backfill.running import amounts_of

FORGET_NS = 600 * 10**9
"""A pod that waits is handed over again after 5 min and some seconds of backoff at the latest (kube-scheduler's
podMaxInUnschedulablePodsDuration): one that has not been seen for so long was deleted."""


@dataclass(slots=True, eq=False)
class Job:
    """A pod, or a gang. `wanted`: members that must start together. `lifetime_ns`: the longest of them, None where one
    does not say. `needs`: of a member, the largest of each resource, int64 [rows], rows as in `amounts_of`.
    """

    key: str
    order: int
    members: tuple[PodView, ...]
    wanted: int
    lifetime_ns: int | None
    needs: Int64
    seen_ns: int
    handed: bool = True
    fits_nowhere_at: int = -1
    """The cluster's version at which no node took it: as long as it stands, none does. Of a job whose feasibility
    depends on amounts and nodes alone, else -1."""

    @property
    def place(self) -> tuple[int, int, int]:
        """In the queue, the least first: by priority, by creation, and by when it was first handed over."""
        first = self.members[0]
        return -first.priority, first.created_ns, self.order


class WaitingJobs:
    """Jobs by key, a gang's key being its group's; the first `most` of them. Their order is that of their creation, and
    of one instant that in which they were handed over first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: dict[str, Job] = {}
        self._queue: list[tuple[tuple[int, int, int], Job]] = []  # in order
        self._handed: list[Job] = []  # in the last call
        self._beyond: list[Job] = []  # of those, what is not among the first: known in that call alone
        self._forget_ns = 0  # when the first of them may be due to be forgotten
        self._count = 0

    def take(self, pods: PodBatch, cluster: ClusterView) -> None:
        """Those of `pods` are marked as handed over, though they be none of the first."""
        now = cluster.now_ns
        if now > self._forget_ns:
            self._forget(now - FORGET_NS)
        for job in self._handed:
            job.handed = False
        self._handed = handed = []
        for job in self._beyond:
            self.started(job)
        jobs = self._jobs
        for key, members in _gangs(pods):
            before = jobs.get(key)
            if before is not None and members[0] is before.members[0] and _is_alone(members[0]):
                before.seen_ns, before.handed = now, True  # as it was; most pods that wait are handed over often
                handed.append(before)
                continue
            if before is None:
                self._count += 1
                order, needs = self._count, None
            else:
                order = before.order
                needs = before.needs if _alike(before.members, members) else None
                self._leave(before)
            job = _job(key, order, members, cluster, needs)
            self._jobs[key] = job
            insort(self._queue, (job.place, job))
            handed.append(job)
        self._beyond = [job for _, job in self._queue[self._most :]]

    def first(self) -> Sequence[Job]:
        """As many as are remembered, in order."""
        return [job for _, job in self._queue[: self._most]]

    @property
    def handed(self) -> Sequence[Job]:
        """In the last call, in its order."""
        return self._handed

    def in_order(self, only_handed: Callable[[], bool]) -> Iterator[Job]:
        """All that wait, by priority and then in order. Once `only_handed` says so, those of the last call alone."""
        for _, job in self._queue.copy():
            yield job
            if only_handed():
                rest = [each for each in self._handed if each.place > job.place]
                rest.sort(key=lambda each: each.place)
                yield from rest
                return

    def started(self, job: Job) -> None:
        """It waits no more."""
        if self._jobs.get(job.key) is job:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        del self._jobs[job.key]
        del self._queue[bisect_left(self._queue, (job.place,))]

    def _forget(self, since_ns: int) -> None:
        for job in [job for job in self._jobs.values() if job.seen_ns < since_ns]:
            self._leave(job)
        self._forget_ns = FORGET_NS + min((job.seen_ns for job in self._jobs.values()), default=since_ns)


def _is_alone(pod: PodView) -> bool:
    return pod.group is None or pod.group_min <= 1


def _gangs(pods: PodBatch) -> Iterable[tuple[str, tuple[PodView, ...]]]:
    gangs: dict[str, list[PodView]] = {}
    if len(pods) == 1 and _is_alone(pods[0]):
        return [(pods[0].key, (pods[0],))]
    for pod in pods:
        if _is_alone(pod):
            gangs[pod.key] = [pod]
        else:
            gangs.setdefault(f"group {pod.group}", []).append(pod)
    return [(key, tuple(members)) for key, members in gangs.items()]


def _alike(before: Sequence[PodView], members: Sequence[PodView]) -> bool:
    return len(before) == len(members) and all(a.cls is b.cls for a, b in zip(before, members, strict=True))


def _job(key: str, order: int, members: tuple[PodView, ...], cluster: ClusterView, needs: Int64 | None) -> Job:
    """`needs` where it is known."""
    first = members[0]
    wanted = 1
    if first.group is not None and first.group_min > 1:
        wanted = max(first.group_min - cluster.placed_in_group(first.group), 1)
    lifetimes = [pod.lifetime_ns for pod in members]
    known = [each for each in lifetimes if each is not None]
    lifetime = max(known) if len(known) == len(lifetimes) else None
    if needs is None:
        needs = np.array(amounts_of(first), dtype=np.int64)
        for pod in members[1:]:
            if pod.cls is not first.cls:
                needs = maximum(needs, np.array(amounts_of(pod), dtype=np.int64))
    return Job(key, order, members, wanted, lifetime, needs, cluster.now_ns)


def maximum(a: Int64, b: Int64) -> Int64:
    """By element; the shorter one is 0 beyond its end: resources that it has never heard of."""
    out = (a if len(a) >= len(b) else b).copy()
    n = min(len(a), len(b))
    out[:n] = [max(x, y) for x, y in zip(a[:n].tolist(), b[:n].tolist(), strict=True)]
    return out
