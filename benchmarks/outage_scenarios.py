"""Ten small scenarios for systematic outages: what is in the cluster, and what its users do to it, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from harness.autoscaling.pool import POOL_LABEL, NodePool
from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.engine.component import SECOND, InjectFault
from harness.engine.latency import Constant
from harness.model.core import Node, NodeStatus
from harness.model.faults import Crash, NodeFault
from harness.model.meta import ObjectMeta
from harness.model.objects import from_wire
from harness.model.quantity import parse_quantity
from harness.scheduling.registry import load
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

Manifest = dict[str, Any]
SIZE = {"cpu": parse_quantity("4"), "memory": parse_quantity("8Gi"), "pods": parse_quantity("30")}


class Users:
    """Whoever works on the cluster from outside, past all faults: their own requests always arrive."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def create(self, *objects: Manifest) -> None:
        for obj in objects:
            self.cluster.server.create(from_wire(obj))
        self._flush()

    def spec(self, kind: str, name: str, **spec: Any) -> None:
        server = self.cluster.server
        found = server.get(kind, "default", name)
        server.update(replace(found, spec=replace(found.spec, **spec)))
        self._flush()

    def image(self, kind: str, name: str, image: str) -> None:
        template = self.cluster.server.get(kind, "default", name).spec.template
        containers = (replace(template.spec.containers[0], image=image),)
        self.spec(kind, name, template=replace(template, spec=replace(template.spec, containers=containers)))

    def delete(self, kind: str, name: str, namespace: str = "default", propagation: str = "") -> None:
        if (f"{namespace}/{name}" if namespace else name) in self.cluster.server.objects(kind):
            self.cluster.server.delete(kind, namespace, name, propagation=propagation)
            self._flush()

    def inject(self, fault: NodeFault, *nodes: str) -> None:
        self.cluster._machines(self.cluster.now, InjectFault(nodes, fault))

    def _flush(self) -> None:
        self.cluster.api.flush(self.cluster.now)


Action = Callable[[Users], None]


@dataclass(frozen=True)
class OutageScenario:
    """`actions`: (second, what is done). `until_s`: when everything must have come to rest, whatever single fault hit
    any of the writes before."""

    name: str
    actions: tuple[tuple[float, Action], ...]
    until_s: float = 1800
    nodes: int = 3
    pools: tuple[NodePool, ...] = ()
    zones: tuple[str, ...] = ("a",)

    def cluster(self) -> Cluster:
        plan = ClusterPlan(
            settings=ClusterSettings(seed=1, record_events=False),
            nodes=[_node(f"n{i}", self.zones[i % len(self.zones)]) for i in range(self.nodes)],
            strategy=load("greedy")(),
            pools=self.pools,
        )
        return assemble(MemoryStore(ObjectCodec()), plan).cluster

    def play(self, cluster: Cluster) -> None:
        users = Users(cluster)
        for at, act in self.actions:
            _run(cluster, at)
            act(users)
        _run(cluster, self.until_s)


def _run(cluster: Cluster, seconds: float) -> None:
    cluster.run(round(seconds * SECOND))
    cluster.server.now = max(cluster.server.now, round(seconds * SECOND))


def _node(name: str, zone: str, labels: dict[str, str] | None = None) -> Node:
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, **(labels or {})}
    return Node(metadata=ObjectMeta(name=name, labels=labels), status=NodeStatus(capacity=SIZE, allocatable=SIZE))


def _pod_spec(cpu: str = "500m", **more: Any) -> Manifest:
    requests = {"cpu": cpu, "memory": "64Mi"}
    return {"containers": [{"name": "c", "image": "i:1", "resources": {"requests": requests}}], **more}


def _manifest(kind: str, name: str, namespace: str = "default", **body: Any) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, **body}


def _deployment(name: str, replicas: int, pod_spec: Manifest, namespace: str = "default", **meta: Any) -> Manifest:
    labels = {"app": name}
    template = {"metadata": {"labels": labels, **meta}, "spec": pod_spec}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return _manifest("Deployment", name, namespace, spec=spec)


def _service(name: str, namespace: str = "default") -> Manifest:
    return _manifest("Service", name, namespace, spec={"selector": {"app": name}, "ports": [{"port": 80}]})


def _budget(name: str, most: int | str) -> Manifest:
    selector = {"matchLabels": {"app": name}}
    return _manifest("PodDisruptionBudget", name, spec={"maxUnavailable": most, "selector": selector})


