"""When leases end, in memory: granting, renewing and ending one costs the logarithm of their number."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush, heapreplace

from harness.store.interface import LeaseNotFound


class Leases:
    def __init__(self, times: Mapping[int, tuple[int, int]] | None = None, next_id: int = 1) -> None:
        self.times: dict[int, tuple[int, int]] = dict(times or {})  # id: (ttl_ns, expires_at_ns)
        self.next_id = next_id
        # A renewal leaves the heap as it is: what it says of a lease is never too late, and is put right at the top.
        self._heap = [(expires, lease) for lease, (_, expires) in self.times.items()]
        heapify(self._heap)

    def __contains__(self, lease: int) -> bool:
        return lease in self.times

    def grant(self, ttl_ns: int, now_ns: int) -> int:
        if ttl_ns <= 0:
            raise ValueError(f"a lease's time to live must be positive, found {ttl_ns} ns")
        lease = self.next_id
        self.next_id += 1
        self.times[lease] = (ttl_ns, now_ns + ttl_ns)
        heappush(self._heap, (now_ns + ttl_ns, lease))
        return lease

    def keep_alive(self, lease: int, now_ns: int) -> None:
        try:
            ttl_ns, before = self.times[lease]
        except KeyError:
            raise LeaseNotFound(lease) from None
        self.times[lease] = (ttl_ns, now_ns + ttl_ns)
        if now_ns + ttl_ns < before:
            heappush(self._heap, (now_ns + ttl_ns, lease))

    def end(self, lease: int) -> None:
        if self.times.pop(lease, None) is None:
            raise LeaseNotFound(lease)

    def first(self) -> tuple[int, int] | None:
        """(expires_at_ns, id) of the one that ends first."""
        heap = self._heap
        while heap:
            expires, lease = heap[0]
            known = self.times.get(lease)
            if known is None:
                heappop(heap)
            elif known[1] != expires:
                heapreplace(heap, (known[1], lease))
            else:
                return expires, lease
        return None
