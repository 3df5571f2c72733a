"""podyard new scheduler: a package that installs, is listed, checked and compared, without touching anything else."""

from __future__ import annotations

import os
import subprocess
import sys
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


def as_its_readme_says(tmp_path: Path, kind: str, name: str, shorter: dict[str, str]) -> dict[str, str]:
    """pip installs the package into a venv of its own; podyard and what it needs are lent by this environment. What
    each command of the package's README prints. `shorter`: more arguments, by the first two words of a command."""
    env_dir, package = tmp_path / "env", tmp_path / name
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

    run("harness.cli", "new", kind, name)
    assert name not in run("harness.cli", f"{kind}s")
    # pip and pytest of this environment for that one, without an index: what the package needs must be lent.
    env |= {"PATH": f"{env_dir / 'bin'}{os.pathsep}{os.environ['PATH']}", "PIP_NO_INDEX": "1"}
    env |= {"PIP_NO_BUILD_ISOLATION": "0"}  # pip's way to say that it is switched off
    for script_name, words in {
        "pip": f"{sys.executable} -m pip --python {python}",
        "podyard": f"{python} -m harness.cli",
        "pytest": f"{python} -m pytest",
    }.items():
        script = env_dir / "bin" / script_name
        script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        script.chmod(0o755)
    block = (package / "README.md").read_text().partition("```sh\n")[2].partition("```")[0]
    said = {}
    for line in block.splitlines():
        command = line.partition("#")[0].strip()
        first = " ".join(command.split()[:2])
        command += shorter.get(first, "")
        ran = subprocess.run(
            command, shell=True, cwd=package, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        said[first] = ran.stdout
    return said


@pytest.mark.slow
def test_in_a_fresh_environment_it_is_listed_checked_and_compared(tmp_path: Path) -> None:
    shorter = {"podyard check": " --examples 20", "podyard run": " --nodes inline"}
    said = as_its_readme_says(tmp_path, "scheduler", "my-fit", shorter)
    assert "my-fit: podyard_my_fit:my_fit" in said["podyard schedulers"].replace("\n", " ")
    assert "my-fit: conforms" in said["podyard check"]
    assert "Placement quality" in said["podyard run"]
    assert "2 passed" in said["pytest"]


@pytest.mark.slow
def test_an_autoscaler_in_a_fresh_environment(tmp_path: Path) -> None:
    shorter = {
        "podyard check": " --examples 1",
        "podyard compare": " --seeds 1-2 --set spec.duration=5m --set 'spec.faults=[]' -o json",
    }
    said = as_its_readme_says(tmp_path, "autoscaler", "my-scaler", shorter)
    assert "podyard_my_scaler:MyScaler" in said["podyard autoscalers"].replace("\n", " ")
    assert "my-scaler: conforms" in said["podyard check"]
    assert '"other": "my-scaler"' in said["podyard compare"]
    assert "1 passed" in said["pytest"]


@pytest.mark.parametrize("name", ["My-Scaler", "../x", "class", "utilization"])
def test_a_name_that_no_autoscaler_can_have_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert podyard(monkeypatch, "new", "autoscaler", "--", name) == 2
    assert "autoscaler" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    heavy = ("numpy", "hypothesis", "harness.scheduling", "harness.testing.cluster", "msgspec", "polars")
    code = f"import pytest, sys, harness.testing.plugin; print([name for name in {heavy!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.strip() == "[]"
