"""Pages of docs/ as scripts: their `sh` blocks in order, beside the files that their other blocks hold.

They run in a folder that has the repository's `docs/examples` and nothing else. A block of another language, `console`
as a rule, is shown and not run: what installs, or needs a service.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_S = 420
"""Of a page; each of its own waits is shorter."""

FILE = re.compile(r"```(?:python|yaml)\n(# (\S+\.(?:py|yaml))\n.*?)```", re.DOTALL)
"""A block whose first line is a comment with nothing but a name: that file."""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def files(page: str) -> dict[str, str]:
    """Name and content of each file that the page shows."""
    return {name: text for text, name in FILE.findall((ROOT / "docs" / page).read_text())}


def run_page(page: str, folder: Path, longest_s: int = LONGEST_S) -> str:
    """What its commands print; they stop at the first that fails, and so does whatever they started."""
    tools = folder / "bin"
    tools.mkdir()
    for name, arguments in (("podyard", "-c 'from harness.cli import main; main()'"), ("python", "")):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho $$ >> {folder}/pids\nexec {sys.executable} {arguments} "$@"\n')
        tool.chmod(0o755)
    (folder / "docs").mkdir()
    (folder / "docs" / "examples").symlink_to(ROOT / "docs" / "examples")
    for name, text in files(page).items():
        (folder / name).write_text(text)
    script = "set -eum\nset -o pipefail\n" + "\n".join(blocks(page, "sh"))
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    environment |= {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    command = ["bash", "-c", script]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as shell:
        try:
            out, _ = shell.communicate(timeout=longest_s)
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
