"""Clusters with pools for tests of the cluster autoscaler: objects in plain data, a run to its end, what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from harness.experiment.run import Home, Run
from harness.experiment.scenario import read_scenario
from harness.scheduling.registry import load
from tests.experiment.scenarios import written

SMALL = {"name": "p", "min": 0, "max": 10, "cpu": 4, "memory": "16Gi", "zone": "a", "provisioning": "45s"}
ON_POOL: dict[str, Any] = {"nodeSelector": {"podyard.dev/pool": "p"}}


def nodes_of(cpu: Any, count: int = 1, zones: tuple[str, ...] = ("a",)) -> list[dict[str, Any]]:
    return [{"group": {"name": "n", "count": count, "cpu": cpu, "memory": "16Gi", "zones": list(zones)}}]


def template(name: str, cpu: Any = 1, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": str(cpu), "memory": "1Gi"}}}
    meta = {"labels": {"app": name}, "annotations": annotations or {}}
    return {"metadata": meta, "spec": {"containers": [container], **spec}}


def deployment(name: str, replicas: int, namespace: str = "default", **more: Any) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name, **more)}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def job(pods: int, cpu: Any = 1, last: str = "300s") -> dict[str, Any]:
    """Pods that are there until about 360 s, so that nodes which came for them are unneeded from then on."""
    inner = template("j", cpu, {"podyard.dev/duration": last}, restartPolicy="Never")
    spec = {"completions": pods, "parallelism": pods, "template": inner}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "default"}, "spec": spec}


def daemon_set(cpu: Any = 1) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "ds"}}, "template": template("ds", cpu)}
    meta = {"name": "ds", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": spec}


def budget(app: str, least: int) -> dict[str, Any]:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": app}}}
    meta = {"name": app, "namespace": "default"}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}


def priority_class(name: str, value: int) -> dict[str, Any]:
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value}


class Played:
    """A run to its end, with the instants at which nodes came and went."""

    def __init__(self, folder: Path, objects: list[dict[str, Any]], flags: str = "", **spec: Any) -> None:
        (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))
        spec = {"bound": False, "pools": [SMALL], "workload": [{"manifests": ["objects.yaml"]}], **spec}
        if flags:
            spec["autoscaler"] = f"cluster-autoscaler?{flags}"
        self.run = Run(read_scenario(written(folder, **spec)), load("kube")(), 1, Home())
        self.came: dict[str, float] = {}
        self.went: dict[str, float] = {}
        self.run.cluster.server.listeners.append(self._write)
        self.run.play()

    def _write(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Node" and change in ("ADDED", "DELETED"):
            times = self.came if change == "ADDED" else self.went
            times[obj.metadata.name] = self.run.cluster.loop.now / 1e9

    @property
    def nodes(self) -> list[str]:
        """Of pools, those that are there at the end."""
        names = [node.metadata.name for node in self.run.cluster.server.listed("Node")]
        return sorted(name for name in names if name != "gateway" and not name.startswith("n-"))

    def pods(self, app: str) -> Counter[str]:
        pods = self.run.cluster.server.listed("Pod")
        return Counter(pod.status.phase for pod in pods if pod.metadata.labels.get("app") == app)

    def why(self, node: str) -> str:
        """Why the autoscaler keeps the node, as of its last scan."""
        known: Any = next(item for item in self.run.cluster.components.values() if hasattr(item, "reasons_to_stay"))
        return str(known.reasons_to_stay().get(node, ""))

    def evicted(self, prefix: str) -> set[str]:
        """Pods whose names begin so and that their kubelet was told to stop."""
        events = self.run.cluster.server.listed("Event")
        names = {event.involved_object.name for event in events if event.reason == "Killing"}
        return {name for name in names if name.startswith(prefix)}

    def times(self) -> list[tuple[str, float]]:
        """Reasons of Events with their seconds, in order."""
        events = self.run.cluster.server.listed("Event")
        return sorted(((event.reason, event.first_timestamp / 1e9) for event in events), key=lambda item: item[1])

    def messages(self, reason: str) -> set[str]:
        return {event.message for event in self.run.cluster.server.listed("Event") if event.reason == reason}


Play = Callable[..., Played]
