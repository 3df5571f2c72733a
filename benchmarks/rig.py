"""What the benchmarks of whole clusters share: a cluster on virtual time, its pods, the strategies measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.engine.component import SECOND
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from harness.model.meta import ObjectMeta
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.scheduling.cycle.settings import SchedulerSettings
from harness.scheduling.registry import load
from harness.scheduling.strategy import Strategy
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.kube import kube

STRATEGIES: Mapping[str, Callable[[], Strategy]] = {
    "greedy": load("greedy"),
    "least-allocated": load("least-allocated"),
    "kube": lambda: kube(percentage=100),
    "kube-share": kube,
}
"""`kube` scores every node, `kube-share` kube-scheduler's adaptive share of them."""

CAPACITY = {"cpu": milli_quantity(4000), "memory": bytes_quantity(32 << 30), "pods": count_quantity(110)}
"""Source: kubernetes/test/integration/scheduler_perf templates/node-default.yaml."""

BOOT_NS = 2 * SECOND


def container(cpu_milli: int = 100, memory: int = 500 << 20) -> Container:
    """Source of the defaults: templates/pod-default.yaml."""
    requests = {"cpu": milli_quantity(cpu_milli), "memory": bytes_quantity(memory)}
    return Container(
        name="pause", image="registry.k8s.io/pause:3.10", resources=ResourceRequirements(requests=requests)
    )


SPEC = PodSpec(containers=(container(),))


def node(name: str, labels: Mapping[str, str] | None = None, capacity: Any = CAPACITY) -> Node:
    labels = {"kubernetes.io/hostname": name, **(labels or {})}
    return Node(
        metadata=ObjectMeta(name=name, labels=labels), status=NodeStatus(capacity=capacity, allocatable=capacity)
    )


def nodes(count: int, zones: tuple[str, ...] = ()) -> Iterable[Node]:
    """In `zones` in turn."""
    for i in range(count):
        yield node(f"node-{i:06}", {"topology.kubernetes.io/zone": zones[i % len(zones)]} if zones else None)


def pods(
    count: int,
    prefix: str = "pod",
    spec: PodSpec = SPEC,
    labels: dict[str, str] | None = None,
    namespace: str = "default",
) -> Iterable[Pod]:
    labels = labels or {}
    for i in range(count):
        yield Pod(metadata=ObjectMeta(name=f"{prefix}-{i}", namespace=namespace, labels=labels), spec=spec)


def cluster(
    machines: Iterable[Node],
    strategy: str,
    *,
    events: bool = False,
    clock: Callable[[], float] | None = None,
    **settings: Any,
) -> Cluster:
    """Booted, with every controller. `events`: the kubelets record Kubernetes Events; `clock` measures deciding."""
    plan = ClusterPlan(
        settings=ClusterSettings(record_events=events, **{"seed": 1, **settings}),
        nodes=tuple(machines),
        strategy=STRATEGIES[strategy](),
        scheduling=SchedulerSettings(clock=clock),
    )
    made = assemble(MemoryStore(ObjectCodec()), plan).cluster
    made.run(BOOT_NS)
    return made


def running(made: Cluster, namespace: str = "default") -> int:
    """Pods of a namespace whose status says Running."""
    return sum(
        pod.status.phase == "Running" and pod.metadata.namespace == namespace
        for pod in made.server.objects("Pod").values()
    )
