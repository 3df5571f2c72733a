"""Clusters with NodePools for tests: objects in plain data, a run, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace

from harness.experiment.run import Home, Run
from harness.experiment.scenario import read_scenario
from harness.model.core import Node
from harness.model.karpenter import CAPACITY_TYPE, INSTANCE_TYPE, NODEPOOL, ZONE
from harness.scheduling.registry import load

CATALOGUE = Path(__file__).with_name("small_catalogue.csv")
"""Six types in three zones: two CPUs cost 0.1 an hour, on demand; spot is 40 % of that."""


def node_pool(name: str = "p", requirements: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    """On demand and amd64 where nothing else is said; `template`: fields of spec.template.spec."""
    asked = requirements if requirements is not None else [on("karpenter.sh/capacity-type", "on-demand"), amd64()]
    template = {
        "nodeClassRef": {"group": "g", "kind": "k", "name": "n"},
        "requirements": asked,
        **spec.pop("template", {}),
    }
    labels = {"metadata": {"labels": spec.pop("labels")}} if "labels" in spec else {}
    meta = {"name": name}
    whole = {"template": {**labels, "spec": template}, **spec}
    return {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": meta, "spec": whole}


def on(key: str, *values: str, operator: str = "In", **more: Any) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values), **more}


def amd64() -> dict[str, Any]:
    return on("kubernetes.io/arch", "amd64")


def pod_template(
    name: str, cpu: Any = 1, memory: str = "1Gi", annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": str(cpu), "memory": memory}}}
    meta = {"labels": {"app": name}, "annotations": annotations or {}}
    return {"metadata": meta, "spec": {"containers": [container], **spec}}


def deployment(name: str, replicas: int, **more: Any) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name, **more)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"}, "spec": spec}  # fmt: skip  # noqa: E501


def daemon_set(cpu: Any = 1, **more: Any) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "ds"}}, "template": pod_template("ds", cpu, **more)}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ds", "namespace": "default"}, "spec": spec}  # fmt: skip  # noqa: E501


def budget(app: str, least: int) -> dict[str, Any]:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": app}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app, "namespace": "default"}, "spec": spec}  # fmt: skip  # noqa: E501


def spread(app: str, key: str = ZONE, skew: int = 1, when: str = "DoNotSchedule") -> dict[str, Any]:
    selector = {"matchLabels": {"app": app}}
    return {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector}


class Story:
    """A run, played up to `until`, and further by `go`."""

    def __init__(
        self,
        tmp_path: Path,
        *objects: dict[str, Any],
        until: str = "3m",
        seed: int = 0,
        settings: str = "",
        **spec: Any,
    ) -> None:
        group = {"name": "n", "count": 1, "cpu": "100m", "memory": "1Gi", "zones": ["a"]}
        whole = {
            "autoscaler": f"just-in-time{settings}",
            "catalogue": str(CATALOGUE),
            "duration": until,
            "bound": False,
            "nodes": [{"group": group}],
            "workload": [{"objects": list(objects)}],
            **spec,
        }
        data = {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": "s"}, "spec": whole}
        path = tmp_path / f"s-{seed}.yaml"
        path.write_text(yaml.safe_dump(data))
        self.run = Run(read_scenario(path), load("greedy")(), seed, Home())
        self.run.play()
        self.cluster = self.run.cluster

    def nodes(self) -> dict[str, Node]:
        """Of NodePools, by name."""
        found = self.cluster.server.objects("Node")
        return {name: node for name, node in found.items() if NODEPOOL in node.metadata.labels}

    def types(self) -> Counter[str]:
        return Counter(node.metadata.labels[INSTANCE_TYPE] for node in self.nodes().values())

    def values(self, key: str = ZONE) -> Counter[str]:
        return Counter(node.metadata.labels[key] for node in self.nodes().values())

    def capacity_types(self) -> Counter[str]:
        return self.values(CAPACITY_TYPE)

    def claims(self) -> dict[str, Any]:
        return dict(self.cluster.server.objects("NodeClaim"))

    def where(self) -> dict[str, str]:
        return {key: pod.spec.node_name for key, pod in self.cluster.server.objects("Pod").items()}

    def pending(self) -> list[str]:
        return [key for key, node in self.where().items() if not node]

    def events(self, reason: str) -> list[str]:
        found = self.cluster.server.objects("Event").values()
        return [event.message for event in found if event.reason == reason]

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        server = self.cluster.server
        server.now = max(server.now, self.cluster.now)
        server.delete(kind, namespace, name)

    def scale(self, name: str, replicas: int) -> None:
        self._change("Deployment", name, "default", lambda obj: replace(obj, spec=replace(obj.spec, replicas=replicas)))

    def change_template(self, name: str, **spec: Any) -> None:
        """Of a Deployment: fields of its pods' spec."""

        def change(obj: Any) -> Any:
            template = replace(obj.spec.template, spec=replace(obj.spec.template.spec, **spec))
            return replace(obj, spec=replace(obj.spec, template=template))

        self._change("Deployment", name, "default", change)

    def annotate(self, node: str, key: str, value: str) -> None:
        def change(obj: Any) -> Any:
            return replace(obj, metadata=replace(obj.metadata, annotations={**obj.metadata.annotations, key: value}))

        self._change("Node", node, "", change)

    def change_pool(self, name: str, change: Callable[[Any], Any]) -> None:
        self._change("NodePool", name, "", change)

    def _change(self, kind: str, name: str, namespace: str, change: Callable[[Any], Any]) -> None:
        server = self.cluster.server
        server.now = max(server.now, self.cluster.now)
        server.update(change(server.get(kind, namespace, name)))

    def go(self, seconds: float) -> None:
        server = self.cluster.server
        at = max(self.cluster.now, server.now) + round(seconds * 1e9)
        self.cluster.api.flush(server.now)
        self.cluster.run(at)
        server.now = max(server.now, at)
        assert self.cluster.component_faults == []
