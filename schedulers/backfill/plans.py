"""What is promised to jobs that wait, and so kept from those behind them; EASY's one reservation.

Forecasts go by amounts of resources and by what a node's spec admits. Host ports, affinity between pods, spreading and
volumes are not forecast; what starts now is held against all of them by `feasible`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from harness.scheduling.strategy import Bool, ClusterView, Int64
from schedulers.backfill.jobs import Job
from schedulers.backfill.running import RunningPods, amounts_of, free_of, slots, take

_NOTHING_FREE: Int64 = np.zeros((0, 0), dtype=np.int64)
_NO_SLOTS: Int64 = np.zeros(0, dtype=np.int64)

Admits: TypeAlias = Callable[[Job], Bool]
"""Nodes whose spec lets the members in, bool [nodes]."""


class BackfillPlan(Protocol):
    @property
    def complete(self) -> bool:
        """Whether it promises nothing to any further job that waits."""

    def begin(self, job: Job) -> None:
        """The job is tried, until `undo` or `started`."""

    def penalty(self, job: Job) -> Int64 | None:
        """By node, how much a member that starts there now takes of what is promised: -1 for too much, 0 for nothing.
        None: nowhere anything.
        """

    def take(self, job: Job, member: int, node: int) -> None:
        """The job's member of that index would start on `node` now."""

    def undo(self) -> None: ...

    def started(self) -> None: ...

    def wait(self, job: Job) -> None:
        """The job does not start now: promise it what the plan promises."""


@dataclass(slots=True, eq=False)
class Shadow:
    """When the first job that waits fits, and what is free then. Of one state of the cluster; nothing is changed in it.

    `spare`: slots beyond those that the job needs.
    """

    version: int
    key: str
    wanted: int
    needs: Int64  # of a member, int64 [rows]
    shadow_ns: int
    free: Int64  # int64 [rows, nodes]
    slots: Int64  # of the job's members, int64 [nodes]
    admitted: Bool
    spare: int

    def holds(self, job: Job, version: int, now_ns: int) -> bool:
        """Whether it would be found again: nothing has come or gone, and nobody was due meanwhile."""
        if version != self.version or now_ns >= self.shadow_ns or job.key != self.key or job.wanted != self.wanted:
            return False
        return job.needs is self.needs or np.array_equal(job.needs, self.needs)


class EasyPlan:
    """One reservation: the first job that waits starts no later than at the shadow time, when it fits if running pods
    end as they declare. Another may start if it ends by then, or leaves room enough for the first at that instant.
    """

    def __init__(
        self, cluster: ClusterView, running: RunningPods, admits: Admits, before: list[Shadow] | None = None
    ) -> None:
        """`before`: what was found last, kept between plans; most calls change nothing of it."""
        self._known = [] if before is None else before
        self._cluster = cluster
        self._running = running
        self._admits = admits
        self._head: Shadow | None = None
        self._free = _NOTHING_FREE  # at the shadow time; a copy once something is taken
        self._slots = _NO_SLOTS  # of the head's members, at the shadow time; likewise
        self._spare = 0  # slots beyond those that the head needs
        self._delays = False  # the job that is tried still runs at the shadow time
        self._before: tuple[Int64, Int64, int] | None = None  # what it has taken so far leaves these behind

    @property
    def complete(self) -> bool:
        return self._head is not None

    def begin(self, job: Job) -> None:
        head, lifetime_ns = self._head, job.lifetime_ns
        self._before = None
        self._delays = head is not None and not (
            lifetime_ns is not None and self._cluster.now_ns + lifetime_ns <= head.shadow_ns
        )

    def penalty(self, job: Job) -> Int64 | None:
        if not self._delays:
            return None
        loss = self._slots - self._slots_without(job.needs)
        return np.where(loss <= self._spare, loss, -1)

    def take(self, job: Job, member: int, node: int) -> None:
        head = self._head
        if head is None or not self._delays:
            return
        if self._before is None:
            self._before = (self._free, self._slots, self._spare)
            self._free, self._slots = self._free.copy(), self._slots.copy()
        take(self._free, node, amounts_of(job.members[member]))
        left = slots(self._free[:, [node]], head.needs)[0] if head.admitted[node] else 0
        self._spare -= int(self._slots[node] - left)
        self._slots[node] = left

    def undo(self) -> None:
        if self._before is not None:
            self._free, self._slots, self._spare = self._before
            self._before = None

    def started(self) -> None:
        self._before = None

    def wait(self, job: Job) -> None:
        if self._head is not None:
            return
        cluster, known = self._cluster, self._known
        if not (known and known[0].holds(job, cluster.version, cluster.now_ns)):
            found = self._find_shadow(job)
            if found is None:
                return
            known[:] = [found]
        self._head = shadow = known[0]
        self._free, self._slots, self._spare = shadow.free, shadow.slots, shadow.spare

    def _slots_without(self, amounts: Int64) -> Int64:
        assert self._head is not None
        n = min(len(amounts), len(self._free))
        free = self._free.copy()
        free[:n] -= amounts[:n, None]
        return np.where(self._head.admitted, slots(free, self._head.needs), 0)

    def _find_shadow(self, job: Job) -> Shadow | None:
        """None where the job does not fit though all end that ever do."""
        free, wanted, admitted = free_of(self._cluster), job.needs, self._admits(job)
        at = np.where(admitted, slots(free, wanted), 0)
        total, shadow = int(at.sum()), self._cluster.now_ns
        ends = self._running.ends()
        while total < job.wanted:
            found = next(ends, None)
            if found is None:
                return None
            end, node, amounts = found
            shadow = max(shadow, end)
            take(free, node, amounts, 1)
            if admitted[node]:
                left = int(slots(free[:, [node]], wanted)[0])
                total += left - int(at[node])
                at[node] = left
        for end, node, amounts in ends:  # others that end at the same instant are gone by then, too
            if end > shadow:
                break
            take(free, node, amounts, 1)
            if admitted[node]:
                at[node] = slots(free[:, [node]], wanted)[0]
        spare = int(at.sum()) - job.wanted
        return Shadow(self._cluster.version, job.key, job.wanted, job.needs, shadow, free, at, admitted, spare)
