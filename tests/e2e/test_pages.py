"""The pages of docs/ for a live cluster: each command that they print, in their order."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

ROOT = Path(__file__).parents[2]
LONGEST_S = 420
"""Of a page; each of its own waits is shorter."""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def run_page(page: str, folder: Path) -> str:
    """What its commands print; they stop at the first that fails, and so does whatever they started."""
    tools = folder / "bin"
    tools.mkdir()
    for name, arguments in (("podyard", "-c 'from harness.cli import main; main()'"), ("python", "")):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho $$ >> {folder}/pids\nexec {sys.executable} {arguments} "$@"\n')
        tool.chmod(0o755)
    script = "set -eum\nset -o pipefail\n" + "\n".join(blocks(page, "sh"))
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    environment |= {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    command = ["bash", "-c", script]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as shell:
        try:
            out, _ = shell.communicate(timeout=LONGEST_S)
        finally:
            shell.kill()
            for pid in map(int, (folder / "pids").read_text().split()):
                if str(folder).encode() in _environment(pid):  # else the number is another's by now
                    os.kill(pid, signal.SIGTERM)
    log = (folder / "up.log").read_text() if (folder / "up.log").exists() else ""
    assert shell.returncode == 0, f"{out}\n-- up.log\n{log}"
    return out


def _environment(pid: int) -> bytes:
    """Of a process; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def test_ten_minutes(tmp_path: Path) -> None:
    out = run_page("ten-minutes.md", tmp_path)
    assert re.findall(r"(?m)^(?:yes|no|and that is right)$", out) == ["yes", "no", "and that is right"]
    assert re.search(r"node-1\s+NotReady", out)
    assert "node/node-3 drained" in out
    assert out.count("deployment.apps/shop condition met") == 3


def test_a_scheduler_of_ones_own(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes", reason="the official client is not installed")
    (code,) = blocks("own-scheduler.md", "python")
    (tmp_path / "own_scheduler.py").write_text(code)
    out = run_page("own-scheduler.md", tmp_path)
    assert "0/2 nodes are available: 2 Insufficient cpu." in out
    log = (tmp_path / "own.log").read_text().splitlines()
    assert log[:2] in (["one -> node-1", "two -> node-0"], ["one -> node-1", "two -> node-0", ""])
    assert log[2:] == ["two makes room on node-0", "first -> node-0"]
