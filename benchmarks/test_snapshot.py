"""Decisions a second on the snapshot alone: feasibility, choice, legality check and assume."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL, note
from harness.model.fragmentation import TypicalPods
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import Placements, fill
from harness.scheduling.strategy import GpuRequest, PodView, Strategy
from schedulers.fgd import FGD
from schedulers.fgd.descent import gpu_pod
from schedulers.greedy import greedy, least_allocated
from schedulers.random_fit import RandomFit

NODES = (1_000, 5_000, 20_000, 100_000) if FULL else (1_000,)
PODS = 10_000 if FULL else 500
STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "best-fit": greedy,
    "least-allocated": least_allocated,
    "random": RandomFit,
}


def cluster(nodes: int) -> Snapshot:
    """Nodes of SchedulingBasic (kube-scheduler's scheduler_perf): 4 CPU, 32 GiB, 110 pods."""
    on = Snapshot()
    for i in range(nodes):
        on.add_node(f"node-{i}", {"cpu": 4000, "memory": 32 << 30, "pods": 110})
    return on


def measure(
    benchmark: BenchmarkFixture, make: tuple[Strategy, Snapshot, list[PodView]], window: int = 64
) -> Placements:
    strategy, on, pods = make
    done: Placements = benchmark.pedantic(fill, args=(strategy, on, pods, 0, window), rounds=1, warmup_rounds=0)
    note(benchmark, us_per_decision=lambda s: round(1e6 * s / len(pods), 2))
    assert not done.violations
    return done


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("name", ["best-fit", "least-allocated"])
@pytest.mark.parametrize("classes", [1, 20, 100])
def test_scored(benchmark: BenchmarkFixture, nodes: int, name: str, classes: int) -> None:
    """One class is SchedulingBasic; the more classes take turns, the more nodes changed since each one's last turn."""
    on = cluster(nodes)
    made = [on.classes.intern({"cpu": 10 + k, "memory": 5 << 20}) for k in range(classes)]
    pods = [PodView(f"default/p{i}", made[i * 7919 % classes]) for i in range(PODS)]
    assert measure(benchmark, (STRATEGIES[name](), on, pods)).placed == PODS


@pytest.mark.parametrize("nodes", NODES)
def test_random(benchmark: BenchmarkFixture, nodes: int) -> None:
    on = cluster(nodes)
    cls = on.classes.intern({"cpu": 10})
    pods = [PodView(f"default/p{i}", cls) for i in range(PODS)]
    assert measure(benchmark, (RandomFit(), on, pods)).placed == PODS


def test_fgd(benchmark: BenchmarkFixture) -> None:
    """A fill beyond capacity, 40 pod classes on nodes of 2 to 8 GPUs (the size of openb in full)."""
    on = Snapshot()
    for i in range(1_213 if FULL else 60):
        gpus = (2, 4, 8)[i % 3]
        on.add_node(f"n{i}", {"cpu": 12_000 * gpus, "memory": gpus << 37, "pods": 1001}, gpus, ("T4", "V100")[i % 2])
    made = [on.classes.intern({"cpu": 1000 + 500 * k}, GpuRequest(1, 100 + 20 * k)) for k in range(30)]
    made += [on.classes.intern({"cpu": 2000 * n}, GpuRequest(n, 1000)) for n in (1, 2, 4, 8)]
    made += [on.classes.intern({"cpu": 1000 * n}) for n in (2, 4, 8, 16, 32, 64)]
    pods = [PodView(f"default/p{i}", made[i * i % 40]) for i in range(PODS)]
    typical = TypicalPods.of(gpu_pod(pod.cls) for pod in pods)
    assert measure(benchmark, (FGD(typical), on, pods), window=1).placed > 0


def test_nodes_come_and_go(benchmark: BenchmarkFixture) -> None:
    """Churn: a node leaves and another comes with every tenth pod, under a strategy with warm columns."""
    on = cluster(NODES[0])
    cls = on.classes.intern({"cpu": 10})
    strategy = greedy()

    def churn() -> int:
        placed = 0
        for i in range(PODS // 10):
            on.remove_node(next(iter(on.node_table.index)))
            on.add_node(f"new-{i}", {"cpu": 4000, "memory": 32 << 30, "pods": 110})
            placed += fill(strategy, on, [PodView(f"default/p{i}.{k}", cls) for k in range(10)], 0, 10).placed
        return placed

    assert benchmark.pedantic(churn, rounds=1) == PODS
