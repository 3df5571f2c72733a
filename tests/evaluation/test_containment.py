"""What the kernel refuses, without any help of Python's: the audit hook is not there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.evaluation.process import readable

SCRIPT = """
import ctypes, json, os, sys, threading
order = json.loads(sys.argv[1])
sys.path[:] = order["path"]
from harness.evaluation.containment import close_down, contain
libc = ctypes.CDLL(None, use_errno=True)
kind, statm = contain(order["kind"], order["readable"], order["scratch"])
close_down(statm, 20, 256 << 20, 1 << 16)
def attempt(what):
    try:
        print(what())
    except (OSError, MemoryError, RuntimeError) as error:
        print(type(error).__name__)
exec(order["code"])
"""

KINDS = ["namespaces", "landlock"]


def contained(kind: str, code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    root = str(Path(__file__).parents[2])
    order = {
        "kind": kind,
        "readable": readable([f"{root}/harness"]),
        "scratch": str(scratch),
        "path": [root, *sys.path],
        "code": code,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(order)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    if "NotAllowed" in done.stderr:
        pytest.skip(f"{kind}: {done.stderr.splitlines()[-1]}")
    return done


@pytest.mark.parametrize("kind", KINDS)
def test_files_memory_and_threads(kind: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("seeds")
    code = f"""
attempt(lambda: open("/etc/passwd").read())
attempt(lambda: open({str(tmp_path / "secret")!r}).read())
attempt(lambda: os.open("/tmp/written", os.O_CREAT | os.O_WRONLY))
attempt(lambda: os.open(os.__file__, os.O_RDWR))
attempt(lambda: os.mkdir("/tmp/made"))
attempt(lambda: os.listdir("/proc/1"))
attempt(lambda: len(bytearray(1 << 30)))
attempt(lambda: threading.Thread(target=print).start())
attempt(lambda: libc.syscall(435, 0, 0))
attempt(lambda: len(open(os.__file__).read()) > 1000)
"""
    done = contained(kind, code, tmp_path)
    refused = done.stdout.split()
    assert done.returncode == 0, done.stderr
    assert all(word.endswith("Error") for word in refused[:6]), refused
    assert refused[6:] == ["MemoryError", "RuntimeError", "-1", "True"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "secret"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "code",
    [
        "libc.socket(2, 1, 0)",
        "libc.fork()",
        "os.kill(os.getppid(), 0)",
        "os.execv('/bin/true', ['true'])",
        "libc.ptrace(16, os.getppid(), 0, 0)",
        "libc.unshare(0x10000000)",
    ],
)
def test_what_nobody_needs_ends_the_process(kind: str, code: str, tmp_path: Path) -> None:
    done = contained(kind, code, tmp_path)
    # glibc's fork() is clone(), which is refused as threads are; all else is killed for.
    if "fork" in code:
        assert done.returncode == 0
    else:
        assert done.returncode == -signal.SIGSYS, (done.returncode, done.stderr)
