"""The cluster autoscaler on whole clusters in virtual time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.experiment.run import Home, Run
from harness.scheduling.registry import load
from tests.experiment.scenarios import loaded

POOL = {"name": "burst", "min": 0, "max": 4, "cpu": 4, "memory": "16Gi", "provisioning": "45s"}
ONE = [{"group": {"name": "n", "count": 1, "cpu": 4, "memory": "16Gi"}}]


def service(replicas: int, cpu: Any = 1, **more: Any) -> dict[str, Any]:
    load_curve = {"constant": {"rps": 1}}
    return {"service": {"name": "web", "replicas": replicas, "cpu": cpu, "memory": "1Gi", "load": load_curve, **more}}


def played(**spec: Any) -> Run:
    run = Run(loaded(**{"nodes": ONE, **spec}), load("greedy")(), 1, Home())
    run.play()
    return run


def nodes(run: Run) -> list[str]:
    return sorted(node.metadata.name for node in run.cluster.server.listed("Node") if node.metadata.name != "gateway")


def running(run: Run) -> int:
    return sum(pod.status.phase == "Running" for pod in run.cluster.server.listed("Pod"))


def reasons(run: Run) -> set[str]:
    return {event.reason for event in run.cluster.server.listed("Event")}


def test_pods_that_fit_nowhere_bring_the_nodes_that_they_need() -> None:
    run = played(duration="5m", pools=[POOL], workload=[service(11)])
    assert nodes(run) == ["burst-0", "burst-1", "n-0"]
    assert running(run) == 11
    assert "TriggeredScaleUp" in reasons(run)


def test_no_more_nodes_than_the_pool_may_have() -> None:
    run = played(duration="8m", pools=[POOL | {"max": 2}], workload=[service(40)])
    assert nodes(run) == ["burst-0", "burst-1", "n-0"]
    assert running(run) == 12


def test_a_pod_that_no_pool_can_help_brings_nothing_and_is_told() -> None:
    run = played(duration="3m", pools=[POOL], workload=[service(1, cpu=64)])
    assert nodes(run) == ["n-0"]
    assert "NotTriggerScaleUp" in reasons(run)


def test_the_pool_that_wastes_least_is_taken() -> None:
    big = POOL | {"name": "big", "cpu": 32, "memory": "128Gi"}
    run = played(duration="4m", pools=[big, POOL], workload=[service(6)])
    assert nodes(run) == ["burst-0", "n-0"]


def test_the_minimum_is_there_from_the_beginning() -> None:
    run = played(duration="3m", pools=[POOL | {"min": 2}], workload=[service(1)])
    assert nodes(run) == ["burst-0", "burst-1", "n-0"]


def test_a_node_that_nobody_needs_goes_after_ten_minutes() -> None:
    tasks = {"openbLike": {"pods": 1, "longest": "1m"}}
    run = played(
        duration="30m",
        pools=[POOL],
        workload=[service(3), tasks],
        nodes=[{"group": {"name": "n", "count": 1, "cpu": 3, "memory": "16Gi"}}],
    )
    history = {name for name in run.measures.placement.occupancy.names if name.startswith("burst")}
    assert nodes(run) == ["n-0"]
    if history:
        assert "ScaleDown" in reasons(run)


def test_what_scaled_up_for_a_rush_scales_down_after_it_with_budgets_respected() -> None:
    rush = {"spike": {"at": "3m", "base": 20, "peak": 700, "hold": "6m"}}
    web = service(2, load=rush, cpuPerRequest="10m", minAvailable=1, autoscaler={"min": 2, "max": 14, "targetCpu": 60})
    run = played(duration="50m", pools=[POOL], workload=[web])
    assert len([name for name in run.measures.placement.occupancy.names if name.startswith("burst")]) >= 2
    assert len(nodes(run)) <= 2
    assert run.measures.invariants.broken == []
    assert running(run) == 2


@given(
    replicas=st.integers(0, 30),
    cpu=st.sampled_from([1, 2, 3]),
    least=st.integers(0, 2),
    room=st.integers(0, 3),
)
@settings(deadline=None, max_examples=15)
def test_pools_never_leave_their_bounds(replicas: int, cpu: int, least: int, room: int) -> None:
    pool = POOL | {"min": least, "max": least + room}
    run = Run(
        loaded(nodes=ONE, duration="6m", pools=[pool], workload=[service(replicas, cpu=cpu)]),
        load("greedy")(),
        1,
        Home(),
    )
    counts: list[int] = []

    def write(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Node":
            counts.append(sum(name.startswith("burst") for name in run.cluster.server.objects("Node")))

    run.cluster.server.listeners.append(write)
    run.play()
    assert max(counts, default=0) <= least + room
    assert counts[-1] >= least
    fits = (4 // cpu) * (1 + counts[-1])
    assert running(run) == min(replicas, fits) or counts[-1] < least + room
    assert running(run) == replicas or counts[-1] == least + room
