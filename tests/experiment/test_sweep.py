"""Many runs by one command: every combination, in turn or side by side with the same bits, resumed where it stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.cli.progress import Counter
from harness.experiment.record import read_record
from harness.experiment.replay import replay_record
from harness.experiment.run import Run
from harness.experiment.scenario import read_scenario
from harness.experiment.sweep import _kept, _mark, _run_as_task, jobs
from harness.model.errors import RunFailed, UserError
from tests.experiment.scenarios import scenario


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = scenario(
        duration="5m",
        variables={"pods": [20, 30], "longest": ["3m"]},
        workload=[{"openbLike": {"pods": 25, "longest": "{longest}", "load": 60}}],
        nodes=[{"group": {"name": "n-{pods}", "count": 6, "cpu": 32, "memory": "160Gi", "gpus": 4}}],
    )
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(made))
    return file


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["run", str(path), "--nodes", "inline", "--out", str(path.parent / "out"), *words])


def digests(result: Result) -> dict[tuple[str, str, int], str]:
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return {(row["variables"]["pods"], row["scheduler"], row["seed"]): row["digest"] for row in rows}


@pytest.mark.xdist_group("ray")
def test_every_combination_runs_and_parallel_gives_the_same_bits(path: Path) -> None:
    words = ("--vary", "pods", "-s", "greedy,least-allocated", "--seeds", "1-2", "-o", "json", "-q")
    in_turn = run(path, *words, "--no-journal")
    assert in_turn.exit_code == 0
    found = digests(in_turn)
    assert list(found) == [(p, s, n) for p in ("20", "30") for n in (1, 2) for s in ("greedy", "least-allocated")]
    assert len(set(found.values())) == 8
    side_by_side = run(path, *words, "--parallel", "2")
    assert digests(side_by_side) == found
    folder = path.parent / "out" / "small" / "pods=30" / "greedy" / "2"
    assert read_record(folder)["scenario"]["spec"]["nodes"][0]["group"]["name"] == "n-30"
    assert replay_record(folder).same


def test_without_vary_the_first_value_counts(path: Path) -> None:
    result = run(path, "-s", "greedy", "-o", "json", "-q")
    assert result.exit_code == 0
    record = read_record(path.parent / "out" / "small" / "greedy" / "3")
    assert record["scenario"]["spec"]["nodes"][0]["group"]["name"] == "n-20"
    assert record["scenario"]["spec"]["variables"] == {"pods": [20], "longest": ["3m"]}


def test_resume_takes_what_is_recorded_of_the_very_same_scenario(path: Path) -> None:
    words = ("--vary", "pods", "-s", "greedy", "--resume")
    assert "recorded before" not in run(path, *words).output
    again = run(path, *words, "--seeds", "3-4")
    assert again.exit_code == 0
    assert again.output.count("recorded before") == 2
    changed = run(path, *words, "--set", "spec.duration=6m")
    assert "recorded before" not in changed.output


def test_resume_plays_again_what_a_changed_strategy_has_played(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(path.parent)
    mine = path.parent / "edited_strategy.py"
    mine.write_text("from schedulers.greedy import greedy as scheduler\n")
    words = ("-s", "edited_strategy:scheduler", "--resume")
    assert "recorded before" not in run(path, *words).output
    assert "recorded before" in run(path, *words).output
    mine.write_text("from schedulers.greedy import least_allocated as scheduler\n")
    assert "recorded before" not in run(path, *words).output


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_where_it_was_and_repeats_nothing(path: Path) -> None:
    out = path.parent / "out"
    words = ["run", str(path), "--vary", "pods", "-s", "greedy,random", "--seeds", "1-4", "--resume", "--out", str(out)]
    command = [sys.executable, "-c", "from harness.cli import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as killed:
        assert killed.stderr is not None
        for _ in range(5):
            killed.stderr.readline()
        killed.kill()
    before = {file: file.stat().st_mtime_ns for file in out.rglob("record.json")}
    assert 5 <= len(before) < 16
    (out / "small" / "pods=20" / "greedy" / ".4-left").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("recorded before") == len(before)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert len(list(out.rglob("record.json"))) == 16
    assert not list(out.rglob(".4-left"))
    kept = [read_record(file.parent) for file in out.rglob("record.json")]
    fresh = run(path, "--vary", "pods", "-s", "greedy,random", "--seeds", "1-4", "-o", "json", "-q")
    assert {(r["variables"]["pods"], r["scheduler"], r["seed"]): r["digest"] for r in kept} == digests(fresh)


def test_a_worker_without_the_sweeps_disk_gives_its_record_back(path: Path) -> None:
    (job,) = jobs(lambda _: read_scenario(path), {}, ["greedy"], [3])
    out = path.parent / "out"
    ended, files = _run_as_task(job, out, out / ".sweep-elsewhere-1", True)
    assert files is not None
    assert not out.exists()
    kept = _kept(ended, files, out)
    assert kept.result is not None
    folder = out / "small" / "greedy" / "3"
    assert kept.result.folder == folder
    assert {item.name for item in folder.iterdir()} == set(files)
    assert replay_record(folder).same


def test_a_task_that_is_begun_again_does_not_repeat_what_was_recorded(path: Path) -> None:
    (job,) = jobs(lambda _: read_scenario(path), {}, ["greedy"], [3])
    out = path.parent / "out"
    mark = _mark(out)
    _run_as_task(job, out, mark, True)
    written = (out / "small" / "greedy" / "3" / "record.json").stat()
    again, files = _run_as_task(job, out, mark, True)
    assert (again.seconds, files) == (0.0, None)
    assert (out / "small" / "greedy" / "3" / "record.json").stat().st_mtime_ns == written.st_mtime_ns
    os.utime(mark, ns=(written.st_mtime_ns + 1,) * 2)  # a sweep that has begun later plays it
    assert _run_as_task(job, out, mark, True)[0].seconds > 0


def test_marks_of_sweeps_that_were_killed_are_taken_away(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    old = tmp_path / f".sweep-{socket.gethostname()}-{ended.pid}"
    other = tmp_path / ".sweep-another.example-1"
    old.touch()
    other.touch()
    mark = _mark(tmp_path)
    assert set(tmp_path.iterdir()) == {mark, other}


def test_a_line_tells_what_is_left_and_for_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 10.0, 20.0])
    told = Counter(4, quiet=False, clock=lambda: next(now))
    told("a", played=False)
    told("b")
    told("c", failed=True)
    told("d")
    assert capsys.readouterr().err.splitlines() == [
        "1/4 a (3 left)",
        "2/4 b (2 left, 20 s to go)",
        "3/4 c (1 failed, 1 left, 10 s to go)",
        "4/4 d (1 failed)",
    ]


def test_a_run_that_fails_does_not_take_the_others_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Run.play

    def fails_with_30(self: Run, *args: Any, **more: Any) -> Any:
        if self.loaded.chosen["pods"] == "30":
            raise RunFailed("the disk is full")
        return play(self, *args, **more)

    monkeypatch.setattr(Run, "play", fails_with_30)
    result = run(path, "--vary", "pods", "-s", "greedy", "-q", "-o", "json")
    assert result.exit_code == 1
    assert [row["variables"]["pods"] for row in json.loads(result.stdout)] == ["20"]
    assert "pods=30 greedy, seed 3" in result.stderr
    assert "the disk is full" in result.stderr


def test_a_value_that_makes_no_scenario_is_told_before_anything_runs(path: Path) -> None:
    text = path.read_text().replace("longest: '{longest}'", "longest: '{pods}m'")
    path.write_text(text.replace("- 30", "- many").replace("    longest:\n    - 3m\n", ""))
    result = run(path, "--vary", "pods", "-s", "greedy", "-q", "-o", "json")
    assert isinstance(result.exception, UserError)
    assert "'manym' is not a duration" in str(result.exception)
    assert not (path.parent / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--vary", "pod=3"), "did you mean 'pods'?"),
        (("--vary", "pods="), "names no value"),
        (("--vary", "pods", "--parallel", "2", "--clock", "wall"), "--clock"),
    ],
)
def test_what_cannot_be_varied_is_told(path: Path, words: tuple[str, ...], said: str) -> None:
    result = run(path, *words)
    assert result.exit_code != 0
    assert said in result.output + str(result.exception)
