"""metrics.k8s.io as clients read it, computed when somebody asks; and ComponentStatus, APIService.

Source: sigs.k8s.io/metrics-server; `kubectl top` and dashboards read it. What pods use: `harness.model.pod_usage`. What
a node uses is the sum of its pods.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.http.discovery import groups
from harness.apiserver.http.resources import resources
from harness.apiserver.server import ApiServer
from harness.model.core import Pod
from harness.model.meta import ObjectMeta, is_ready
from harness.model.objects import Unstructured
from harness.model.pod_usage import container_metrics, idle_cpu_milli, measured, memory_milli
from harness.model.quantity import Quantity, QuantityFormat, milli_quantity
from harness.model.times import duration_text
from harness.model.wire import Time
from harness.model.workloads import NodeMetrics, PodMetrics


def attach(server: ApiServer) -> None:
    server.views["PodMetrics"] = lambda: [_of_pod(server, pod) for pod in _running(server)]
    server.views["NodeMetrics"] = lambda: _of_nodes(server)
    server.views["APIService"] = _api_services
    server.views["ComponentStatus"] = lambda: [_component(name) for name in _COMPONENTS]


def detach(server: ApiServer) -> None:
    server.views.clear()


def _running(server: ApiServer) -> list[Pod]:
    """Those on nodes that answer."""
    ready = {node.metadata.name for node in server.listed("Node") if is_ready(node.status.conditions)}
    return [pod for pod in server.listed("Pod") if pod.status.phase == "Running" and pod.spec.node_name in ready]


def _of_pod(server: ApiServer, pod: Pod) -> PodMetrics:
    """As autoscalers see it. A pod that has not been measured twice yet is shown with what it uses now, where
    metrics-server would make people wait."""
    meta = pod.metadata
    found = measured(pod, server.objects("PodMetrics").get(meta.key), server.now, server.scrapes)
    if found is not None:
        return found
    at = Time(server.now)
    return PodMetrics(
        metadata=ObjectMeta(name=meta.name, namespace=meta.namespace, labels=meta.labels, creation_timestamp=at),
        timestamp=at,
        window=duration_text(server.scrapes.resolution_ns),
        containers=container_metrics(pod, idle_cpu_milli(pod), memory_milli(pod)),
    )


def _of_nodes(server: ApiServer) -> list[NodeMetrics]:
    """Of nodes that answer."""
    used: dict[str, dict[str, int]] = {}
    for pod in _running(server):
        of_node = used.setdefault(pod.spec.node_name, {})
        for item in _of_pod(server, pod).containers:
            for resource, amount in item.usage.items():
                of_node[resource] = of_node.get(resource, 0) + amount.milli
    out = []
    for node in server.listed("Node"):
        name = node.metadata.name
        if is_ready(node.status.conditions):
            of_node = used.get(name, {})
            usage = {
                "cpu": milli_quantity(of_node.get("cpu", 0)),
                "memory": Quantity(of_node.get("memory", 0), QuantityFormat.BINARY),
            }
            meta = ObjectMeta(name=name, labels=node.metadata.labels, creation_timestamp=Time(server.now))
            window = duration_text(server.scrapes.resolution_ns)
            out.append(NodeMetrics(metadata=meta, timestamp=Time(server.now), window=window, usage=usage))
    return out


def _api_services() -> list[Any]:
    """One for each group and version, all served here; the API's own groups come before those that users define.
    Source: pkg/controlplane/apiserver/aggregator.go DefaultGenericAPIServicePriorities, of which one stands for all
    groups but the core's; pkg/controlplane/controller/crdregistration (1.34)."""
    out = []
    for group, version in [(group, version) for group, versions in groups().items() for version in versions]:
        served = resources().get(f"{group}/{version}" if group else version, {}).values()
        custom = any(resource.schema is not None for resource in served)
        of_group, of_version = (18000, 1) if not group else (1000, 100) if custom else (17000, 15)
        said = {
            "type": "Available",
            "status": "True",
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
        spec = {"version": version, "groupPriorityMinimum": of_group, "versionPriority": of_version}
        body = {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "spec": {**({"group": group} if group else {}), **spec},
            "status": {"conditions": [said]},
        }
        labels = {"kube-aggregator.kubernetes.io/automanaged": "true" if custom else "onstart"}
        out.append(Unstructured(metadata=ObjectMeta(name=f"{version}.{group}", labels=labels), extra=body))
    return sorted(out, key=lambda item: item.metadata.name)


_COMPONENTS = ("controller-manager", "etcd-0", "scheduler")


def _component(name: str) -> Any:
    """They live in the process that answers."""
    said = {"type": "Healthy", "status": "True", "message": "ok"}
    body = {"apiVersion": "v1", "kind": "ComponentStatus", "conditions": [said]}
    return Unstructured(metadata=ObjectMeta(name=name), extra=body)
