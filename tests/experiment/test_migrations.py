"""Migrations in a whole cluster: the eviction API, disruption budgets, controllers that make anew what was moved."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.assembly import ClusterPlan, assemble
from harness.engine.component import SECOND
from harness.model.core import Container, Node, NodeStatus, Pod, PodSpec, PodTemplateSpec, ResourceRequirements
from harness.model.gpu import GPU_COUNT, GPU_MILLI, WHOLE_GPU
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.objects import Deployment, PodDisruptionBudget
from harness.model.quantity import bytes_quantity, count_quantity, milli_quantity
from harness.model.workloads import DeploymentSpec, PodDisruptionBudgetSpec
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from schedulers.binpack import Migrating
from schedulers.fgd import FGD

ONE_GPU = {GPU_COUNT: "1", GPU_MILLI: "1000"}


def node(name: str, cpu_milli: int, gpus: int) -> Node:
    capacity = {
        "cpu": milli_quantity(cpu_milli),
        "memory": bytes_quantity(64 << 30),
        "pods": count_quantity(110),
        WHOLE_GPU: count_quantity(gpus),
        GPU_COUNT: count_quantity(gpus),
    }
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(capacity=capacity, allocatable=capacity))


def template(app: str, cpu_milli: int) -> PodTemplateSpec:
    requests = {"cpu": milli_quantity(cpu_milli), "memory": bytes_quantity(1 << 30)}
    container = Container(name="c", image="task", resources=ResourceRequirements(requests=requests))
    return PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": app}, annotations=ONE_GPU), spec=PodSpec(containers=(container,))
    )


def deployment(app: str, cpu_milli: int) -> Deployment:
    return Deployment(
        metadata=ObjectMeta(name=app, namespace="default"),
        spec=DeploymentSpec(
            replicas=1, selector=LabelSelector(match_labels={"app": app}), template=template(app, cpu_milli)
        ),
    )


def budget(app: str) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name=app, namespace="default"),
        spec=PodDisruptionBudgetSpec(min_available=1, selector=LabelSelector(match_labels={"app": app})),
    )


def where(*guarded: Any) -> dict[str, str]:
    """Application -> node of its pod that runs, after a third pod found the devices and the CPU on different nodes."""
    third = template("third", 6000)
    pod = Pod(
        metadata=ObjectMeta(name="third", namespace="default", labels={"app": "third"}, annotations=ONE_GPU),
        spec=third.spec,
    )
    arrivals = [
        *((2 * SECOND, obj) for obj in (deployment("large", 7000), *guarded)),
        (30 * SECOND, deployment("small", 2000)),
        (60 * SECOND, pod),
    ]
    plan = ClusterPlan(
        nodes=(node("many-devices", 8000, 2),),
        strategy=Migrating(FGD(), migrations=1.0),
        workload=arrivals,
    )
    cluster = assemble(MemoryStore(ObjectCodec()), plan).cluster
    cluster.run(20 * SECOND)
    cluster.start_nodes([node("much-cpu", 12000, 1)])
    cluster.run(300 * SECOND)
    return {
        pod.metadata.labels["app"]: pod.spec.node_name
        for pod in cluster.server.objects("Pod").values()
        if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None
    }


def test_two_pods_change_nodes_so_that_a_third_one_runs() -> None:
    assert where() == {"large": "much-cpu", "small": "many-devices", "third": "many-devices"}


@pytest.mark.parametrize("app", ["large", "small"])
def test_a_disruption_budget_keeps_a_pod_where_it_is(app: str) -> None:
    at = {"large": "many-devices", "small": "much-cpu"}
    assert where(budget(app))[app] == at[app]
