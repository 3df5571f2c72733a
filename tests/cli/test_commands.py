"""A command of somebody else's package: `podyard NAME`, found by its entry point."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

OURS = '''
"""Somebody's package."""

from typing import Annotated

import typer


def shout(word: str, times: Annotated[int, typer.Option(help="How often.")] = 1) -> None:
    """Say a word loudly."""
    print(word.upper() * times)


app = typer.Typer(help="Several at once.")


@app.command()
def one() -> None:
    """The first."""
    print("one")


@app.command()
def two() -> None:
    """The second."""
    print("two")
'''


def installed(folder: Path, points: str) -> Path:
    """A distribution as pip would leave it."""
    (folder / "shouting.py").write_text(OURS)
    info = folder / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[podyard.commands]\n{points}\n")
    return folder


def podyard(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        env={"PYTHONPATH": str(folder), "PATH": "", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_function_and_an_app_are_commands(tmp_path: Path) -> None:
    folder = installed(tmp_path, "shout = shouting:shout\nmany = shouting:app")
    assert podyard(folder, "shout", "hey", "--times", "2").stdout == "HEYHEY\n"
    assert podyard(folder, "many", "two").stdout == "two\n"
    told = podyard(folder, "--help").stdout
    assert "Say a word loudly." in told
    assert "Several at once." in told
    assert "--times" in podyard(folder, "shout", "--help").stdout


def test_one_that_does_not_load_says_so_and_leaves_the_others_alone(tmp_path: Path) -> None:
    broken = {
        "one": ("nowhere:shout", "does not load"),
        "two": ("shouting:missing", "does not load"),
        "three": ("shouting:__doc__", "is no command"),
    }
    folder = installed(tmp_path, "\n".join(f"{name} = {value}" for name, (value, _) in broken.items()))
    for name, (_, words) in broken.items():
        called = podyard(folder, name, "hey")
        assert called.returncode == 2
        assert words in called.stderr
        assert "Traceback" not in called.stderr
    listed = podyard(folder, "--help")
    assert listed.returncode == 0
    for name, (_, words) in broken.items():
        assert re.search(rf"{name} .*{words}", listed.stdout)
    assert podyard(folder, "schedulers").returncode == 0


def test_a_name_that_is_shipped_cannot_be_taken(tmp_path: Path) -> None:
    folder = installed(tmp_path, "schedulers = shouting:shout")
    called = podyard(folder, "schedulers")
    assert called.returncode == 2
    assert "registered more than once" in called.stderr
    assert "shouting: shouting:shout" in called.stderr
