"""What will be free on each node from each instant on, as running pods and promised jobs declare their ends."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from harness.scheduling.strategy import Bool, ClusterView, Int64
from schedulers.backfill.jobs import Job
from schedulers.backfill.running import RunningPods, free_of, slots, take

MOST_INSTANTS = 256
"""At which running pods end; what ends later is taken to end with the last of all."""

FOREVER = 1 << 62


class Profile:
    """`times`: instants at which something changes, the first of them now. `free`: from each of them to the next, int64
    [instants, rows, nodes], rows as in `amounts_of`.
    """

    def __init__(self, cluster: ClusterView, running: RunningPods, instants: Iterable[int]) -> None:
        """`instants`: others at which something will change. They are there from the beginning, for adding one copies
        all of `free`."""
        now = cluster.now_ns
        ends = [(max(end, now + 1), node, amounts) for end, node, amounts in running.ends()]
        known = sorted({end for end, _, _ in ends})
        if len(known) >= MOST_INSTANTS:
            known = [*known[: MOST_INSTANTS - 2], known[-1]]
        places = np.searchsorted(known, [end for end, _, _ in ends])
        self.times = sorted({now, *known, *(each for each in instants if now < each < FOREVER)})
        base = free_of(cluster)
        self.free = np.zeros((len(self.times), *base.shape), dtype=np.int64)
        self.free[0] = base
        for (_, node, amounts), place in zip(ends, places.tolist(), strict=True):
            take(self.free[bisect_left(self.times, known[place])], node, amounts, 1)
        np.cumsum(self.free, axis=0, out=self.free)

    def until(self, job: Job, start_ns: int) -> int:
        return FOREVER if job.lifetime_ns is None else start_ns + job.lifetime_ns

    def at(self, instant: int) -> int:
        """The index of the instant, which is there from now on; of FOREVER, that beyond the last."""
        place = bisect_left(self.times, instant)
        if instant < FOREVER and (place == len(self.times) or self.times[place] != instant):
            self.times.insert(place, instant)
            self.free = np.insert(self.free, place, self.free[place - 1], axis=0)
        return place

    def room(self, job: Job, start_ns: int, admitted: Bool) -> Int64:
        """How many members fit on each node from then on, for as long as they run, int64 [nodes]."""
        first = max(bisect_left(self.times, start_ns + 1) - 1, 0)
        lowest = self.free[first : self._end(job, start_ns)].min(axis=0)
        return np.where(admitted, slots(lowest, job.needs), 0)

    def fits(self, needs: Int64, start_ns: int, until_ns: int, nodes: Iterable[tuple[int, int]]) -> bool:
        """Whether so many members fit on those nodes: (node, members)."""
        first, last = bisect_left(self.times, start_ns + 1) - 1, bisect_left(self.times, until_ns)
        rows = min(len(needs), self.free.shape[1])
        if needs[rows:].any():
            return False
        return all(
            bool((self.free[first:last, :rows, node] >= needs[:rows] * members).all()) for node, members in nodes
        )

    def earliest(self, job: Job, from_ns: int, admitted: Bool) -> tuple[int | None, int | None]:
        """When enough members fit on nodes that have room for as long as they run; and when enough do at each instant
        of that time, though on other nodes at another.
        """
        room = np.where(admitted, slots(self.free, job.needs), 0)  # [instants, nodes]
        enough = room.sum(axis=1) >= job.wanted
        first = max(bisect_left(self.times, from_ns + 1) - 1, 0)
        loosely = None
        while first < len(self.times):
            start_ns = max(self.times[first], from_ns)
            last = self._end(job, start_ns)
            lacking = np.flatnonzero(~enough[first:last])
            if len(lacking):  # until after that instant each start comes upon it
                first += int(lacking[-1]) + 1
                continue
            loosely = start_ns if loosely is None else loosely
            if room[first:last].min(axis=0).sum() >= job.wanted:
                return start_ns, loosely
            first += 1
        return None, loosely

    def change(self, first_ns: int, until_ns: int, node: int, amounts: tuple[int, ...], sign: int = -1) -> None:
        """Of what is free on a node between two instants."""
        first, last = self.at(first_ns), self.at(until_ns)
        n = min(len(amounts), self.free.shape[1])
        self.free[first:last, :n, node] += sign * np.array(amounts[:n], dtype=np.int64)

    def _end(self, job: Job, start_ns: int) -> int:
        """The index of the first instant at which the job is over if it starts at `start_ns`."""
        return max(bisect_left(self.times, self.until(job, start_ns)), bisect_left(self.times, start_ns + 1))
