"""A node pool, and what the autoscaler remembers of it."""

from __future__ import annotations

import msgspec

from harness.engine.latency import Latency
from harness.model.core import Node

POOL_LABEL = "podyard.dev/pool"
HOSTNAME = "kubernetes.io/hostname"

replaced = msgspec.structs.replace


class NodePool(msgspec.Struct, frozen=True, kw_only=True):
    """`template`: a node of the pool without its name. `provisioning`: from the request to the machine's start."""

    name: str
    template: Node
    least: int = 0
    most: int
    provisioning: Latency

    def node(self, name: str) -> Node:
        """A node of the pool with this name."""
        meta = self.template.metadata
        return replaced(self.template, metadata=replaced(meta, name=name, labels={**meta.labels, HOSTNAME: name}))


class PoolState(msgspec.Struct):
    """`members`: registered nodes; `requested`: nodes that are coming, by name, with the instant of the request."""

    pool: NodePool
    members: dict[str, None] = {}
    requested: dict[str, int] = {}
    created: int = 0  # nodes ever requested: the next one's number
    backoff_ns: int = 0
    backoff_until_ns: int = 0  # no scale-up before

    @property
    def size(self) -> int:
        """With those that are coming."""
        return len(self.members) + len(self.requested)

    @property
    def room(self) -> int:
        return self.pool.most - self.size
