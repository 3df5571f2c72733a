"""Objects of cluster-autoscaler's own tables."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.autoscaling.cluster.drainability import RemainingBudgets
from harness.engine.component import HOUR
from harness.model.core import Node, Pod
from harness.model.objects import PodDisruptionBudget, from_wire

NOW = 10 * HOUR
ANNOTATION = "cluster-autoscaler.kubernetes.io/"


def owned(kind: str = "ReplicaSet") -> list[dict[str, Any]]:
    return [{"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "u", "controller": True}]


def pod(
    name: str = "p", namespace: str = "ns", owner: str = "ReplicaSet", phase: str = "Running", **spec: Any
) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "ownerReferences": owned(owner) if owner else []}
    container = {"name": "c", "image": "x", "resources": {"requests": spec.pop("requests", {})}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}, "status": {"phase": phase}}  # fmt: skip  # noqa: E501


def with_meta(obj: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], **meta}}


def made(obj: dict[str, Any], created: int | None = None, deleted: int | None = None) -> Pod:
    found = from_wire(obj)
    assert isinstance(found, Pod)
    meta = replace(found.metadata, creation_timestamp=created, deletion_timestamp=deleted)
    return replace(found, metadata=meta)


def pdb(allowed: int, labels: dict[str, str], namespace: str = "ns", name: str = "b") -> PodDisruptionBudget:
    meta = {"name": name, "namespace": namespace}
    spec = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    found = from_wire({"kind": "PodDisruptionBudget", "metadata": meta, "spec": spec, "status": {"disruptionsAllowed": allowed}})  # fmt: skip  # noqa: E501
    assert isinstance(found, PodDisruptionBudget)
    return found


def budgets(*items: PodDisruptionBudget) -> RemainingBudgets:
    return RemainingBudgets({f"{item.metadata.namespace}/{item.metadata.name}": item for item in items})


def node(
    cpu: Any = "1000m", memory: Any = 2000, name: str = "", labels: dict[str, str] | None = None, **more: Any
) -> Node:
    amounts = {"cpu": cpu, "memory": str(memory), "pods": "100", **more.pop("devices", {})}
    status = {"capacity": amounts, "allocatable": {**amounts, **more.pop("allocatable", {})}, "conditions": [{"type": "Ready", "status": "True"}]}  # fmt: skip  # noqa: E501
    meta = {"name": name, "labels": labels or {}, "annotations": more.pop("annotations", {})}
    found = from_wire({"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": more, "status": status})
    assert isinstance(found, Node)
    return found
