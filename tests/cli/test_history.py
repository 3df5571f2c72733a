"""podyard history: results by commit and machine, and what a commit made worse."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.app import app
from harness.experiment.history import FORMAT, this_machine
from harness.model.errors import UserError
from tests.experiment.scenarios import SERVICE, scenario

MINE = "from schedulers.{module} import {name} as scheduler\n"
SLOWER = """
from schedulers.greedy import greedy

def scheduler():
    made = greedy()
    made.modelled_seconds = lambda pods, nodes: 2.0
    return made
"""


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


def commit(text: str, subject: str, at: int) -> None:
    Path("mine.py").write_text(text)
    git("add", "mine.py", "small.yaml")
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", subject],
        check=True,
        env={
            "GIT_COMMITTER_DATE": f"@{1_600_000_000 + at} +0000",
            "GIT_AUTHOR_DATE": f"@{1_600_000_000 + at} +0000",
            "PATH": "/usr/bin:/bin",
        },
    )


def podyard(*words: str) -> Result:
    """As a process of its own would: it imports the strategy as it is now."""
    sys.modules.pop("mine", None)
    importlib.invalidate_caches()
    return CliRunner().invoke(app, list(words))


def play_and_add(seeds: str = "1-6") -> Result:
    words = ("-s", "mine:scheduler", "--seeds", seeds, "--nodes", "inline", "-q", "--no-journal")
    assert podyard("run", "small.yaml", *words).exit_code == 0
    return podyard("history", "add", "results/local")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    made = scenario(duration="2m", workload=[SERVICE])
    Path("small.yaml").write_text(yaml.safe_dump(made))
    git("init", "-q")
    return tmp_path


def shown(*words: str) -> list[dict[str, Any]]:
    result = podyard("history", "show", "-o", "json", *words)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_a_commit_that_makes_it_worse_is_named(repository: Path) -> None:
    commit(MINE.format(module="greedy", name="greedy"), "Fullest node first", 1_000)
    assert play_and_add().exit_code == 0
    commit("# Says the same.\n" + MINE.format(module="greedy", name="greedy"), "A comment", 2_000)
    assert play_and_add().exit_code == 0
    commit(SLOWER, "Two seconds for each decision", 3_000)
    assert play_and_add().exit_code == 0
    first, second = shown("--metric", "placement.pendingSeconds.mean")
    assert (first["verdict"], first["seeds"], first["sameDigests"]) == ("same digests", 6, 6)
    assert (second["verdict"], second["subject"]) == ("REGRESSION", "Two seconds for each decision")
    assert second["sameDigests"] < 6
    (row,) = second["measures"]
    assert row["otherMean"] > row["baseMean"]
    table = podyard("history", "show", "--metric", "placement.pendingSeconds.mean")
    assert "REGRESSION" in table.output
    assert podyard("history", "show", "--strict", "--metric", "placement.pendingSeconds.mean").exit_code == 1
    # Time is of a machine, and what is kept of another is shown apart.
    timing = shown("--metric", "timing.runSeconds")
    assert [row["path"] for step in timing for row in step["measures"]] == ["timing.runSeconds"] * 2
    machine = this_machine()[0]
    (repository / "results/history" / machine).rename(repository / "results/history/other")
    assert len(shown()) == 2
    assert play_and_add().exit_code == 0
    assert shown() == []
    assert len(shown("--machine", "other")) == 2


def test_records_of_other_code_are_refused_unless_the_commit_is_named(repository: Path) -> None:
    commit(MINE.format(module="greedy", name="greedy"), "Fullest", 1_000)
    assert play_and_add("1-2").exit_code == 0
    Path("mine.py").write_text(MINE.format(module="greedy", name="least_allocated"))
    refused = podyard("history", "add", "results/local")
    assert isinstance(refused.exception, UserError)
    assert "other code" in str(refused.exception)
    assert podyard("history", "add", "results/local", "--commit", "before").exit_code == 0
    dirty = play_and_add("1-2")
    assert "the tree differs from the commit" in dirty.stderr
    kept = sorted(path.stem for path in Path("results/history").rglob("*.json") if path.name != "machine.json")
    assert len(kept) == 3
    assert sum(name.endswith("-dirty") for name in kept) == 1
    assert "before" in kept


def test_the_same_runs_are_kept_once(repository: Path) -> None:
    commit(MINE.format(module="greedy", name="greedy"), "Fullest", 1_000)
    play_and_add("1-2")
    play_and_add("1-2")
    (path,) = [path for path in Path("results/history").rglob("*.json") if path.name != "machine.json"]
    data = json.loads(path.read_text())
    assert (data["format"], len(data["runs"])) == (FORMAT, 2)


def test_few_seeds_decide_nothing(repository: Path) -> None:
    for at, name in ((1_000, "greedy"), (2_000, "least_allocated")):
        commit(MINE.format(module="greedy", name=name), name, at)
        assert play_and_add("1-2").exit_code == 0
    (step,) = shown("--metric", "placement.nodesUsedPeak")
    assert step["verdict"] == "changed: too few seeds to decide"
    assert podyard("history", "show", "--strict").exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [("[]", "damaged"), ('{"format": "x"}', "not a history"), (f'{{"format": "{FORMAT}"}}', "damaged")],
)
def test_a_damaged_history_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "machine.json").write_text("{}")
    (tmp_path / "m" / "abc.json").write_text(text)
    result = podyard("history", "show", "--store", str(tmp_path))
    assert isinstance(result.exception, UserError)
    assert said in str(result.exception)


def test_without_a_repository_or_a_history_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for words, said in ((("add", "x"), "no git repository"), (("show",), "nothing of this machine")):
        result = podyard("history", *words)
        assert said in str(result.exception)
