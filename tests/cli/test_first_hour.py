"""What a newcomer meets in the first hour: progress without a terminal, threads left behind, faults explained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.cli.parsing import seeds_of
from harness.cli.progress import Lines
from harness.experiment.record import read_record
from harness.experiment.result import from_record
from harness.model.errors import UserError
from harness.scheduling.registry import load
from harness.testing.conformance import verdicts
from tests.experiment.scenarios import SERVICE, written

ROOT = Path(__file__).resolve().parents[2]


def test_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = Lines(2, clock=lambda: now)
    lines.start("greedy, seed 1")
    for second in range(40):
        now = float(second)
        lines("running", second * 60 * 10**9, second)
    lines.start("kube, seed 1")
    lines("running", 0, 0)
    rows = capsys.readouterr().err.splitlines()
    assert rows[0] == "1/2 greedy, seed 1: 180 s of virtual time, 3 pods done"
    assert len(rows) == 4


STRATEGY = """
import multiprocessing, threading, time
import numpy as np

def deeper(pod):
    return {}[pod.key]

class Fails:
    def place(self, pods, cluster, rng):
        np.apply_along_axis(lambda column: deeper(pods[0]), 0, np.zeros((1, 1)))

class Waits:
    def place(self, pods, cluster, rng):
        return []

class Leaves:
    def __init__(self):
        threading.Thread(target=lambda: time.sleep(600), name="left-behind").start()

    def place(self, pods, cluster, rng):
        return []

class LeavesProcess:
    def __init__(self):
        context = multiprocessing.get_context("fork")
        context.Process(target=time.sleep, args=(600,), name="left-behind").start()

    def place(self, pods, cluster, rng):
        return []
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "theirs_of_first_hour.py").write_text(STRATEGY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return written(tmp_path, duration="10s", bound=False, workload=[SERVICE])


def test_a_fault_names_the_authors_function_and_the_record_keeps_its_traceback(theirs: Path) -> None:
    out = theirs.parent / "out"
    words = ["run", str(theirs), "-s", "theirs_of_first_hour:Fails", "--nodes", "inline", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "(theirs_of_first_hour.py:6, in deeper)" in done.stdout
    folder = next(out.glob("small/*/3"))
    text = next(iter(read_record(folder)["tracebacks"].values()))
    assert text.startswith("Traceback (most recent call last):")
    assert "in place" in text
    assert "in deeper" in text
    assert "guard.py" not in text
    assert from_record(folder).tracebacks == read_record(folder)["tracebacks"]


def test_a_strategy_that_never_places_anything_does_not_conform(theirs: Path) -> None:
    (found,) = verdicts(load("theirs_of_first_hour:Waits"), examples=20, only=("liveness",))
    assert found.ok is False
    assert "it placed nothing in an hour, though default/p0 fits on n0" in found.reason


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Leaves", "LeavesProcess"])
def test_threads_and_processes_that_a_strategy_left_do_not_keep_the_process(theirs: Path, name: str) -> None:
    words = ["run", str(theirs), "-s", f"theirs_of_first_hour:{name}", "--nodes", "inline", "-q", "-o", "json"]
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from harness.cli import console; console()",
    ]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["scheduler"] == f"theirs_of_first_hour:{name}"
    assert "left-behind" in done.stderr


def test_an_unknown_strategy_of_the_scenario_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, duration="10s", schedulers=["greedy", "gredy"])
    line = next(n for n, row in enumerate(path.read_text().splitlines(), 1) if "gredy" in row)
    done = CliRunner().invoke(app, ["run", str(path), "--nodes", "inline"])
    assert isinstance(done.exception, UserError)
    assert (done.exception.file, done.exception.line) == (str(path), line)


@pytest.mark.parametrize("text", ["1-99999999999", "9" * 30, "1-" + "9" * 30, "-1", "a", "1,,2"])
def test_seeds_are_bounded(text: str) -> None:
    with pytest.raises(UserError, match="--seeds"):
        seeds_of(text)
