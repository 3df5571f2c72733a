"""A small cluster with one object of each kind that controllers care for, and the faults that can be done to it."""

from __future__ import annotations

from typing import Any

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.convergence.checkers import HEAL_NS, converged
from harness.engine.component import SECOND, InjectFault, RestartApiServer
from harness.model.core import Node, NodeStatus
from harness.model.faults import NodeFault
from harness.model.meta import ObjectMeta, condition
from harness.model.objects import from_wire
from harness.model.quantity import parse_quantity
from harness.scheduling.registry import load
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

Manifest = dict[str, Any]


def manifest(kind: str, name: str, **body: Any) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": "default"}, **body}


POD_SPEC: Manifest = {
    "containers": [{"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}}}]
}
LABELS = {"app": "web"}


def deployment(name: str = "web", replicas: int = 4, **pod_spec: Any) -> Manifest:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {**POD_SPEC, **pod_spec}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return manifest("Deployment", name, spec=spec)


SERVICE = manifest("Service", "web", spec={"selector": LABELS, "ports": [{"port": 80}]})
BUDGET = manifest("PodDisruptionBudget", "web", spec={"maxUnavailable": 1, "selector": {"matchLabels": LABELS}})
QUOTA = manifest("ResourceQuota", "all", spec={"hard": {"pods": "30", "requests.cpu": "30", "count/pods": "30"}})
DAEMON_SET = manifest(
    "DaemonSet",
    "agent",
    spec={
        "selector": {"matchLabels": {"app": "agent"}},
        "template": {"metadata": {"labels": {"app": "agent"}}, "spec": POD_SPEC},
    },
)
JOB = manifest(
    "Job",
    "work",
    spec={
        "completions": 6,
        "parallelism": 3,
        "template": {
            "metadata": {"annotations": {"podyard.dev/duration": "40s"}},
            "spec": {**POD_SPEC, "restartPolicy": "Never"},
        },
    },
)
EVERYTHING = (QUOTA, deployment(), SERVICE, BUDGET, DAEMON_SET, JOB)


class Story:
    """Three nodes in one zone, all controllers and a scheduler, in virtual time."""

    def __init__(self, *objects: Manifest, nodes: int = 3, folded: bool = True, seed: int = 1) -> None:
        size = {"cpu": parse_quantity("4"), "memory": parse_quantity("8Gi"), "pods": parse_quantity("30")}
        plan = ClusterPlan(
            settings=ClusterSettings(seed=seed, folded=folded, record_events=False),
            nodes=[
                Node(metadata=ObjectMeta(name=f"n{i}"), status=NodeStatus(capacity=size, allocatable=size))
                for i in range(nodes)
            ],
            strategy=load("greedy")(),
        )
        self.cluster: Cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
        self.ended: set[str] = set()
        self.came_back: list[str] = []
        self.cluster.server.listeners.append(self._written)
        self.at(2)
        self.create(*objects)

    def _written(self, kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Pod":
            if obj.status.phase in ("Succeeded", "Failed"):
                self.ended.add(obj.metadata.uid)
            elif obj.metadata.uid in self.ended:
                self.came_back.append(obj.metadata.key)

    def at(self, seconds: float) -> None:
        self.cluster.run(round(seconds * SECOND))
        self.cluster.server.now = max(self.cluster.server.now, round(seconds * SECOND))

    def create(self, *objects: Manifest) -> None:
        for obj in objects:
            self.cluster.server.create(from_wire(obj))
        self.cluster.api.flush(self.cluster.now)

    def hit(self, fault: NodeFault, *nodes: str) -> None:
        self.cluster._machines(self.cluster.now, InjectFault(nodes, fault))

    def outage(self, seconds: float) -> None:
        self.cluster._machines(self.cluster.now, RestartApiServer(round(seconds * SECOND)))

    def ready(self, node: str) -> str:
        found = condition(self.cluster.server.get("Node", "", node).status.conditions, "Ready")
        return "" if found is None else found.status

    def assert_converged(self) -> None:
        self.cluster.run(self.cluster.now + HEAL_NS)
        self.cluster.server.now = max(self.cluster.server.now, self.cluster.now)
        assert self.came_back == []
        assert [str(found) for found in converged(self.cluster)] == []
