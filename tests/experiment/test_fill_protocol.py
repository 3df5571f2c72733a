"""The published FGD experiment through the whole control plane: every cell of the published tables comes out equal."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from harness.experiment.run import run_once
from harness.experiment.scenario import find_scenario, read_scenario

POLICIES = {
    "fgd": "FGD",
    "best-fit": "BestFit",
    "dot-product": "DotProd",
    "gpu-packing": "GpuPacking",
    "gpu-clustering": "GpuClustering",
}
WITHIN = 0.0101  # two decimals, and rounding


@pytest.fixture
def traces(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PODYARD_TRACES", os.pathsep.join([str(shared / "traces"), str(shared)]))
    return shared


def published(shared: Path, workload: str, policy: str, seed: int) -> dict[str, tuple[float, float]]:
    with open(shared / "fgd" / "expected_by_seed.csv", newline="") as file:
        return {
            row["arrived_percent"]: (float(row["alloc_percent"]), float(row["frag_percent"]))
            for row in csv.DictReader(file)
            if (row["workload"], row["policy"], int(row["seed"])) == (workload, policy, seed)
        }


def check(shared: Path, workload: str, policy: str, seed: int, first: int | None = None) -> None:
    """`first`: of so many arrivals alone; the last cell, whose arrivals are not all among them, is left out."""
    node, pod = "spec.nodes[0].trace", "spec.workload[0].trace"
    loaded = read_scenario(
        find_scenario("fgd"),
        {
            f"{node}.ranks": f"fgd/arrivals/{workload}_{{seed}}_noderank.txt.gz",
            f"{pod}.path": f"openb/openb_pod_list_{workload}.csv",
            f"{pod}.order": f"fgd/arrivals/{workload}_{{seed}}_pods.txt.gz",
            **({f"{pod}.first": str(first)} if first else {}),
        },
    )
    result = run_once(loaded, policy, seed)
    assert result.ok, result.broken + [str(item) for item in result.violations[:3]]
    expected = published(shared, workload, POLICIES[policy], seed)
    if first:
        last = max(int(at) for at in result.metrics["filling"])
        expected = {at: cell for at, cell in expected.items() if int(at) < last}
    assert list(expected) == (["60"] if first else ["60", "90", "100", "130"])
    for at, (allocated, fragmented) in expected.items():
        cell = result.metrics["filling"][at]
        assert abs(cell["allocated"] - allocated) < WITHIN, (policy, workload, seed, at)
        assert abs(cell["fragmented"] - fragmented) < WITHIN, (policy, workload, seed, at)


@pytest.mark.slow
def test_the_first_arrivals_of_the_default_list(traces: Path) -> None:
    check(traces, "default", "fgd", 42, first=5100)


@pytest.mark.slow
def test_fgd_on_the_default_list(traces: Path) -> None:
    check(traces, "default", "fgd", 42)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("workload", "seed"), [("default", 43), ("gpuspec25", 44), ("cpu250", 51)])
def test_every_policy_on_other_lists(traces: Path, workload: str, seed: int, policy: str) -> None:
    check(traces, workload, policy, seed)
