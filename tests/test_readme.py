"""The README's examples, run as printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.app import app

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()

FEWER = "--set spec.workload[0].openbLike.pods=100"
"""A sixth of the quickstart's batch tasks."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def podyard(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli", *shlex.split(arguments), "--nodes", "inline"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_strategy_has_at_most_20_lines_and_runs_as_printed(tmp_path: Path) -> None:
    code = next(block for block in blocks("python") if "scheduler = " in block)
    assert len(code.splitlines()) <= 20
    (tmp_path / "zones.py").write_text(code)
    command = next(line for block in blocks("sh") for line in block.splitlines() if "zones:scheduler" in line)
    shorter = f" --set spec.duration=3m --set 'spec.faults=[]' {FEWER} -o json"
    done = podyard(command.removeprefix("podyard ") + shorter, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert '"scheduler": "zones:scheduler"' in done.stdout


def test_the_autoscaler_has_at_most_20_lines_and_runs_as_printed(tmp_path: Path) -> None:
    code = next(block for block in blocks("python") if "class Headroom" in block)
    assert len(code.splitlines()) <= 20
    (tmp_path / "headroom.py").write_text(code)
    lines = [line for block in blocks("sh") for line in block.splitlines() if "headroom:Headroom" in line]
    command = next(line for line in lines if line.startswith("podyard run"))
    shorter = f" --set spec.duration=4m --set 'spec.faults=[]' {FEWER} -o json"
    done = podyard(command.removeprefix("podyard ") + shorter, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert '"componentFaults"' not in done.stdout
    assert '"rescales"' in done.stdout


def test_the_scenario_runs_as_printed(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "crash-test.yaml").write_text(text)
    name = yaml.safe_load(text)["metadata"]["name"]
    done = podyard(f"run {name}.yaml", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Recovery latency" in done.stdout
    assert (tmp_path / "results" / "local" / name).is_dir()


def test_the_list_has_every_command() -> None:
    listed = next(block for block in blocks("text") if "podyard run" in block)
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert known == known & set(re.findall(r"^podyard ([a-z]+)", listed, re.MULTILINE))


@pytest.mark.parametrize("command", ["run", "journal", "replay", "up", "schedulers", "train", "trace"])
def test_every_command_is_there(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.stdout


def test_the_output_has_the_form_that_the_quickstart_prints(tmp_path: Path) -> None:
    """Titles, rows and columns; the numbers move with the strategies, and results/reference pins them to a version.
    The form says nothing of how many batch tasks there are."""
    done = podyard(f"run --out results/local {FEWER}", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = next(block for block in blocks("text") if "Placement quality" in block)

    def form(text: str) -> list[str]:
        text = re.sub(r"(?ms)^NOTE .*?(?=^\w+/\d)", "", text)  # that so few tasks do not come to the load
        rows = [re.sub(r">?[-\d][\d.]*|[0-9a-f]{32}", "#", row) for row in text.splitlines()]
        labels = [" ".join(re.sub(r"(\s*#)+.*", "", row).split()) for row in rows]  # columns are as wide as numbers
        return [label for label in labels if label and set(label) != {"─"}]

    assert form(done.stdout) == form(printed)
