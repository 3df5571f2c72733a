"""What a window costs binpack: one pod at a time, small windows, the queue's batch, and migrations."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.notes import FULL, note
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import Placements, fill
from harness.scheduling.strategy import NO_GPU, GpuRequest, PodView
from schedulers.binpack import BinPack

NODES, PODS = (1_523, 8_152) if FULL else (60, 300)  # in full: the size of openb


def cluster(nodes: int) -> Snapshot:
    """Nodes of 0, 2, 4 and 8 GPUs of two models, 12 CPU and 48 GiB a GPU."""
    on = Snapshot()
    for i in range(nodes):
        gpus = (0, 2, 8, 8)[i % 4]
        size = gpus or 8
        on.add_node(f"n{i}", {"cpu": 12_000 * size, "memory": 48 * size << 30, "pods": 110}, gpus, ("T4", "G2")[i % 2])
    return on


def arrivals(on: Snapshot, pods: int) -> list[PodView]:
    """Shares, whole devices and pods without GPU in 40 classes: more than the cluster holds."""
    made = [
        on.classes.intern({"cpu": 3_000 + 400 * (k % 9), "memory": (6 + 3 * (k % 7)) << 30}, GpuRequest(1, milli))
        for k, milli in enumerate([110, 160, 230, 320, 370, 460, 470, 550, 590, 650, 810, 1000, 1000, 1000, 1000] * 2)
    ]
    made += [on.classes.intern({"cpu": 11_000 * n, "memory": 45 * n << 30}, GpuRequest(n, 1000)) for n in (2, 4, 8)]
    made += [on.classes.intern({"cpu": 1_000 * n, "memory": 4 * n << 30}, NO_GPU) for n in (1, 2, 4, 8, 16, 24, 32)]
    return [PodView(f"default/p{i}", made[i * i * 7919 % len(made)]) for i in range(pods)]


def measure(benchmark: BenchmarkFixture, strategy: BinPack, window: int) -> Placements:
    on = cluster(NODES)
    pods = arrivals(on, PODS)
    done: Placements = benchmark.pedantic(fill, args=(strategy, on, pods, 0, window), rounds=1, warmup_rounds=0)
    note(
        benchmark,
        ms_per_pod=lambda s: round(1e3 * s / len(pods), 3),
        ms_per_window=lambda s: round(1e3 * s * window / len(pods), 2),
    )
    assert not done.violations
    assert done.placed
    return done


@pytest.mark.parametrize("window", [1, 8, 64])
def test_window(benchmark: BenchmarkFixture, window: int) -> None:
    measure(benchmark, BinPack(), window)


def test_warm_start_alone(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, BinPack(neighbourhoods=0), 64)


def test_migrations(benchmark: BenchmarkFixture) -> None:
    done = measure(benchmark, BinPack(neighbourhoods=0, migrations=0.01, move_bare_pods=True), 64)
    assert done.evictions <= 0.01 * (done.placed + done.evictions)
