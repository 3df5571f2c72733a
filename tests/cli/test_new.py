"""podyard new scheduler: a package that installs, is listed, checked and compared, without touching anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from harness.cli import main

ROOT = Path(__file__).resolve().parents[2]


def podyard(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["podyard", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_it_writes_a_package_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert podyard(monkeypatch, "new", "scheduler", "my-fit") == 0
    written = capsys.readouterr().out.split()
    assert written[0] == "my-fit/pyproject.toml"
    assert all(Path(path).is_file() for path in written)
    before = {path: Path(path).read_text() for path in written}
    module = Path("my-fit/src/podyard_my_fit/__init__.py").read_text()
    assert len([line for line in module.splitlines() if line.strip()]) < 20

    assert podyard(monkeypatch, "new", "scheduler", "my-fit") == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert before == {path: Path(path).read_text() for path in written}


@pytest.mark.parametrize("name", ["My-Fit", "1fit", "a--b", "../x", "a_b", "class", "greedy", "json", "-x-"])
def test_a_name_that_cannot_be_one_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert podyard(monkeypatch, "new", "scheduler", "--", name) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_in_a_fresh_environment_it_is_listed_checked_and_compared(tmp_path: Path) -> None:
    """pip installs it into a venv of its own; podyard and what it needs are lent by this environment."""
    env_dir, package = tmp_path / "env", tmp_path / "my-fit"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env_dir)], check=True)
    python = str(env_dir / "bin" / "python")
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    lent = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    Path(site, "lent.pth").write_text("\n".join(lent) + "\n")
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # This code before an installed copy of it.
    env["PYTHONPATH"] = str(ROOT)

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [python, "-m", *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    run("harness.cli", "new", "scheduler", "my-fit")
    assert "my-fit" not in run("harness.cli", "schedulers")
    run("pip", "--python", python, "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", str(package))
    listed = run("harness.cli", "schedulers")
    assert "my-fit: podyard_my_fit:my_fit" in listed.replace("\n", " ")
    assert "my-fit: conforms" in run("harness.cli", "check", "my-fit", "--examples", "20")
    table = run("harness.cli", "run", "quickstart", "--scheduler", "my-fit,greedy", "--nodes", "inline")
    assert "Placement quality" in table
    assert "my-fit/1: digest" in table
    # The plugin comes by podyard's entry point; where an installed copy is older than that, it is named.
    known = any(point.name == "podyard" for point in entry_points(group="pytest11"))
    run("pytest", "-q", *(() if known else ("-p", "harness.testing.plugin")), str(package))


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    heavy = ("numpy", "hypothesis", "harness.scheduling", "harness.testing.cluster", "msgspec", "polars")
    code = f"import pytest, sys, harness.testing.plugin; print([name for name in {heavy!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.strip() == "[]"
