"""Nodes that folds are told of."""

from __future__ import annotations

from harness.model.core import Node, NodeStatus
from harness.model.gpu import GPU_COUNT
from harness.model.meta import ObjectMeta
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity


def node(name: str, cpu: int = 4000, gpus: int = 0) -> Node:
    allocatable = {"cpu": milli_quantity(cpu), "memory": bytes_quantity(1 << 34), "pods": count_quantity(10)}
    if gpus:
        allocatable[GPU_COUNT] = count_quantity(gpus)
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(allocatable=allocatable))
