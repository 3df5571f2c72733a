"""Ctrl-C and kill: a command ends within seconds, whatever it is doing, without a traceback, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

GRACE_S = 3.0
"""So long a command may take to put its things away; then it ends as it is, as it does at a second Ctrl-C."""

SAME_S = 0.5
"""A terminal, a shell and a supervisor may each send one; within this they mean the same."""

_received = 0
_again = False


def install() -> None:
    """For a process that runs one command. SIGTERM ends it as Ctrl-C does, unless the command has a handler for it."""
    signal.signal(signal.SIGINT, _on_signal)
    signal.signal(signal.SIGTERM, _on_signal)
    sys.unraisablehook = _unraisable
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(heard,), name="podyard-interrupts", daemon=True).start()


def exit_code() -> int:
    """Of a command that was interrupted, as shells have it: 130 for Ctrl-C, 143 for SIGTERM; 0: it was not."""
    return 128 + _received if _received else 0


def word() -> str:
    return "terminated" if _received == signal.SIGTERM else "interrupted"


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _received, _again
    if _received and not _again:
        return
    _received, _again = _received or number, False
    raise KeyboardInterrupt


def _watch(heard: int) -> None:
    """What a strategy swallows, or a library does not look at, ends all the same."""
    while not _ours(number := os.read(heard, 1)[0]):
        pass
    began = time.monotonic()
    _wake_main(number)
    while (left := began + GRACE_S - time.monotonic()) > 0:
        spoken, _, _ = select.select([heard], [], [], left)
        if spoken and _ours(os.read(heard, 1)[0]) and time.monotonic() - began > SAME_S:
            break
    _end_as_it_is(number)


def _ours(number: int) -> bool:
    return number in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is _on_signal


def _wake_main(number: int) -> None:
    """Out of whatever it waits for: polars puts a handler of its own before Python's, after which Linux goes on waiting
    as if nothing had happened."""
    main = threading.main_thread().ident
    with contextlib.suppress(OSError, ValueError):
        signal.siginterrupt(number, True)
    if main is not None:
        signal.pthread_kill(main, number)


def _end_as_it_is(number: int) -> None:
    global _received
    _received = _received or number
    session = sys.modules.get("harness.node.actors.session")
    if session is not None:
        session.kill_ray()
    os.write(2, f"{word()}\n".encode())
    os._exit(exit_code())


def _unraisable(seen: Any) -> None:
    """Python drops what is raised where nobody can catch it, in a finalizer say; it is raised again a moment later."""
    global _again
    if _received and seen.exc_type is KeyboardInterrupt:
        _again = True
        threading.Timer(0.01, _wake_main, (_received,)).start()
    else:
        sys.__unraisablehook__(seen)
