"""podyard gate: thresholds and references, exit codes, and files for build servers."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.experiment.run import run_once
from harness.model.errors import UserError
from tests.experiment.scenarios import loaded

NODES = [{"openbLike": {"count": 4, "cpuNodes": False}}]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """new: as old, but it starts late; and the scenario has a gate that greedy meets."""
    out = tmp_path_factory.mktemp("gate")
    spec = loaded(duration="6m", nodes=NODES, gates=[{"metric": "placement.podsBound", "atLeast": 1}])
    run_once(spec, "greedy", 1, out=out / "old")
    run_once(spec, "tests.experiment.lazy:Picky", 1, out=out / "new")
    return out


def invoke(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["gate", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def test_a_scenarios_gates_and_those_given_decide_the_exit_code(records: Path) -> None:
    assert invoke(records / "old")[0] == 0
    assert invoke(records / "old", "--gate", "placement.pendingSeconds.p50<=1000")[0] == 0
    code, text = invoke(records / "old", "--gate", "placement.podsBound<=1", "-o", "json")
    assert code == 1
    by_ok = {check["ok"]: check for check in json.loads(text)}
    assert "not at most 1" in by_ok[False]["why"]
    assert by_ok[True]["demand"] == "placement.podsBound at least 1"


def test_worse_than_the_reference_fails_and_the_same_passes(records: Path, tmp_path: Path) -> None:
    assert invoke(records / "old", "--against", records / "old")[0] == 0
    xml, page = tmp_path / "gate.xml", tmp_path / "gate.md"
    code, _ = invoke(records / "new", "--against", records / "old", "--margin", 1, "--junit", xml, "--markdown", page)
    assert code == 1
    suite = ET.parse(xml).getroot()
    failures = suite.findall("./testsuite/testcase/failure")
    assert len(failures) == int(suite.get("failures", "0")) > 0
    assert any("placement.allocation.gpu" in case.get("name", "") for case in suite.iter("testcase"))
    assert "**FAIL**" in page.read_text()
    assert f"of {suite.get('tests')} passed" in page.read_text()
    wide = invoke(
        records / "new", "--against", records / "old", "--margin", 100, "--metric", "placement.allocation.gpu"
    )
    assert wide[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--gate", "placement.podz<=3"], "no such measure"),
        (["--gate", "placement.podsBound=3"], "not understood"),
        (["--metric", "nothing.at.all", "--against", "."], "no such measure"),
    ],
)
def test_a_demand_that_cannot_be_is_told(records: Path, words: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        invoke(records / "old", *words)
