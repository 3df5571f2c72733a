"""Conservative backfilling: each job that waits is promised an instant and nodes, and keeps them or gets better ones.

As Mu'alem and Feitelson describe it, a job is promised the earliest instant at which it delays nobody who is promised
something already. When somebody ends, the schedule is compressed: in the queue's order each job gives its promise back
and is promised the earliest instant that the promises of all others leave, which is never later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.scheduling.strategy import ClusterView, Int64
from schedulers.backfill.jobs import Job
from schedulers.backfill.plans import Admits
from schedulers.backfill.profile import FOREVER, Profile
from schedulers.backfill.running import RunningPods, amounts_of, slots


@dataclass(frozen=True, slots=True)
class Promise:
    """`nodes`: (node, members) each."""

    start_ns: int
    until_ns: int
    needs: Int64  # of a member
    nodes: tuple[tuple[int, int], ...]

    @property
    def where(self) -> tuple[int, int, tuple[tuple[int, int], ...]]:
        return self.start_ns, self.until_ns, self.nodes

    def is_for(self, job: Job) -> bool:
        """Whether the job still wants what was promised to it."""
        lasts_ns = None if self.until_ns >= FOREVER else self.until_ns - self.start_ns
        wanted = sum(members for _, members in self.nodes)
        return wanted == job.wanted and lasts_ns == job.lifetime_ns and np.array_equal(self.needs, job.needs)


@dataclass(slots=True)
class Promises:
    """What is kept from call to call. `seen`: of the cluster, what a promise may have become better by."""

    of: dict[str, Promise] = field(default_factory=dict)  # by the job's key
    seen: tuple[object, ...] = ()


class ConservativePlan:
    """A promise for each of the first jobs that wait. One that cannot be kept, since somebody lasts longer than he said
    or a node is gone, becomes later by as little as the promises of those before allow.
    """

    def __init__(
        self, cluster: ClusterView, running: RunningPods, admits: Admits, waiting: Sequence[Job], promises: Promises
    ) -> None:
        """`waiting`: those to whom something is promised, in the queue's order."""
        self._cluster = cluster
        self._admits = admits
        self._now = cluster.now_ns
        self._jobs = {job.key: job for job in waiting}
        seen = (running.gone, cluster.alive.tobytes(), cluster.capacity.tobytes())
        self._compress = seen != promises.seen or not promises.of.keys() <= self._jobs.keys()
        known = [each for kept in promises.of.values() for each in (kept.start_ns, kept.until_ns)]
        self._profile = Profile(cluster, running, known)
        self._promised: dict[str, Promise] = {}
        for job in waiting:
            self._keep(job, self._as_before(job, promises.of.get(job.key)))
        promises.of, promises.seen = self._promised, seen
        self._tried: Job | None = None
        self._better: Promise | None = None  # than it had, or what it had
        self._may_start = False
        self._taken: list[tuple[int, int, tuple[int, ...]]] = []  # until when, node, amounts

    @property
    def complete(self) -> bool:
        return False

    def begin(self, job: Job) -> None:
        """Its promise is given back. Unless somebody has gone, nobody starts before he is promised to."""
        self._tried = job
        had = self._better = self._promised.pop(job.key, None)
        self._may_start = had is None or had.start_ns <= self._now
        if had is None:
            return
        self._change(had, 1)
        if self._compress and not self._may_start:
            self._better = better = self._earliest(job, self._now) or had
            self._may_start = better.start_ns <= self._now

    def penalty(self, job: Job) -> Int64 | None:
        if not self._may_start:
            return np.full(len(self._cluster.names), -1, dtype=np.int64)
        return np.where(self._profile.room(job, self._now, self._admits(job)) > 0, 0, -1)

    def take(self, job: Job, member: int, node: int) -> None:
        until_ns, amounts = self._profile.until(job, self._now), amounts_of(job.members[member])
        self._profile.change(self._now, until_ns, node, amounts)
        self._taken.append((until_ns, node, amounts))

    def undo(self) -> None:
        for until_ns, node, amounts in self._taken:
            self._profile.change(self._now, until_ns, node, amounts, 1)
        self._taken = []

    def started(self) -> None:
        self._taken = []

    def wait(self, job: Job) -> None:
        if self._tried is not job:
            if not self._compress:
                return
            self.begin(job)
        self._keep(job, self._better)

    def _keep(self, job: Job, promise: Promise | None) -> None:
        if promise is not None:
            self._promised[job.key] = promise
            self._change(promise)

    def _as_before(self, job: Job, before: Promise | None) -> Promise | None:
        if before is None or not before.is_for(job):
            return self._earliest(job, self._now)
        start_ns = max(before.start_ns, self._now)
        kept = Promise(start_ns, self._profile.until(job, start_ns), before.needs, before.nodes)
        admitted = self._admits(job)
        if all(admitted[node] for node, _ in kept.nodes) and self._profile.fits(kept.needs, *kept.where):
            return kept
        return self._earliest(job, start_ns)

    def _earliest(self, job: Job, from_ns: int) -> Promise | None:
        """None where too few members fit though all end that ever do."""
        strictly, loosely = self._profile.earliest(job, from_ns, self._admits(job))
        if loosely is not None and loosely != strictly:
            found = self._rearranged(job, loosely)
            if found is not None:
                return found
        return None if strictly is None else self._on_nodes(job, strictly)

    def _on_nodes(self, job: Job, start_ns: int) -> Promise | None:
        """On nodes that have the least room now first: those that are free now are of use to others until then."""
        room = self._profile.room(job, start_ns, self._admits(job))
        needed, nodes = job.wanted, []
        for node in np.lexsort((self._cluster.rank, slots(self._profile.free[0], job.needs))).tolist():
            members = min(needed, int(room[node]))
            if members:
                nodes.append((node, members))
                needed -= members
            if not needed:
                return Promise(start_ns, self._profile.until(job, start_ns), job.needs, tuple(nodes))
        return None

    def _rearranged(self, job: Job, start_ns: int) -> Promise | None:
        """What the job can be promised for that instant if all promises keep their instants and change their nodes.

        Whoever starts first chooses first: on nodes that are alike, and have room for one member each, that always
        succeeds where enough are free at each instant.
        """
        profile, before = self._profile, self._promised
        free, times = profile.free.copy(), profile.times.copy()
        for promise in before.values():
            self._change(promise, 1)
        after: dict[str, Promise] = {}
        wanted = [(promise.start_ns, self._jobs[key]) for key, promise in before.items()]
        for start, each in sorted([*wanted, (start_ns, job)], key=lambda one: one[0]):
            found = self._on_nodes(each, start)
            if found is None:
                profile.free, profile.times = free, times
                return None
            self._change(found)
            after[each.key] = found
        found = after.pop(job.key)
        self._change(found, 1)
        self._promised.update(after)
        return found

    def _change(self, promise: Promise, sign: int = -1) -> None:
        for node, members in promise.nodes:
            amounts = tuple((promise.needs * members).tolist())
            self._profile.change(promise.start_ns, promise.until_ns, node, amounts, sign)
