"""Training jobs that stand in the scenario itself, and what is wrong with them, told before the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.experiment.prepared import prepare
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from harness.model.training import Speeds
from tests.jobs.test_control_plane import SPEEDS, TRACE, played, scenario

JOBS = [
    {"id": 0, "model": "LM", "batchSize": 10, "gang": 2, "steps": 6000},
    {"id": 1, "model": "LM", "batchSize": 10, "steps": 4000},
    {"id": 2, "model": "LM", "batchSize": 10, "mode": "accordion", "steps": 3000, "arrival": "100s"},
    {"id": 3, "model": "LM", "batchSize": 10, "gang": 2, "steps": 2000, "arrival": "130500ms"},
]
TABLE = {"LM|10|1": 10.0, "LM|10|2": 20.0, "LM|80|1": 4.0, "LM|80|2": 8.0}


def test_they_run_as_those_of_files_do(tmp_path: Path) -> None:
    of_files = played(scenario(tmp_path), "fifo")[0]
    inline = scenario(tmp_path, workload=[{"training": {"jobs": JOBS, "speeds": TABLE}}])
    assert played(inline, "fifo")[0] == of_files


def told(tmp_path: Path, **changed: Any) -> UserError:
    spec = {
        "nodes": [{"group": {"name": "gpu", "count": 3, "cpu": 8, "gpus": 1}}],
        "workload": [{"training": {"jobs": JOBS, "speeds": TABLE, **changed}}],
        "schedulers": ["fifo"],
    }
    data = {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": "x"}, "spec": spec}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(UserError) as found:
        prepare(read_scenario(path), 1)
    assert found.value.file == str(path)
    assert found.value.line is not None
    return found.value


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"jobs": [{**JOBS[0], "gang": 8}]}, "can never run"),
        ({"jobs": [{**JOBS[0], "steps": 2**53}]}, "too long"),
        ({"jobs": [JOBS[0], JOBS[0]]}, "twice"),
        ({"jobs": [{**JOBS[0], "model": "LN"}]}, "no such model"),
        ({"jobs": []}, "no jobs"),
        ({"path": "trace.csv"}, "one place"),
        ({"jobs": None}, "one place"),
        ({"speeds": {}}, "speed of job 0 is not known"),
        ({"speeds": {**TABLE, "LM|10|2": 0.001}}, "longer than a round"),
        ({"speeds": {**TABLE, "LM|10|2": -1}}, "a speed is wrong"),
        ({"speeds": {**TABLE, "LM/10": 1}}, "a key of the table is wrong"),
        ({"doublings": {"LM|10|2": "soon"}}, "epochs are wrong"),
        ({"restart": "120s"}, "leaves no time"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, changed: dict[str, Any], what: str) -> None:
    assert what in str(told(tmp_path, **changed))


def test_a_speed_that_the_table_of_a_file_lacks_is_told(tmp_path: Path) -> None:
    """It was a KeyError."""
    (tmp_path / "jobs.csv").write_text(TRACE)
    (tmp_path / "speeds.json").write_text(SPEEDS.replace("LM|10|2", "LM|20|2"))
    error = told(tmp_path, jobs=None, path="jobs.csv", speeds="speeds.json")
    assert "the speed of job 0 is not known" in str(error)


@pytest.mark.parametrize(
    ("lengths", "charged_from_s"),
    [({}, 115), ({"round": "60s"}, 55), ({"round": "300s"}, 295), ({"round": "60s", "restart": "58s"}, 58)],
)
def test_short_rounds_are_charged_for_restarts_too(
    tmp_path: Path, lengths: dict[str, str], charged_from_s: int
) -> None:
    """From 115 s on whatever the round was: the restart of rounds of a minute cost nothing."""
    loaded = scenario(tmp_path, workload=[{"training": {"jobs": JOBS, "speeds": TABLE, **lengths}}])
    training = prepare(loaded, 1).workload.training
    assert training is not None
    assert isinstance(training.speeds, Speeds)
    assert training.rules.charged_from_s == charged_from_s
