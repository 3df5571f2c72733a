"""A live cluster has what a run has: pools, an autoscaler, faults and traffic; and goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.cluster.live import LiveCluster
from harness.engine.component import SECOND
from harness.experiment.prepared import prepare
from harness.store.codec import ObjectCodec
from harness.store.interface import Store
from harness.store.sqlite import SqliteStore
from schedulers.greedy import greedy
from tests.experiment.scenarios import SERVICE, loaded

SPEC: dict[str, Any] = {
    "nodes": [{"group": {"name": "n", "count": 1, "cpu": 2, "memory": "16Gi"}}],
    "pools": [{"name": "pool", "max": 3, "cpu": 4, "memory": "16Gi", "provisioning": "5s"}],
    "workload": [SERVICE],
    "faults": [{"at": "60s", "containerCrash": {"app": "web"}}],
}


def live(store: Store) -> LiveCluster:
    """Four replicas of a CPU each on a node of two: the pool has to help."""
    return LiveCluster(store, prepare(loaded(**SPEC), 1, endless=True).cluster_plan(greedy(), {}), time_scale=300.0)


def test_pools_faults_and_traffic_and_a_second_life(tmp_path: Path) -> None:
    path = tmp_path / "cluster.db"
    first = live(SqliteStore(path, ObjectCodec(), synchronous="NORMAL"))
    observed: list[str] = []
    first.cluster.api.observers.append(lambda at, source, topic, data: observed.append(topic))
    first.run(until=90 * SECOND)
    server = first.cluster.server
    assert sorted(server.objects("Node")) == ["gateway", "n-0", "pool-0"]
    pods = {pod.metadata.uid for pod in server.objects("Pod").values() if pod.status.phase == "Running"}
    restarts = [
        status.restart_count for pod in server.objects("Pod").values() for status in pod.status.container_statuses
    ]
    assert len(pods) == 4
    assert sum(restarts) == 1
    assert {"autoscaling", "fault"} <= set(observed)
    assert "route" in observed
    first.close()

    second = live(SqliteStore(path, ObjectCodec(), synchronous="NORMAL"))
    second.cluster.api.observers.append(lambda at, source, topic, data: observed.append(topic))
    observed.clear()
    begun = second.cluster.now
    second.run(until=begun + 60 * SECOND)
    server = second.cluster.server
    assert sorted(server.objects("Node")) == ["gateway", "n-0", "pool-0"], "the provider has its machine still"
    assert {pod.metadata.uid for pod in server.objects("Pod").values()} == pods, "nothing is created twice"
    conditions = [item for node in server.objects("Node").values() for item in node.status.conditions]
    assert {item.status for item in conditions if item.type == "Ready"} == {"True"}
    assert "fault" not in observed, "what was due before has happened"
    second.close()
