"""What the cluster autoscaler remembers of a pool."""

from __future__ import annotations

import msgspec

from harness.autoscaling.pool import NodePool


class Trouble(msgspec.Struct, frozen=True):
    """What the provider does `until_ns`: refuses (`quota`), has no machines (`outOfStock`), delivers none (`silent`),
    or `late_ns` later than it would."""

    kind: str
    until_ns: int
    late_ns: int = 0


class PoolState(msgspec.Struct):
    """`members`: registered nodes; `requested`: nodes that are coming, by name, with the instant of the request.
    One whose instance is made again is requested as of when it is due, and may be a member still.
    `expected`: the pool with its nodes as they are once they have started, without taints that go by then."""

    pool: NodePool
    expected: NodePool
    members: dict[str, None] = {}
    requested: dict[str, int] = {}
    failing: dict[str, str] = {}  # of those, instances that the provider could not make, and its words
    trouble: Trouble | None = None
    created: int = 0  # nodes ever requested: the next one's number
    backoff_ns: int = 0
    backoff_until_ns: int = 0  # no scale-up before
    failed_ns: int | None = None  # the last scale-up that failed
    last_scale_up_ns: int | None = None
    last_delete_ns: int | None = None
    last_failure_ns: int | None = None  # the last node whose removal failed
    increase: int = 0  # nodes of the scale-up that is under way, without those that could not be made

    def next_name(self) -> str:
        """Of a node that there is not, also where an earlier process made some."""
        while True:
            name = f"{self.pool.name}-{self.created}"
            self.created += 1
            if name not in self.members and name not in self.requested:
                return name

    @property
    def size(self) -> int:
        """With those that are coming."""
        return len(self.members) + len(self.coming)

    @property
    def coming(self) -> list[str]:
        return [name for name in self.requested if name not in self.members]

    def awaits(self, name: str, now: int) -> bool:
        """Whether a node of this name that there is now is the one that was requested."""
        return name in self.requested and self.requested[name] <= now

    @property
    def room(self) -> int:
        """More than `most` are there while one is replaced by another."""
        return max(self.pool.most - self.size, 0)
