"""How long a proven bound takes, on clusters shaped like openb: mixed nodes, shared GPUs, more asked than there is."""

from __future__ import annotations

import os

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.measure.bound import Instance, Nodes, Pods, aggregate, arrivals, bound_curve, upper_bound

NODES = 1213 if os.environ.get("PODYARD_BENCH") == "full" else 60
SEED = 42

# Shapes and shares like openb's GPU nodes: (cpu_milli, memory_mib, GPUs, model, weight).
SHAPES = (
    (96_000, 393_216, 8, "G2", 0.45),
    (104_000, 524_288, 2, "T4", 0.32),
    (16_000, 122_880, 2, "P100", 0.09),
    (128_000, 786_432, 8, "G3", 0.04),
    (32_000, 131_072, 4, "V100M16", 0.05),
    (96_000, 786_432, 8, "V100M32", 0.05),
)


def cluster(nodes: int, load: float) -> Instance:
    rng = np.random.default_rng(SEED)
    shape = rng.choice(len(SHAPES), nodes, p=[weight for *_, weight in SHAPES])
    devices = np.array([SHAPES[kind][2] for kind in shape])
    wanted = load * 1000 * int(devices.sum())
    kinds = [
        (int(rng.integers(5, 130)) * 100, int(rng.integers(10, 600)) * 100, gpus, milli)
        for gpus, milli in [(1, 1000)] * 30 + [(1, int(m)) for m in rng.integers(5, 90, 80) * 10] + [(0, 0)] * 30
    ] + [(gpus * 11_000, gpus * 45_000, gpus, 1000) for gpus in (2, 4, 8)]
    pods, asked = [], 0
    while asked < wanted:
        pods.append(kinds[int(rng.integers(0, len(kinds)))])
        asked += pods[-1][2] * pods[-1][3]
    return aggregate(
        Nodes(
            np.array([[SHAPES[kind][0], SHAPES[kind][1], 110] for kind in shape]).T,
            np.where(np.arange(8) < devices[:, None], 1000, 0),
            [SHAPES[kind][3] for kind in shape],
        ),
        Pods(
            np.array([[cpu, memory, 1] for cpu, memory, _, _ in pods]).T,
            np.array([gpus for _, _, gpus, _ in pods]),
            np.array([milli for _, _, _, milli in pods]),
            [()] * len(pods),
        ),
    )


@pytest.mark.parametrize("load", [1.0, 1.3])
def test_bound_of_one_instant(benchmark: BenchmarkFixture, load: float) -> None:
    instance = cluster(NODES, load)
    bound = benchmark.pedantic(upper_bound, (instance,), rounds=1)
    assert bound.attained <= bound.value
    benchmark.extra_info.update(
        nodes=NODES,
        pods=int(instance.pod_count.sum()),
        gap_percent=round(100 * (1 - bound.attained / bound.value), 3),
        rounds_of_column_generation=bound.rounds,
    )


def test_bound_of_every_arrival(benchmark: BenchmarkFixture) -> None:
    instance = cluster(NODES, 1.3)
    curve = benchmark.pedantic(bound_curve, (instance, arrivals(instance)), rounds=1)
    assert len(curve.value) == instance.pod_count.sum()
    benchmark.extra_info.update(nodes=NODES, arrivals=len(curve.value))