def _job(name: str, completions: int, parallelism: int, namespace: str = "default", code: str = "0") -> Manifest:
    annotations = {"podyard.dev/duration": "8s", "podyard.dev/exit-code": code}
    template = {"metadata": {"annotations": annotations}, "spec": {**_pod_spec(), "restartPolicy": "Never"}}
    spec = {"completions": completions, "parallelism": parallelism, "backoffLimit": 1, "template": template}
    return _manifest("Job", name, namespace, spec=spec)


def _indexed_job(name: str) -> Manifest:
    """One of its indexes fails: a limit of its own, and a pod that is kept for its count."""
    made = _job(name, 3, 3, code="1")
    made["spec"] |= {"completionMode": "Indexed", "backoffLimitPerIndex": 1, "podReplacementPolicy": "Failed"}
    del made["spec"]["backoffLimit"]
    return made


def _cron_job(name: str, schedule: str) -> Manifest:
    job = {"spec": _job(name, 1, 1)["spec"]}
    spec = {"schedule": schedule, "concurrencyPolicy": "Replace", "successfulJobsHistoryLimit": 1, "jobTemplate": job}
    return _manifest("CronJob", name, spec=spec)


def _replication_controller(name: str, replicas: int) -> Manifest:
    template = {"metadata": {"labels": {"app": name}}, "spec": _pod_spec("100m")}
    return _manifest("ReplicationController", name, spec={"replicas": replicas, "template": template})


def _daemon_set(name: str) -> Manifest:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec("100m")}
    return _manifest("DaemonSet", name, spec={"selector": {"matchLabels": labels}, "template": template})


def _stateful_set(name: str, replicas: int, **spec: Any) -> Manifest:
    labels = {"app": name}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "late",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    body = {
        "replicas": replicas,
        "serviceName": name,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": _pod_spec()},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    return _manifest("StatefulSet", name, spec={**body, **spec})


def _quota(namespace: str = "default") -> Manifest:
    return _manifest("ResourceQuota", "all", namespace, spec={"hard": {"pods": "20", "requests.cpu": "20"}})


def _claim(name: str) -> Manifest:
    requests = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "late", "resources": requests}
    return _manifest("PersistentVolumeClaim", name, spec=spec)


def _class(name: str, mode: str) -> Manifest:
    return {
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "csi.example.com",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": mode,
    }


def _with_claim(name: str, claim: str) -> Manifest:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim}}
    return _manifest("Pod", name, spec={**_pod_spec(), "volumes": [volume]})


def _ephemeral(name: str) -> Manifest:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "soon",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
    return _manifest("Pod", name, spec={**_pod_spec(), "volumes": [volume]})


def _scaler(name: str) -> Manifest:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    metric = {"type": "Resource", "resource": cpu}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 4, "metrics": [metric]}
    return _manifest("HorizontalPodAutoscaler", name, spec=spec)


def _priority(name: str, value: int) -> Manifest:
    return {"kind": "PriorityClass", "metadata": {"name": name}, "value": value}


def _member(name: str, group: str) -> Manifest:
    made = _manifest("Pod", name, spec=_pod_spec("1"))
    made["metadata"]["labels"] = {"scheduling.x-k8s.io/pod-group": group}
    return made


_LOAD = {"podyard.dev/cpu-usage": "1200m", "podyard.dev/cpu-per-request": "1m"}
_POOL = NodePool(
    name="burst", template=_node("", "a", {POOL_LABEL: "burst"}), least=0, most=2, provisioning=Constant(20 * SECOND)
)

