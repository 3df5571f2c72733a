"""A node pool: nodes alike that a provider makes on request."""

from __future__ import annotations

import msgspec

from harness.engine.latency import Latency
from harness.model.core import Node

POOL_LABEL = "podyard.dev/pool"
HOSTNAME = "kubernetes.io/hostname"

replaced = msgspec.structs.replace


class NodePool(msgspec.Struct, frozen=True, kw_only=True):
    """`template`: a node of the pool without its name. `provisioning`: from the request to the machine's start.
    `price`: of a node for an hour, None where nobody says."""

    name: str
    template: Node
    least: int = 0
    most: int
    provisioning: Latency
    price: float | None = None

    def node(self, name: str) -> Node:
        """A node of the pool with this name."""
        meta = self.template.metadata
        return replaced(self.template, metadata=replaced(meta, name=name, labels={**meta.labels, HOSTNAME: name}))
