"""podyard's commands: each in a file of its own, imported here, heavy things imported only when a command runs."""

from __future__ import annotations

import errno
import sys
from typing import Any


def main() -> None:
    """The console script. A user's mistake is one screen on stderr; only our own mistakes give tracebacks."""
    # --scheduler module:object finds what lies in the working directory, as `python -m` would.
    if "" not in sys.path:
        sys.path.insert(0, "")
    from harness.cli.app import app
    from harness.model.errors import UserError

    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has seen enough (podyard .. | head).
            sys.stderr.close()
            raise SystemExit(0) from None
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Of a name or a place that a user gave: too long a name, no permission, a full disk.
        print("error:", *filter(None, (error.filename and f"{error.filename}:", error.strerror)), file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


LEFTOVER_S = 5.0
"""So long a finished command waits for threads and processes that somebody else's code has left running."""


def console() -> None:
    """`main` in a process of its own, which ends when the command has, whatever threads and processes a strategy left
    behind."""
    from harness.cli import interrupts
    from harness.experiment.collection import collecting_rarely

    interrupts.install()
    code: int | str | None = 0
    try:
        with collecting_rarely():
            main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # an import, say, makes something else of an interrupt
        if not interrupts.exit_code():
            raise
    if interrupts.exit_code():
        print(interrupts.word(), file=sys.stderr)
        code = interrupts.exit_code()
    import threading

    left = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if left:
        # The interpreter waits for them at its end; so does this, but not for ever.
        threading.Thread(target=_leave, args=(left, code if isinstance(code, int) else 1), daemon=True).start()
    else:
        _end_children()
    raise SystemExit(code)


def _leave(left: list[Any], code: int) -> None:
    import atexit
    import os
    import time

    until = time.monotonic() + LEFTOVER_S
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    alive = [thread.name for thread in left if thread.is_alive()]
    if alive:
        print(f"note: threads were left running and are not waited for: {', '.join(alive)}", file=sys.stderr)
        _end_children()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_children() -> None:
    """Of multiprocessing, which waits at exit for those that are no daemons, for as long as they run."""
    import time

    if "multiprocessing" not in sys.modules:
        return
    import multiprocessing

    children = [child for child in multiprocessing.active_children() if not child.daemon]
    until = time.monotonic() + LEFTOVER_S
    for child in children:
        child.join(max(0.0, until - time.monotonic()))
    alive = [child for child in children if child.is_alive()]
    if alive:
        print(f"note: processes were left running and are ended: {', '.join(c.name for c in alive)}", file=sys.stderr)
    for child in alive:
        child.kill()
        child.join()
