"""Jobs that wait, in the order of the queue, remembered between calls: a call hands over a part of the queue only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.scheduling.strategy import ClusterView, Int64, PodBatch, PodView

FORGET_NS = 600 * 10**9
"""A pod that waits is handed over again after 5 min and some seconds of backoff at the latest (kube-scheduler's
podMaxInUnschedulablePodsDuration): one that has not been seen for so long was deleted."""


@dataclass(slots=True, eq=False)
class Job:
    """A pod, or a gang. `wanted`: members that must start together. `lifetime_ns`: the longest of them, None where one
    does not say. `largest`: of a member, by resource, int64.
    """

    key: str
    order: int
    members: tuple[PodView, ...]
    wanted: int
    lifetime_ns: int | None
    largest: Int64
    seen_ns: int
    handed: bool = True

    @property
    def priority(self) -> int:
        return self.members[0].priority

    @property
    def created_ns(self) -> int:
        return self.members[0].created_ns

    @property
    def whole_milli(self) -> int:
        return max(pod.gpu.total_milli for pod in self.members)


class WaitingJobs:
    """Jobs by key, a gang's key being its group's; the first `most` of them. Their order is that of their creation, and
    of one instant that in which they were handed over first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: dict[str, Job] = {}
        self._count = 0

    def take(self, pods: PodBatch, cluster: ClusterView) -> list[Job]:
        """All that wait, by priority and then in order; those of `pods` are marked as handed over, though they be none
        of the first.
        """
        now = cluster.now_ns
        for key in [key for key, job in self._jobs.items() if job.seen_ns + FORGET_NS < now]:
            del self._jobs[key]
        for job in self._jobs.values():
            job.handed = False
        for key, members in _gangs(pods):
            before = self._jobs.get(key)
            if before is None:
                self._count += 1
            order = self._count if before is None else before.order
            self._jobs[key] = _job(key, order, tuple(members), cluster)
        found = sorted(self._jobs.values(), key=lambda job: (-job.priority, job.created_ns, job.order))
        for job in found[self._most :]:
            del self._jobs[job.key]
        return found

    def started(self, job: Job) -> None:
        self._jobs.pop(job.key, None)


def _gangs(pods: PodBatch) -> Iterator[tuple[str, list[PodView]]]:
    gangs: dict[str, list[PodView]] = {}
    for pod in pods:
        gang = pod.group if pod.group is not None and pod.group_min > 1 else None
        gangs.setdefault(pod.key if gang is None else f"group {gang}", []).append(pod)
    yield from gangs.items()


def _job(key: str, order: int, members: tuple[PodView, ...], cluster: ClusterView) -> Job:
    first = members[0]
    wanted = 1
    if first.group is not None and first.group_min > 1:
        wanted = max(first.group_min - cluster.placed_in_group(first.group), 1)
    lifetimes = [pod.lifetime_ns for pod in members]
    known = [each for each in lifetimes if each is not None]
    largest = first.requests
    for pod in members[1:]:
        if pod.cls is not first.cls:
            largest = maximum(largest, pod.requests)
    lifetime = max(known) if len(known) == len(lifetimes) else None
    return Job(key, order, members, wanted, lifetime, largest, cluster.now_ns)


def maximum(a: Int64, b: Int64) -> Int64:
    """By element; the shorter one is 0 beyond its end: resources that it has never heard of."""
    out = (a if len(a) >= len(b) else b).copy()
    n = min(len(a), len(b))
    out[:n] = [max(x, y) for x, y in zip(a[:n].tolist(), b[:n].tolist(), strict=True)]
    return out
