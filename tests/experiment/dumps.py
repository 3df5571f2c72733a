"""A small cluster as `kubectl get -A -o json` would write it: what ran, and what had no node."""

from __future__ import annotations

from functools import cache
from typing import Any

from harness.experiment.run import Home, Run
from harness.experiment.strategies import load_strategy
from harness.model.objects import KINDS, to_wire
from tests.experiment.scenarios import loaded

POOL = "cloud.google.com/gke-nodepool"


def controller(kind: str, name: str, cpu: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    template = {"metadata": {"labels": {"run": name}}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"run": name}}
    meta = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta,
        "spec": {**spec, "selector": selector, "template": template},
    }


@cache
def dumped() -> tuple[dict[str, Any], ...]:
    """Three nodes of 4 CPUs in a pool np; a service of three pods with an autoscaler, a DaemonSet, and a Deployment of
    five pods of 3 CPUs, of which three have a node."""
    nodes = {"name": "np", "count": 3, "cpu": 4, "memory": "16Gi", "zones": ["a"], "labels": {POOL: "np"}}
    service = {"name": "web", "replicas": 3, "cpu": "500m", "load": {"constant": {"rps": 30}}}
    objects = [controller("DaemonSet", "agent", "100m"), controller("Deployment", "big", "3", replicas=5)]
    made = loaded(
        duration="2m",
        nodes=[{"group": nodes}],
        workload=[{"objects": objects}, {"service": {**service, "autoscaler": {"min": 2, "max": 20}}}],
    )
    run = Run(made, load_strategy(made, "kube")(), 1, Home())
    run.play()
    return tuple(to_wire(obj) for kind in KINDS for obj in run.cluster.server.objects(kind).values())


def of_kinds(*kinds: str) -> list[dict[str, Any]]:
    return [item for item in dumped() if item["kind"] in kinds]
