"""Extended resources that somebody advertises for a node: what a kubelet makes of them.

Source: pkg/kubelet/nodestatus/setters.go MachineInfo; kubernetes.io/docs, "Advertise Extended Resources for a Node".
"""

from __future__ import annotations

from msgspec.structs import replace

from harness.model.core import Node


def with_extended_resources(built: Node, stored: Node) -> Node:
    """`built`, as the machine is, with the extended resources that somebody has written into the stored node's
    capacity: all of them can be allocated. `built` itself where there are none.
    """
    own = built.status.capacity
    more = {name: amount for name, amount in stored.status.capacity.items() if name not in own and _is_extended(name)}
    if not more:
        return built
    status = built.status
    return replace(built, status=replace(status, capacity={**own, **more}, allocatable={**status.allocatable, **more}))


def _is_extended(name: str) -> bool:
    """Source: pkg/apis/core/v1/helper IsExtendedResourceName."""
    return "/" in name and "kubernetes.io/" not in name
