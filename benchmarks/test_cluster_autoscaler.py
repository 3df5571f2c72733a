"""What a scan of the cluster autoscaler costs: an hour of scans, every 10 s, on pools of 100 and 1,000 nodes.

Half of the nodes are needed; a quarter are half empty, with pods that would find room elsewhere; a quarter are empty,
and are kept by a pool that does not shrink. Pods that fit nowhere wait all the time.
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


@pytest.mark.parametrize("nodes", NODES)
def test_an_hour_of_scans(benchmark: BenchmarkFixture, nodes: int) -> None:
    template = Node(status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY, conditions=READY))
    label = {"podyard.dev/pool": "p"}
    template = Node(metadata=ObjectMeta(labels=label), spec=template.spec, status=template.status)
    pool = NodePool(name="p", template=template, least=nodes, most=nodes, provisioning=Constant(45 * SECOND))
    # A scan that decides nothing is the dearest: all is simulated, every time.
    settings = ClusterAutoscalerSettings(max_bulk_soft_taint_count=0)
    autoscaler = ClusterAutoscaler((pool,), Random(1), settings)
    events: list[Start | Watch] = [Start()]
    for at in range(nodes):
        name = f"p-{at}"
        events.append(Watch("ADDED", pool.node(name)))
        count, cpu = ((5, 600), (5, 600), (4, 400), (0, 0))[at % 4]
        events += [Watch("ADDED", pod(f"{name}-{i}", name, cpu)) for i in range(count)]
    events += [Watch("ADDED", pod(f"waiting-{i}", "", 3900)) for i in range(50)]

    def an_hour() -> int:
        scans = 0
        effects = autoscaler.step(0, events)
        while True:
            wake = next((effect for effect in effects if isinstance(effect, WakeAt)), None)
            if wake is None or wake.at > HOUR:
                return scans
            effects = autoscaler.step(wake.at, [Timer(wake.token)])
            scans += 1

    assert benchmark.pedantic(an_hour, rounds=1, iterations=1) >= 300
