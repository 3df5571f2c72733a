"""What a kubelet says about its node: the Node object and its status, and the Lease that shows it is alive."""

from __future__ import annotations

from hashlib import blake2b

from msgspec.structs import replace

from harness.model.core import Node, NodeAddress, NodeStatus, Taint
from harness.model.meta import Condition, ObjectMeta
from harness.model.node_labels import BOOT, with_node_labels
from harness.model.whole_numbers import whole_number
from harness.model.wire import MicroTime, Time
from harness.model.workloads import Lease, LeaseSpec

RANK = "podyard.dev/rank"
"""Node annotation: its place in the order of nodes."""

LEASE_NAMESPACE = "kube-node-lease"
"""Source: core/v1 NamespaceNodeLease."""


def internal_ip_of(node: Node) -> str:
    """Its InternalIP; where it has none, 172.16.0.0/12 by its rank, or 10.0.0.0 to 10.95.255.255 by its name."""
    for item in node.status.addresses:
        if item.type == "InternalIP":
            return item.address
    rank = whole_number(node.metadata.annotations.get(RANK, ""))
    if rank is not None and rank + 1 < 1 << 20:
        number = (172 << 24 | 16 << 16) + rank + 1
    else:
        digest = int.from_bytes(blake2b(node.metadata.name.encode(), digest_size=8).digest(), "big")
        number = (10 << 24) + digest % (96 << 16)
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def ready_node(node: Node, address: str, now: int) -> Node:
    """The node as its kubelet reports it. Source of the conditions: pkg/kubelet/nodestatus/setters.go."""
    status = node.status
    addresses = status.addresses or (
        NodeAddress(type="InternalIP", address=address),
        NodeAddress(type="Hostname", address=node.metadata.name),
    )
    return Node(
        metadata=node.metadata,
        spec=node.spec,
        status=NodeStatus(
            capacity=status.capacity,
            allocatable=status.allocatable,
            conditions=_conditions(now),
            addresses=addresses,
            images=status.images,
            extra=status.extra,
        ),
        extra=node.extra,
    )


NOT_READY = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
"""Of a node at birth. Source: plugin/pkg/admission/nodetaint (TaintNodesByCondition), until it is Ready."""


def labelled_node(node: Node) -> Node:
    """With the labels that a kubelet sets."""
    meta = node.metadata
    labels = with_node_labels(meta.name, meta.labels)
    return node if labels == meta.labels else replace(node, metadata=replace(meta, labels=labels))


def boot_ns_of(node: Node) -> int:
    """From its registration until it is Ready, ns."""
    return whole_number(node.metadata.annotations.get(BOOT, "")) or 0


def booting_node(node: Node, now: int) -> Node:
    """A node that has registered and has no network yet. Source: pkg/kubelet/nodestatus/setters.go ReadyCondition."""
    said = Condition(
        type="Ready", status="False", reason="KubeletNotReady",
        message="container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
        "message:Network plugin returns error: cni plugin not initialized",
        last_transition_time=Time(now),
    )  # fmt: skip
    status = replace(node.status, conditions=(*node.status.conditions[:-1], said))
    return replace(node, spec=replace(node.spec, taints=(*node.spec.taints, NOT_READY)), status=status)


_said: tuple[int, tuple[Condition, ...]] = (-1, ())


def _conditions(now: int) -> tuple[Condition, ...]:
    # Many nodes are powered on at one instant.
    global _said
    if _said[0] != now:
        at = Time(now)
        _said = (
            now,
            (
                Condition(type="MemoryPressure", status="False", reason="KubeletHasSufficientMemory",
                          message="kubelet has sufficient memory available", last_transition_time=at),
                Condition(type="DiskPressure", status="False", reason="KubeletHasNoDiskPressure",
                          message="kubelet has no disk pressure", last_transition_time=at),
                Condition(type="PIDPressure", status="False", reason="KubeletHasSufficientPID",
                          message="kubelet has sufficient PID available", last_transition_time=at),
                Condition(type="Ready", status="True", reason="KubeletReady",
                          message="kubelet is posting ready status", last_transition_time=at),
            ),
        )  # fmt: skip
    return _said[1]


def lease(name: str, now: int, duration_s: int) -> Lease:
    """Renewed now."""
    return Lease(
        metadata=ObjectMeta(name=name, namespace=LEASE_NAMESPACE),
        spec=LeaseSpec(holder_identity=name, lease_duration_seconds=duration_s, renew_time=MicroTime(now)),
    )