SCENARIOS: tuple[OutageScenario, ...] = (
    OutageScenario(
        "rollout",
        (
            (2, lambda u: u.create(_deployment("web", 4, _pod_spec()), _service("web"), _budget("web", 1))),
            (20, lambda u: u.image("Deployment", "web", "i:2")),
            (60, lambda u: u.spec("Deployment", "web", replicas=2)),
            (80, lambda u: u.create(_deployment("gone", 2, _pod_spec()))),
            (90, lambda u: u.delete("Deployment", "gone", propagation="Foreground")),
        ),
    ),
    OutageScenario(
        "node loss",
        (
            (2, lambda u: u.create(_deployment("web", 4, _pod_spec()), _service("web"), _daemon_set("agent"))),
            (30, lambda u: u.inject(Crash(), "n0")),
            (40, lambda u: u.inject(Crash(90 * SECOND), "n1")),
        ),
        until_s=2400,
    ),
    OutageScenario(
        "jobs",
        (
            (2, lambda u: u.create(_job("good", 4, 2), _job("bad", 2, 1, code="1"))),
            (12, lambda u: u.create(_job("cut", 6, 3))),
            (18, lambda u: u.delete("Job", "cut", propagation="Background")),
        ),
    ),
    OutageScenario(
        "batch",
        (
            (2, lambda u: u.create(_cron_job("tick", "@every 10s"), _indexed_job("parts"))),
            (3, lambda u: u.create(_replication_controller("old", 3))),
            (20, lambda u: u.spec("ReplicationController", "old", replicas=1)),
            (50, lambda u: u.spec("CronJob", "tick", suspend=True)),
            (60, lambda u: u.delete("ReplicationController", "old", propagation="Background")),
        ),
    ),
    OutageScenario(
        "daemons",
        (
            (2, lambda u: u.create(_daemon_set("agent"), _deployment("web", 3, _pod_spec()))),
            (20, lambda u: u.cluster.start_nodes([_node("n3", "a")])),
            (40, lambda u: u.image("DaemonSet", "agent", "i:2")),
            (90, lambda u: u.inject(Crash(), "n0")),
            (92, lambda u: u.delete("Node", "n0", "")),
        ),
    ),
    OutageScenario(
        "namespaces",
        (
            (2, lambda u: u.create({"kind": "Namespace", "metadata": {"name": "team"}})),
            (3, lambda u: u.create(_quota("team"), _quota())),
            (
                5,
                lambda u: u.create(
                    _deployment("web", 3, _pod_spec(), "team"), _service("web", "team"), _job("work", 4, 2, "team")
                ),
            ),
            (6, lambda u: u.create(_deployment("web", 2, _pod_spec()))),
            (20, lambda u: u.delete("Namespace", "team", "")),
            (40, lambda u: u.spec("Deployment", "web", replicas=1)),
            (50, lambda u: u.delete("Deployment", "web", propagation="Orphan")),
        ),
    ),
    OutageScenario(
        "volumes",
        (
            (2, lambda u: u.create(_class("late", "WaitForFirstConsumer"), _class("soon", "Immediate"))),
            (4, lambda u: u.create(_claim("data"), _with_claim("db", "data"), _ephemeral("scratch"))),
            (30, lambda u: u.delete("Pod", "db")),
            (31, lambda u: u.delete("Pod", "scratch")),
            (40, lambda u: u.delete("PersistentVolumeClaim", "data")),
        ),
    ),
    OutageScenario(
        "autoscaling",
        (
            (
                2,
                lambda u: u.create(
                    _deployment("web", 1, _pod_spec("1500m"), annotations=_LOAD),
                    _scaler("web"),
                ),
            ),
            (300, lambda u: u.delete("HorizontalPodAutoscaler", "web")),
            (310, lambda u: u.spec("Deployment", "web", replicas=1)),
        ),
        until_s=3000,
        nodes=1,
        pools=(_POOL,),
    ),
    OutageScenario(
        "preemption",
        (
            (2, lambda u: u.create(_priority("low", -5), _priority("high", 100))),
            (3, lambda u: u.create(_deployment("low", 6, _pod_spec("1500m", priorityClassName="low")))),
            (3, lambda u: u.create(_budget("low", 2))),
            (10, lambda u: u.create(_deployment("high", 3, _pod_spec("2", priorityClassName="high")))),
            (40, lambda u: u.delete("Deployment", "high")),
            (
                60,
                lambda u: u.create(
                    {
                        "kind": "PodGroup",
                        "metadata": {"name": "gang", "namespace": "default"},
                        "spec": {"minMember": 3},
                    },
                    *(_member(f"gang-{i}", "gang") for i in range(3)),
                ),
            ),
        ),
    ),
    OutageScenario(
        "stateful",
        (
            (2, lambda u: u.create(_class("late", "WaitForFirstConsumer"), _stateful_set("db", 3), _budget("db", 1))),
            (4, lambda u: u.create(_stateful_set("all", 2, podManagementPolicy="Parallel"))),
            (50, lambda u: u.image("StatefulSet", "db", "i:2")),
            (120, lambda u: u.spec("StatefulSet", "db", replicas=1)),
            (130, lambda u: u.delete("StatefulSet", "all", propagation="Foreground")),
            (140, lambda u: u.inject(Crash(90 * SECOND), "n0")),
        ),
        until_s=2400,
    ),
)
