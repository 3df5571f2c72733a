"""What a user is told when the input is wrong: one screen, which file and line, exit code 1 or 2, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness.cli import main
from harness.scheduling.strategy import Bind, ClusterView, PodBatch
from tests.experiment.scenarios import scenario, written

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["podyard", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def told(err: str, *parts: str) -> None:
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 24, "more than a screen"
    for part in parts:
        assert part in err


def test_an_unknown_strategy_is_told_with_a_suggestion(cli: Cli) -> None:
    code, out, err = cli("run", "quickstart", "--scheduler", "gredy", "--nodes", "inline")
    assert code == 2
    assert out == ""
    told(err, "'gredy'", "greedy")


def test_an_unknown_scenario_is_told_with_a_suggestion(cli: Cli) -> None:
    code, _, err = cli("run", "quickstrat", "--nodes", "inline")
    assert code == 2
    told(err, "quickstrat", "did you mean 'quickstart'?")


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("run", "goes with a scenario: podyard run quickstart --scheduler"),
        ("lint", "expected: a scenario in YAML"),
        ("journal", "expected: a folder that `podyard run` wrote"),
        ("dataset", "expected: a folder that `podyard run` wrote"),
        ("report", "expected: a folder that `podyard run` wrote"),
    ],
)
def test_a_strategys_file_in_the_place_of_another_is_told_as_that(
    cli: Cli, tmp_path: Path, command: str, part: str
) -> None:
    """It was malformed YAML or JSON, of which YAML or JSON was expected."""
    path = tmp_path / "zones.py"
    path.write_text('"""A strategy."""\n\n\ndef zones(pod: int) -> int:\n    return pod\n')
    code, _, err = cli(command, path)
    assert code == 2
    told(err, str(path), part)
    assert "malformed" not in err


def test_malformed_yaml_is_told_with_its_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("apiVersion: podyard.dev/v1\nkind: Scenario\nspec: {nodes: [}\n")
    code, _, err = cli("run", path)
    assert code == 2
    told(err, f"{path}:3", "malformed YAML")


def test_an_unknown_key_is_told_with_its_line_and_a_suggestion(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, durration="5m")
    line = path.read_text().splitlines().index("  durration: 5m") + 1
    code, _, err = cli("run", path)
    assert code == 2
    told(err, f"{path}:{line}", "unknown key 'durration'", "did you mean 'duration'?")


def test_what_is_refused_leaves_no_folder(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, faults=[{"at": "10s", "nodeCrsh": {}}])
    code, out, err = cli("run", path, "--nodes", "inline", "--out", tmp_path / "new" / "results")
    assert (code, out) == (2, "")
    told(err, "nodeCrash")
    assert not (tmp_path / "new").exists()


def test_a_key_given_twice_is_told(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("apiVersion: podyard.dev/v1\nkind: Scenario\nkind: Scenario\n")
    code, _, err = cli("run", path)
    assert code == 2
    told(err, f"{path}:3", "'kind' is given twice")


def test_a_negative_resource_is_told_with_its_line(cli: Cli, tmp_path: Path) -> None:
    data = scenario()
    data["spec"]["nodes"][0]["group"]["cpu"] = -4
    path = tmp_path / "negative.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "cpu: -4" in text)
    code, _, err = cli("run", path)
    assert code == 2
    told(err, f"{path}:{line}", "spec.nodes[0].group.cpu", "cannot be negative", "-4")


def test_a_fault_with_a_wrong_key_is_told_with_its_line(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, duration="1m", faults=[{"at": "10s", "nodeCrush": {}}])
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "at: 10s" in text)
    code, _, err = cli("run", path, "--nodes", "inline")
    assert code == 2
    told(err, f"{path}:{line}", "nodeCrush", "did you mean 'nodeCrash'?")


HEADER = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time"
ROW = "openb-pod-0000,12000,16384,1,1000,,LS,Running,0,12537496,0"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(HEADER.replace("cpu_milli,", "") + "\n", ["cpu_milli"], id="a missing column"),
        pytest.param(f"{HEADER}\n{ROW}\nopenb-pod-0001,4000,15", [":3"], id="a cut-off line"),
        pytest.param("", ["empty"], id="an empty file"),
    ],
)
def test_a_damaged_trace_is_told(cli: Cli, tmp_path: Path, text: str, parts: list[str]) -> None:
    trace = tmp_path / "openb_pod_list.csv"
    trace.write_text(text)
    code, _, err = cli("trace", "convert", trace, "--format", "openb", tmp_path / "out.parquet")
    assert code in (1, 2)
    assert not (tmp_path / "out.parquet").exists(), "half-written"
    told(err, str(trace), *parts)


class Raises:
    """A strategy that fails."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> list[Bind]:
        raise RuntimeError("no idea")


class Overfills:
    """A strategy that puts everything on the first node, full or not."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> list[Bind]:
        return [Bind(pod, 0) for pod in pods]


@pytest.mark.parametrize(
    ("strategy", "parts"),
    [("Raises", ["raised", "RuntimeError: no idea"]), ("Overfills", ["illegal bind", "Insufficient"])],
)
def test_a_strategy_that_misbehaves_costs_its_run_and_nothing_else(
    cli: Cli, tmp_path: Path, strategy: str, parts: list[str]
) -> None:
    work = [{"openbLike": {"pods": 60, "longest": "20m", "load": 300}}]
    nodes = [{"group": {"name": "n", "count": 2, "cpu": 16, "memory": "64Gi", "gpus": 2}}]
    path = written(tmp_path, duration="5m", workload=work, nodes=nodes)
    name = f"tests.cli.test_bad_input:{strategy}"
    code, out, err = cli("run", path, "-s", f"{name},greedy", "--nodes", "inline", "--out", tmp_path / "out")
    assert code == 1
    assert "Traceback" not in out + err
    assert "the strategy misbehaved" in out
    for part in parts:
        assert part in out
    assert "greedy/3: digest" in out


def test_gates_that_are_missed_fail_the_run(cli: Cli, tmp_path: Path) -> None:
    gates = [{"metric": "placement.podsBound", "atLeast": 10_000}]
    path = written(tmp_path, duration="1m", gates=gates)
    code, out, _ = cli("run", path, "--nodes", "inline", "--out", tmp_path / "out", "-s", "greedy")
    assert code == 1
    assert "GATE MISSED" in out


def test_a_gate_on_no_number_is_told(cli: Cli, tmp_path: Path) -> None:
    path = written(tmp_path, duration="1m", gates=[{"metric": "placement.podz", "atLeast": 1}])
    code, _, err = cli("run", path, "--nodes", "inline", "--out", tmp_path / "out", "-s", "greedy")
    assert code == 2
    told(err, "placement.podz", "no such measure")


def test_a_record_that_is_none_is_told(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("replay", tmp_path)
    assert code == 2
    told(err, "record.json")
