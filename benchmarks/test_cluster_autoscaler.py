"""What a scan of the cluster autoscaler costs: an hour of scans, every 10 s, on pools of 100 and 1,000 nodes.

Half of the nodes are needed; a quarter are half empty, with pods that would find room elsewhere; a quarter are empty,
and are kept by a pool that does not shrink. Pods that fit nowhere wait all the time. User CPU time on a shared machine,
before and after scans began where the last one ended: at 1,000 nodes with 5 pods each, without changes 0.3 s both, with
changes to 10 pods a scan 18.6 and 1.9 s.
"""

from __future__ import annotations

from random import Random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL
from harness.autoscaling.cluster.autoscaler import ClusterAutoscaler
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.autoscaling.pool import NodePool
from harness.engine.component import HOUR, SECOND, Start, Timer, WakeAt, Watch
from harness.engine.latency import Constant
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.meta import Condition, ObjectMeta, OwnerReference
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity

NODES = (100, 1_000) if FULL else (100,)
READY = (Condition(type="Ready", status="True"),)
UNSCHEDULABLE = (Condition(type="PodScheduled", status="False", reason="Unschedulable"),)
CAPACITY = {"cpu": milli_quantity(4000), "memory": bytes_quantity(16 << 30), "pods": count_quantity(110)}


def pod(name: str, node: str, cpu_milli: int) -> Pod:
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="rs", uid="u", controller=True)
    requests = {"cpu": milli_quantity(cpu_milli), "memory": bytes_quantity(1 << 30)}
    container = Container(name="c", resources=ResourceRequirements(requests=requests))
    status = PodStatus(phase="Running") if node else PodStatus(phase="Pending", conditions=UNSCHEDULABLE)
    meta = ObjectMeta(name=name, namespace="d", labels={"app": "x"}, owner_references=(owner,))
    return Pod(metadata=meta, spec=PodSpec(containers=(container,), node_name=node), status=status)


class AnHour:
    """An autoscaler of one pool that never shrinks; `pods` run on a node that is needed."""

    def __init__(self, nodes: int, pods: int = 5) -> None:
        template = Node(
            metadata=ObjectMeta(labels={"podyard.dev/pool": "p"}),
            status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY, conditions=READY),
        )
        pool = NodePool(name="p", template=template, least=nodes, most=nodes, provisioning=Constant(45 * SECOND))
        self.pool, self.rng = pool, Random(1)
        settings = ClusterAutoscalerSettings(max_bulk_soft_taint_count=0)
        self.autoscaler = ClusterAutoscaler((pool,), Random(1), settings)
        self.events: list[Start | Watch] = [Start()]
        self.bound: dict[str, tuple[str, int]] = {}
        self.made = 0
        for at in range(nodes):
            name = f"p-{at}"
            self.events.append(Watch("ADDED", pool.node(name)))
            count, cpu = ((pods, 3000 // pods), (pods, 3000 // pods), (4, 400), (0, 0))[at % 4]
            for i in range(count):
                self.bound[f"{name}-{i}"] = name, cpu
                self.events.append(Watch("ADDED", pod(f"{name}-{i}", name, cpu)))
        self.events += [Watch("ADDED", pod(f"waiting-{i}", "", 4500)) for i in range(50)]

    def changes(self, pods: int, reports: int) -> list[Watch]:
        """`pods` that end, each with its successor on the same node, and nodes whose kubelets report."""
        out = []
        names = list(self.bound)
        for name in self.rng.sample(names, pods):
            node, cpu = self.bound.pop(name)
            self.made += 1
            self.bound[f"next-{self.made}"] = node, cpu
            out += [Watch("DELETED", pod(name, node, cpu)), Watch("ADDED", pod(f"next-{self.made}", node, cpu))]
        out += [Watch("MODIFIED", self.pool.node(f"p-{at}")) for at in self.rng.sample(range(self.pool.least), reports)]
        return out

    def run(self, pods: int = 0, reports: int = 0) -> int:
        """How many scans."""
        scans, effects = 0, self.autoscaler.step(0, self.events)
        while True:
            wake = next((effect for effect in effects if isinstance(effect, WakeAt)), None)
            if wake is None or wake.at > HOUR:
                return scans
            if pods or reports:
                self.autoscaler.step(wake.at - 1, self.changes(pods, reports))
            effects = self.autoscaler.step(wake.at, [Timer(wake.token)])
            scans += 1


@pytest.mark.parametrize("nodes", NODES)
def test_an_hour_of_scans(benchmark: BenchmarkFixture, nodes: int) -> None:
    hour = AnHour(nodes)
    assert benchmark.pedantic(hour.run, rounds=1, iterations=1) >= 300


@pytest.mark.parametrize("nodes", NODES)
def test_an_hour_of_scans_with_changes(benchmark: BenchmarkFixture, nodes: int) -> None:
    """Before each scan a pod of 1 % of the nodes ends and has a successor, and 3 % of the kubelets report."""
    hour = AnHour(nodes, pods=15)
    scans = benchmark.pedantic(hour.run, (nodes // 100, 3 * nodes // 100), rounds=1, iterations=1)
    assert scans >= 300
