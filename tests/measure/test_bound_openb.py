"""What the published openb experiment can reach at most, next to what was published for it."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from harness.measure.bound import Instance, Nodes, Pods, aggregate, arrivals, bound_curve, nodes_needed, upper_bound

CAPACITY = 6_212_000  # GPU milli of the 1213 nodes
LISTS = (
    "cpu050",
    "cpu100",
    "cpu250",
    "default",
    "gpushare40",
    "gpushare80",
    "gpuspec10",
    "gpuspec25",
    "multigpu20",
    "multigpu40",
)


def openb(shared: Path, name: str, seed: int = 42, load: float | None = None) -> Instance:
    """The pods of one list in the order of one seed, up to `load` percent of the GPUs, on the published nodes."""
    with (shared / "traces/openb/openb_node_list_gpu_node.csv").open() as file:
        nodes = list(csv.DictReader(file))
    with (shared / f"traces/openb/openb_pod_list_{name}.csv").open() as file:
        specs = {row["name"]: row for row in csv.DictReader(file)}
    with gzip.open(shared / f"fgd/arrivals/{name}_{seed}_pods.txt.gz", "rt") as lines:
        pods = [specs[line.strip().split("-tuned-")[0]] for line in lines]
    gpu_count = np.array([int(pod["num_gpu"]) for pod in pods])
    gpu_milli = np.array([int(pod["gpu_milli"]) for pod in pods])
    arrived = np.cumsum(gpu_count * gpu_milli)
    n = len(pods) if load is None else int(np.searchsorted(arrived, load / 100 * CAPACITY, side="right"))
    devices = np.array([int(node["gpu"]) for node in nodes])
    return aggregate(
        Nodes(
            # 1001 pods a node, as in the published cluster.
            np.array([[int(node["cpu_milli"]), int(node["memory_mib"]), 1001] for node in nodes]).T,
            np.where(np.arange(8) < devices[:, None], 1000, 0),
            [node["model"] for node in nodes],
        ),
        Pods(
            np.array([[int(pod["cpu_milli"]), int(pod["memory_mib"]), 1] for pod in pods[:n]]).T,
            gpu_count[:n],
            gpu_milli[:n],
            [tuple(filter(None, (pod.get("gpu_spec") or "").split("|"))) for pod in pods[:n]],
        ),
    )


def published(shared: Path, name: str, load: int) -> float:
    """The best mean allocation that any published policy reached, percent of the GPUs."""
    with (shared / "fgd/expected.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["workload"] == name and row["arrived_percent"] == str(load)]
    return max(float(row["alloc_percent_mean"]) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("load", [100, 130])
@pytest.mark.parametrize("name", LISTS)
def test_the_bound_of_each_list_is_tight_and_above_what_was_published(shared: Path, name: str, load: int) -> None:
    instance = openb(shared, name, load=load)
    bound = upper_bound(instance)
    assert bound.packing is not None
    assert bound.packing.faults(instance) == []
    assert bound.attained is not None
    assert published(shared, name, load) < 100 * bound.value / CAPACITY
    assert bound.attained <= bound.value <= dict(bound.ladder)["volume"]
    assert bound.value - bound.attained < 0.005 * CAPACITY, (bound.ladder, bound.attained)


@pytest.mark.slow
def test_sharing_costs_what_volume_does_not_see(shared: Path) -> None:
    bound = upper_bound(openb(shared, "gpushare80", load=130))
    assert dict(bound.ladder)["volume"] == CAPACITY
    assert bound.method == "columns"
    assert 94.4 < 100 * bound.value / CAPACITY < 94.6


@pytest.mark.slow
def test_one_curve_bounds_all_arrivals(shared: Path) -> None:
    instance = openb(shared, "default")
    curve = bound_curve(instance, arrivals(instance))
    arrived = np.cumsum(instance.gpu_total[instance.pod_class])
    assert len(curve.value) == 10_866
    assert (curve.value <= arrived).all()
    for load in (50, 95, 100, 115, 130):
        index = int(np.searchsorted(arrived, load / 100 * CAPACITY, side="right")) - 1
        alone = upper_bound(openb(shared, "default", load=load))
        assert alone.attained is not None
        assert alone.attained <= curve.value[index] <= alone.value + 0.001 * CAPACITY


@pytest.mark.slow
def test_half_the_load_needs_a_third_of_the_nodes(shared: Path) -> None:
    bound = nodes_needed(openb(shared, "default", load=50))
    assert 433 <= bound.value <= 440
    assert bound.attained is not None
    assert bound.value <= bound.attained < 490
