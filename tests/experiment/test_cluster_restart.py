"""A cluster that is started again on the store of an earlier one goes on where that one was."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.assembly import ClusterPlan, assemble
from harness.cluster.cluster import Cluster, ClusterSettings
from harness.engine.component import SECOND
from harness.model.core import Container, Node, NodeStatus, PodSpec, PodTemplateSpec, ResourceRequirements
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.quantity import count_quantity, parse_quantity
from harness.model.workloads import Deployment, DeploymentSpec
from harness.store.codec import ObjectCodec
from harness.store.interface import Store
from harness.store.memory import MemoryStore
from harness.store.sqlite import SqliteStore
from schedulers.greedy import least_allocated

CAPACITY = {"cpu": parse_quantity("4"), "memory": parse_quantity("8Gi"), "pods": count_quantity(20)}
LABELS = {"app": "web"}


def started(store: Store, at_s: int) -> Cluster:
    nodes = tuple(
        Node(metadata=ObjectMeta(name=f"n{i}"), status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY))
        for i in range(2)
    )
    plan = ClusterPlan(settings=ClusterSettings(folded=False), nodes=nodes, strategy=least_allocated())
    return assemble(store, plan, at_s * SECOND).cluster


@pytest.mark.parametrize("durable", [False, True])
def test_kubelets_find_the_pods_that_the_store_says_are_theirs(tmp_path: Path, durable: bool) -> None:
    def store() -> Store:
        return SqliteStore(tmp_path / "cluster.db", ObjectCodec(), synchronous="NORMAL") if durable else kept

    kept: Store = MemoryStore(ObjectCodec())
    first_store = store()
    first = started(first_store, 0)
    first.server.create(
        Deployment(
            metadata=ObjectMeta(name="web", namespace="default"),
            spec=DeploymentSpec(
                replicas=4,
                selector=LabelSelector(match_labels=LABELS),
                template=PodTemplateSpec(
                    metadata=ObjectMeta(labels=LABELS),
                    spec=PodSpec(
                        containers=(
                            Container(
                                name="c",
                                image="i:1",
                                resources=ResourceRequirements(requests={"cpu": parse_quantity("1")}),
                            ),
                        )
                    ),
                ),
            ),
        )
    )
    first.api.flush(0)
    first.run(20 * SECOND)
    before = {pod.metadata.uid for pod in first.server.listed("Pod")}
    assert [pod.status.phase for pod in first.server.listed("Pod")] == ["Running"] * 4
    first.close()
    first_store.close()

    again = started(store(), 30)
    again.run(120 * SECOND)
    assert {pod.metadata.uid for pod in again.server.listed("Pod")} == before
    assert [pod.status.phase for pod in again.server.listed("Pod")] == ["Running"] * 4
    victim = again.server.listed("Pod")[0]
    again.server.now = 120 * SECOND
    again.server.delete("Pod", "default", victim.metadata.name)
    again.api.flush(120 * SECOND)
    again.run(200 * SECOND)
    pods = again.server.listed("Pod")
    assert victim.metadata.uid not in {pod.metadata.uid for pod in pods}, "its kubelet let it go"
    assert [pod.status.phase for pod in pods] == ["Running"] * 4
