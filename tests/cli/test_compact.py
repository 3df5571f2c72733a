"""podyard compact: nodes that can go, by strategy, next to what any scheduler needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, scenario

NODES = [{"group": {"name": "n", "count": 10, "cpu": 4, "memory": "16Gi"}}]


def called(tmp_path: Path, *arguments: str, **spec: Any) -> Result:
    path = tmp_path / "cell.yaml"
    path.write_text(yaml.safe_dump(scenario(nodes=NODES, **spec)))
    return CliRunner().invoke(app, ["compact", str(path), *arguments])


def rows(tmp_path: Path, *arguments: str, **spec: Any) -> list[dict[str, Any]]:
    result = called(tmp_path, "-o", "json", "--trials", "3", "-q", *arguments, **spec)
    assert result.exit_code == 0, result.exception
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def service(replicas: int, cpu: float) -> dict[str, Any]:
    return {"service": {**SERVICE["service"], "replicas": replicas, "cpu": cpu}}


def test_replicas_of_a_service_need_the_nodes_that_they_fill(tmp_path: Path) -> None:
    """Nine replicas of 2 CPU: five nodes of 4, whatever the order and the strategy; nothing needs fewer."""
    greedy, spread = rows(tmp_path, "-s", "greedy,least-allocated", workload=[service(9, 2)])
    for row in (greedy, spread):
        assert (row["pods"], row["nodes"], row["kept"], row["removable"]) == (9, 10, [5, 5, 5], 5)
        assert row["provenNodesNeeded"] == 5


def test_a_strategy_that_scatters_needs_more(tmp_path: Path) -> None:
    """Small ones first, everywhere; then a large one finds no node with room, as long as there are enough of them."""
    workload = [service(10, 1), {"service": {**service(2, 4)["service"], "name": "large"}}]
    greedy, spread = rows(tmp_path, "-s", "greedy,least-allocated", workload=workload)
    assert greedy["kept90"] == greedy["provenNodesNeeded"] == 5
    assert spread["kept"] == [] or spread["kept90"] > 5


def test_tasks_that_end_count_at_the_busiest_instant_and_a_load_takes_a_part(tmp_path: Path) -> None:
    tasks = [{"openbLike": {"pods": 300, "longest": "3m", "load": 60}}]
    nodes = [{"openbLike": {"count": 12, "zones": 2}}]
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump(scenario(nodes=nodes, workload=tasks)))
    pods = {}
    for load in ("20", "40", "1000"):
        result = CliRunner().invoke(
            app, ["compact", str(path), "--load", load, "-o", "json", "-q", "--trials", "1", "--no-bound"]
        )
        assert result.exit_code == 0, result.exception
        (row,) = json.loads(result.stdout)
        pods[load] = row["pods"]
    assert 0 < pods["20"] < pods["40"] <= pods["1000"] < 300


def test_a_load_that_does_not_fit_is_said_to(tmp_path: Path) -> None:
    result = called(tmp_path, "--trials", "1", "-q", workload=[service(30, 2)])
    assert result.exit_code == 0, result.exception
    assert "does not fit" in result.stdout
    assert "it is proven that the load does not fit on these 10 nodes" in result.stdout


def test_a_scenario_without_pods_has_nothing_to_pack(tmp_path: Path) -> None:
    result = called(tmp_path, workload=[])
    assert isinstance(result.exception, UserError)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_same_seed_takes_the_same_nodes(tmp_path: Path, seed: int) -> None:
    twice = [rows(tmp_path, "--seed", str(seed), "--no-bound", workload=[service(9, 1.5)]) for _ in range(2)]
    assert [row[0]["kept"] for row in twice] == [twice[0][0]["kept"]] * 2
