"""podyard journal: what happened in a record, for a person and for a program."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, loaded


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    crash = {"at": "60s", "nodeCrash": {"select": {"app": "web"}}}
    scenario = loaded(duration="3m", workload=[SERVICE], faults=[crash])
    folder = run_once(scenario, "greedy", 3, out=tmp_path_factory.mktemp("records")).folder
    assert folder is not None
    return folder


def journal(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["journal", *map(str, arguments)])


def rows(*arguments: str | Path) -> list[dict[str, str]]:
    done = journal(*arguments)
    assert done.exit_code == 0, done.output
    head, *lines = done.stdout.splitlines()
    starts = [head.index(name) for name in ("TYPE", "REASON", "OBJECT", "MESSAGE")]
    cuts = [0, *starts, None]
    names = ("at", "type", "reason", "object", "message")
    return [dict(zip(names, (line[a:b].strip() for a, b in itertools.pairwise(cuts)), strict=True)) for line in lines]


def data(*arguments: str | Path) -> list[dict[str, object]]:
    done = journal(*arguments, "-o", "json")
    assert done.exit_code == 0, done.output
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_it_is_in_order_and_tells_of_pods_nodes_and_faults(record: Path) -> None:
    lines = rows(record)
    instants = [float(line["at"].rstrip("s")) for line in lines]
    assert instants == sorted(instants)
    told = {(line["type"], line["reason"], line["object"].split("/")[0]) for line in lines}
    for wanted in (
        ("Status", "Created", "node"),
        ("Normal", "ScalingReplicaSet", "deployment"),
        ("Status", "Scheduled", "pod"),
        ("Status", "Ready", "pod"),
        ("Fault", "Crash", "node"),
        ("Status", "NotReady", "node"),
        ("Warning", "NodeNotReady", "pod"),
        ("Status", "Endpoints", "endpointslice"),
    ):
        assert wanted in told


def test_a_pod_from_its_creation_to_its_service(record: Path) -> None:
    name = next(line["object"] for line in rows(record) if line["object"].startswith("pod/")).removeprefix("pod/")
    for asked in (name, f"default/{name}"):
        lines = rows(record, "--pod", asked)
        assert {line["object"] for line in lines} == {f"pod/{name}"}
        reasons = [line["reason"] for line in lines]
        assert reasons[:2] == ["Created", "Scheduled"]
        assert reasons.index("Running") < reasons.index("Ready")


def test_a_node_with_what_is_on_it(record: Path) -> None:
    crashed = next(line["object"] for line in rows(record) if line["type"] == "Fault" and "/" in line["object"])
    lines = rows(record, "--node", crashed.removeprefix("node/"))
    assert {line["object"] for line in lines if line["object"].startswith("node/")} == {crashed}
    assert any(line["object"].startswith("pod/") for line in lines)
    assert [line["reason"] for line in lines if line["object"] == crashed][:3] == ["Created", "Crash", "NotReady"]


def test_a_stretch_of_time(record: Path) -> None:
    whole = rows(record)
    lines = rows(record, "--from", "60s", "--to", "1m50s")
    assert 0 < len(lines) < len(whole)
    assert all(60 <= float(line["at"].rstrip("s")) <= 110 for line in lines)
    assert [line for line in whole if 60 <= float(line["at"].rstrip("s")) <= 110] == [{**line} for line in lines]


def test_for_a_program(record: Path) -> None:
    found = data(record)
    assert len(found) == len(rows(record))
    assert set(found[0]) == {"atSeconds", "type", "reason", "object", "message"}
    assert found[0]["object"] == {"kind": "Node", "namespace": "", "name": "n-0"}


def test_where_nothing_happened(record: Path) -> None:
    done = journal(record, "--from", "1h", "--to", "2h")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert data(record, "--from", "1h") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pod", "nobody"], "no such pod"),
        (["--node", "n_0"], "did you mean 'n-0'"),
        (["--from", "5"], "time since the run began"),
        (["--to", "soon"], "--to"),
        (["--from", "2m", "--to", "1m"], "--from is after --to"),
    ],
)
def test_a_mistake_is_told(record: Path, arguments: list[str], words: str) -> None:
    done = journal(record, *arguments)
    assert isinstance(done.exception, UserError)
    assert words in str(done.exception)


def test_no_record(tmp_path: Path) -> None:
    done = journal(tmp_path)
    assert isinstance(done.exception, UserError)
    assert "the record cannot be read" in str(done.exception)
