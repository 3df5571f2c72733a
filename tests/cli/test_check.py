"""podyard check: a line for each property, the smallest example as a scenario that `podyard run` plays."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.simulation import end_states

BAD = "tests.testing.bad:Overfills"


def podyard(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["podyard", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_failing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(end_states, "ATTEMPTS", 2)  # tests/simulation/test_end_states.py is about making it small
    assert podyard(monkeypatch, "check", BAD, "--examples", "25") == 1
    out = capsys.readouterr().out
    assert "holds   deadline\n" in out
    assert "FAILS   legality: illegal bind default/p0: n0:" in out
    assert "nodes: n0(" in out
    assert "properties do not hold" in out
    (line,) = [line.split() for line in out.splitlines() if "podyard run" in line and "legality" in line]
    assert podyard(monkeypatch, *line[1:], "--nodes", "inline") == 1
    assert "illegal bind default/p0" in capsys.readouterr().out


def test_a_good_one_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert podyard(monkeypatch, "check", "greedy", "--examples", "5", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["conforms"]
    assert {row["property"] for row in told["properties"]} >= {"deadline", "legality", "purity", "hash seed", "memory"}
    assert all(row["holds"] for row in told["properties"])
    assert not (tmp_path / "results").exists()


def test_a_name_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert podyard(monkeypatch, "check", "gredy") == 2
    assert "did you mean 'greedy'" in capsys.readouterr().err


def test_a_round_strategy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert podyard(monkeypatch, "check", "srtf", "--examples", "3") == 0
    assert "srtf: conforms" in capsys.readouterr().out
    assert podyard(monkeypatch, "check", "tests.testing.bad_rounds:HalfGangs", "--examples", "4") == 1
    out = capsys.readouterr().out
    assert "FAILS   legality: illegal schedule: job" in out
    assert "GPUs: job 0(gang of" in out
