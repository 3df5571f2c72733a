"""A node pool: nodes alike that a provider makes on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from harness.engine.latency import Constant, Latency
from harness.model.core import Node
from harness.model.node_labels import HOSTNAME, with_node_labels
from harness.model.node_labels import POOL_LABEL as POOL_LABEL

replaced = msgspec.structs.replace


class NodePool(msgspec.Struct, frozen=True, kw_only=True):
    """`template`: a node of the pool without its name. `provisioning`: from the request to the machine's start; `boot`:
    from its registration until it is Ready. Of the provider: `quota` nodes are granted, `stock` machines are there, and
    `lost_percent` of those that it makes never come. `price`: of a node for an hour, None where nobody says."""

    name: str
    template: Node
    least: int = 0
    most: int
    provisioning: Latency
    price: float | None = None
    boot: Latency = Constant(0)
    quota: int | None = None
    stock: int | None = None
    lost_percent: int = 0

    def node(self, name: str) -> Node:
        """A node of the pool with this name."""
        meta = self.template.metadata
        labels = with_node_labels(name, {**meta.labels, HOSTNAME: name})
        return replaced(self.template, metadata=replaced(meta, name=name, labels=labels))


def cores_and_memory(node: Node) -> dict[str, int]:
    """Whole cores, a part of one as one, and bytes; of the capacity. Source: cluster-autoscaler core/utils/utils.go
    GetNodeCoresAndMemory (1.34)."""
    capacity = node.status.capacity
    cpu, memory = capacity.get("cpu"), capacity.get("memory")
    return {
        "cpu": 0 if cpu is None else -(-cpu.milli // 1000),
        "memory": 0 if memory is None else memory.milli // 1000,
    }


def total_of(nodes: Iterable[Node]) -> Counter[str]:
    """The sum of `cores_and_memory`."""
    out: Counter[str] = Counter()
    for node in nodes:
        out.update(cores_and_memory(node))
    return out
