"""The end of all processes of a session (in the sense of setsid), whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from harness.model.whole_numbers import whole_number

_PROC = Path("/proc")


def can_end_session() -> bool:
    """On Linux: elsewhere nobody says who belongs to a session."""
    return _PROC.is_dir()


def end_session(session: int) -> None:
    """Until none is left but the one that calls."""
    while can_end_session() and _kill_all(session):
        time.sleep(0.01)


def _kill_all(session: int) -> bool:
    found = False
    for entry in _PROC.iterdir():
        process = whole_number(entry.name)
        if process is not None and process != os.getpid():
            with contextlib.suppress(OSError):
                # A dead process stays in its session until it is reaped: pid (name) state ..
                if os.getsid(process) == session and (entry / "stat").read_text().rpartition(") ")[2][0] != "Z":
                    os.kill(process, signal.SIGKILL)
                    found = True
    return found
