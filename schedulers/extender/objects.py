"""Pods and nodes as extenders are sent them: Kubernetes objects, made from what a strategy sees."""

from __future__ import annotations

from typing import Any

from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_MILLI, GPU_MODEL
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.scheduling.strategy import CPU, MEMORY, ClusterView, Int64, PodView

FREE = "podyard.dev/free"
"""Node annotation, JSON: what is not requested, by resource. Not kube-scheduler's: an extender that watches no API
server has no other way to know."""

_BYTES = {"memory", "ephemeral-storage"}


def pod_object(pod: PodView, cluster: ClusterView) -> dict[str, Any]:
    """What it asks for, its labels and priority; other parts of its spec are the harness's to hold, and not sent."""
    gpu = pod.gpu
    annotations = {}
    if gpu.count:
        annotations = {GPU_COUNT: str(gpu.count), GPU_MILLI: str(gpu.milli)}
        if gpu.models:
            annotations[GPU_MODEL] = "|".join(gpu.models)
    requests = {name: text for name, text in amounts(pod.requests, cluster).items() if name != "pods"}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": pod.key.rpartition("/")[2],
            "namespace": pod.namespace,
            "uid": pod.key,
            "labels": dict(pod.labels),
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "all", "resources": {"requests": requests}}], "priority": pod.priority},
    }


def node_object(cluster: ClusterView, node: int) -> dict[str, Any]:
    """Name, labels, taints, allocatable, and what is free."""
    import json

    allocatable = amounts(cluster.capacity[:, node], cluster)
    free = amounts(cluster.free[:, node], cluster)
    devices = int((cluster.gpu_capacity[node] > 0).sum())
    if devices:
        allocatable[GPU_COUNT] = str(devices)
        free[GPU_MILLI] = ",".join(str(milli) for milli in cluster.gpu_free[node, :devices].tolist())
        assert DEVICE_MILLI == 1000
    return {
        "metadata": {
            "name": cluster.names[node],
            "labels": dict(cluster.labels(node)),
            "annotations": {FREE: json.dumps(free, sort_keys=True)},
        },
        "spec": {
            "taints": [{"key": key, "value": value, "effect": effect} for key, value, effect in cluster.taints(node)]
        },
        "status": {"capacity": allocatable, "allocatable": allocatable},
    }


def amounts(column: Int64, cluster: ClusterView) -> dict[str, str]:
    """int64 [resources] as quantities by name; zeros left out, but for CPU and memory."""
    out = {}
    for row, (name, amount) in enumerate(zip(cluster.resources, column.tolist(), strict=False)):
        if not amount and row not in (CPU, MEMORY):
            continue
        made = milli_quantity if row == CPU else bytes_quantity if name in _BYTES else count_quantity
        out[name] = str(made(amount))
    return out
