"""A model Node as the cluster state keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from harness.model.core import Node, Taint
from harness.model.gpu import GPU_COUNT, GPU_MILLI, GPU_MODEL, WHOLE_GPU
from harness.model.pod_amounts import resource_amounts
from harness.model.whole_numbers import whole_number
from harness.scheduling.state.images import Image

RANK = "podyard.dev/rank"
"""Node annotation: the node's place in the order that breaks ties, lowest first; without it, order of arrival."""


class NodeDetails(TypedDict, total=False):
    """What else a node says of itself; see NodeSpec."""

    labels: Mapping[str, str] | None
    taints: Sequence[Taint]
    unschedulable: bool
    rank: int | None
    images: Iterable[Image]


class NodeArguments(NodeDetails):
    name: str
    capacity: Mapping[str, int]
    gpu_devices: int
    gpu_model: str


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """`rank`: place in the order that breaks ties, lowest first; None for the order of arrival."""

    labels: Mapping[str, str] | None = None
    taints: Sequence[Taint] = ()
    unschedulable: bool = False
    rank: int | None = None
    images: Iterable[Image] = ()


def node_columns(node: Node) -> NodeArguments:
    """Arguments of ClusterState.add_node and update_node; a RANK that is no whole number is none."""
    capacity = resource_amounts(node.status.allocatable)
    whole = capacity.pop(WHOLE_GPU, 0)
    devices = capacity.pop(GPU_COUNT, whole)
    capacity.pop(GPU_MILLI, None)  # says the same as the count of devices
    return {
        "name": node.metadata.name,
        "capacity": capacity,
        "gpu_devices": devices,
        "gpu_model": node.metadata.labels.get(GPU_MODEL, ""),
        "labels": node.metadata.labels,
        "taints": node.spec.taints,
        "unschedulable": bool(node.spec.unschedulable),
        "rank": whole_number(node.metadata.annotations.get(RANK, "")),
        "images": tuple((image.names, image.size_bytes or 0) for image in node.status.images),
    }
