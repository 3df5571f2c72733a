"""podyard new scenario, and podyard lint: from nothing to a scenario that is told about and runs."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.experiment.schema import scenario_schema
from harness.model.errors import UserError


def podyard(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_scenario_is_valid_told_about_and_runs(here: Path) -> None:
    made = podyard("new", "scenario", "first")
    assert (made.exit_code, made.stdout.strip()) == (0, "first.yaml")
    text = Path("first.yaml").read_text()
    assert text.count("#") > 10, "commented"
    assert jsonschema.Draft7Validator(scenario_schema()).is_valid(yaml.safe_load(text))

    told = json.loads(podyard("lint", "first.yaml", "-o", "json").stdout)
    (one,) = told["of"]
    assert (told["runs"], told["schedulers"]) == (2, ["greedy", "least-allocated"])
    assert (one["nodes"], one["pods"], one["mostPods"], one["faults"], one["durationSeconds"]) == (8, 64, 72, 1, 600)

    result = run_once(read_scenario(Path("first.yaml")), "greedy", 1)
    assert result.ok, (result.broken, result.wrong())
    # Nothing is guessed: what is there to begin with is what was said.
    assert result.metrics["placement"]["pods"] >= one["pods"]


def test_nothing_is_overwritten(here: Path) -> None:
    Path("mine.yaml").write_text("mine")
    with pytest.raises(UserError, match="nothing is overwritten"):
        CliRunner().invoke(app, ["new", "scenario", "mine"], catch_exceptions=False)
    assert Path("mine.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["My", "a b", "../x", "-x", "x-", "", "quickstart", "x" * 64])
def test_a_name_that_cannot_be_one_is_refused(name: str, here: Path) -> None:
    with pytest.raises(UserError):
        CliRunner().invoke(app, ["new", "scenario", "--", name], catch_exceptions=False)
    assert list(here.iterdir()) == []


def test_each_value_and_seed_is_told_about(here: Path) -> None:
    podyard("new", "scenario", "first")
    told = json.loads(podyard("lint", "first.yaml", "--vary", "rps", "--seeds", "1-3", "-o", "json").stdout)
    assert told["runs"] == 2 * 3 * 2
    assert [(item["variables"], item["seed"]) for item in told["of"]][:2] == [({"rps": "200"}, 1), ({"rps": "200"}, 2)]
    table = podyard("lint", "first.yaml").stdout
    assert "64 to 72" in table
    assert "roughly" in table


def test_pools_manifests_and_objects_are_counted(here: Path) -> None:
    pod = {"containers": [{"name": "c", "image": "i"}]}
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 5, "selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
    never = {"metadata": {}, "spec": {**pod, "restartPolicy": "Never"}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"completions": 7, "template": never},
    }
    data = {
        "apiVersion": "podyard.dev/v1",
        "kind": "Scenario",
        "metadata": {"name": "counted"},
        "spec": {
            "duration": "1m",
            "nodes": [{"group": {"name": "n", "count": 3, "cpu": 4}}],
            "pools": [{"name": "p", "min": 1, "max": 9, "cpu": 4}],
            "workload": [{"objects": [deployment, job]}],
        },
    }
    Path("counted.yaml").write_text(yaml.safe_dump(data))
    (one,) = json.loads(podyard("lint", "counted.yaml", "-o", "json").stdout)["of"]
    assert (one["nodes"], one["mostNodes"], one["pods"]) == (4, 12, 12)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("spec.schedulers=[gredy]", "greedy"),
        ("spec.faults=[{at: 1m, nodeCrash: {select: {names: [web-9]}}}]", "there is no node of this name"),
        ("spec.faults=[{at: 1m, zonePartition: {zone: c, for: 1m}}]", "zone c"),
        ("spec.gates=[{metric: placement.podsBuond, atLeast: 1}]", "podsBound"),
        ("spec.workload=[{manifests: [nothing.yaml]}]", "no such file"),
        ("spec.constants={node-monitor-grace-periode: 1s}", "node-monitor-grace-period"),
        ("spec.controllers=['*', -pod-garbage-colector]", "pod-garbage-collector"),
    ],
)
def test_what_only_a_run_would_find_is_found(change: str, told: str, here: Path) -> None:
    podyard("new", "scenario", "first")
    with pytest.raises(UserError, match=told):
        CliRunner().invoke(app, ["lint", "first.yaml", "--set", change], catch_exceptions=False)
