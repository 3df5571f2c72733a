"""podyard run and compare --autoscaler, and podyard autoscalers: who sizes a cluster is compared as schedulers are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, written

LOAD = {"ramp": {"start": "1m", "end": "2m", "from": 40, "to": 400}}
SCALED = {"service": {**SERVICE["service"], "cpuPerRequest": "20m", "load": LOAD, "autoscaler": {"min": 1, "max": 9}}}
NODES = [{"group": {"name": "n", "count": 1, "cpu": 1}}]
POOLS = [
    {"name": "a", "max": 4, "cpu": 4, "memory": "16Gi", "price": 0.2},
    {"name": "b", "max": 4, "cpu": 16, "memory": "64Gi", "price": 0.8},
]


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(written(tmp_path, nodes=NODES, workload=[SCALED], pools=POOLS, duration="4m", bound=False))


def called(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def test_they_are_compared_on_the_same_seeds_by_what_they_cost_and_how_they_serve(scenario: str) -> None:
    done = called(
        "compare", scenario, "--autoscaler", "utilization,oracle-yardstick", "--seeds", "1-2", "-q", "-o", "json"
    )
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert {row["base"] for row in rows} == {"utilization"}
    assert {row["other"] for row in rows} == {"oracle-yardstick"}
    assert {row["path"] for row in rows if row["primary"]} == {
        "autoscaling.*.cost",
        "autoscaling.*.nodeHours",
        "autoscaling.*.underTimeshare",
        "requests.*.sloAttainment",
    }
    slo = next(row for row in rows if row["path"] == "requests.*.sloAttainment")
    assert slo["otherMean"] > slo["baseMean"]


def test_expanders_and_node_policies_too(scenario: str, tmp_path: Path) -> None:
    done = called(
        "run",
        scenario,
        "--autoscaler",
        "least-nodes,least-waste,cluster-autoscaler",
        "--nodes",
        "inline",
        "-q",
        "-o",
        "json",
    )
    assert done.exit_code == 0, done.output
    found = {item["variables"]["autoscaler"]: item["metrics"]["autoscaling"] for item in json.loads(done.stdout)}
    assert list(found) == ["least-nodes", "least-waste", "cluster-autoscaler"]
    records = sorted(tmp_path.rglob("record.json"))
    says = {json.loads(path.read_text())["scenario"]["spec"]["autoscaler"] for path in records}
    assert says == {
        "cluster-autoscaler?expander=least-nodes",
        "cluster-autoscaler?expander=least-waste",
        "cluster-autoscaler",
    }


def test_one_runs_as_the_scenarios_own(scenario: str, tmp_path: Path) -> None:
    done = called("run", scenario, "--autoscaler", "oracle-yardstick", "--nodes", "inline", "-q")
    assert done.exit_code == 0, done.output
    assert "Autoscaling" in done.stdout
    record = json.loads(next(tmp_path.rglob("record.json")).read_text())
    assert record["scenario"]["spec"]["controllers"] == ["*", "horizontal-pod-autoscaler?policy=oracle-yardstick"]


@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_bad_name_is_told_before_anything_runs(scenario: str, tmp_path: Path, command: str) -> None:
    done = called(command, scenario, "--autoscaler", "utilization,orcale-yardstick", "-q")
    assert isinstance(done.exception, UserError)
    assert "there is no autoscaler 'orcale-yardstick'" in str(done.exception)
    assert "oracle-yardstick" in str(done.exception.hint)
    assert not list(tmp_path.rglob("record.json"))


def test_what_has_nothing_to_size_is_told(tmp_path: Path) -> None:
    file = str(written(tmp_path, workload=[SERVICE], duration="4m", bound=False))
    for name, told in (("least-waste", "there are no pools"), ("predictive", "nothing here is scaled")):
        done = called("compare", file, "--autoscaler", f"{name},utilization", "-q")
        assert isinstance(done.exception, UserError)
        assert told in str(done.exception)


def test_they_are_listed_by_what_they_decide() -> None:
    rows = json.loads(called("autoscalers", "-o", "json").stdout)
    about = {row["name"]: row["decides"] for row in rows}
    assert about["cluster-autoscaler"] == "nodes"
    assert about["least-waste"] == "which pool grows"
    assert about["utilization"] == about["oracle-yardstick"] == "replicas"
    assert all(row["loads"] and row["does"] for row in rows)
