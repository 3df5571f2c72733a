"""A wall-clock deadline on somebody else's code, also on a loop that never looks up. This module reads the clock.

One daemon thread looks at the calls that are under way. What is late in the main thread gets a signal, which also
wakes it from a sleep or a read; in another thread an asynchronous exception. Either is raised between two bytecodes,
and only inside `with call.theirs():` parts, never in the harness's own code. A call into C that does not come back to
the interpreter cannot be ended by anything inside the process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNAL = getattr(signal, "SIGVTALRM", None)  # nobody's: profilers use SIGPROF, test runners SIGALRM
_TICKS = 10  # looks in a deadline; so much later than it a call may end
_SHORTEST_TICK_S, _LONGEST_TICK_S = 0.005, 0.25


class DeadlinePassed(BaseException):
    """Raised inside the call that is late. Not an Exception, so that `except Exception: continue` lets it through."""


class Call:
    """One caller's calls, one at a time. `inside`: their code is running; `late`: it has been for too long."""

    __slots__ = (
        "__weakref__",
        "_before",
        "_due",
        "_fired",
        "_lock",
        "_thread",
        "_watched",
        "inside",
        "late",
        "limit_s",
    )

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.inside = False
        self.late = False
        self._due = 0.0  # 0: nothing under way
        self._fired = False
        self._thread = 0
        self._watched = False
        self._lock = threading.Lock()
        self._before: Call | None = None

    def begin(self) -> None:
        """The clock starts."""
        self.late = self._fired = False
        self._thread = threading.get_ident()
        self._due = time.monotonic() + self.limit_s
        _DOG.watch(self)
        if threading.current_thread() is threading.main_thread():
            global _in_main
            self._before, _in_main = _in_main, self

    def leave(self) -> None:
        """Back in the harness's own code: what was fired and has not arrived is called off."""
        self.inside = False
        if self._fired:
            try:
                with self._lock:  # the watchdog is not about to fire
                    self._fired = False
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)
            except DeadlinePassed:
                self._fired = False

    def end(self) -> None:
        """The clock stops."""
        self.leave()
        self._due = 0.0
        global _in_main
        if _in_main is self:
            _in_main, self._before = self._before, None

    def again(self) -> None:
        """As much time once more, for cleaning up."""
        self._due = time.monotonic() + self.limit_s

    def run(self, theirs: Callable[..., Any], *arguments: Any) -> tuple[Any, BaseException | None]:
        """What their code answers, and what it raised; `late` says whether it took too long."""
        answer: Any = None
        error: BaseException | None = None
        self.begin()
        try:
            self.inside = True
            answer = theirs(*arguments)
            self.inside = False
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as caught:
            error = caught
        finally:
            try:
                self.leave()
            except DeadlinePassed:
                self.leave()
            self.end()
        return answer, error

    # -- the watchdog's side ---------------------------------------------------------------------------------------

    def look(self) -> None:
        if not self._due or time.monotonic() < self._due:
            return
        with self._lock:
            self.late = True
            self._fired = True  # before looking whether they are inside: they look the other way round
            if not self.inside or not self._due or time.monotonic() < self._due:
                return
            if _SIGNAL is not None and self._thread == threading.main_thread().ident and _ours():
                signal.pthread_kill(self._thread, _SIGNAL)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(DeadlinePassed)
                )


_in_main: Call | None = None
"""What is under way in the main thread."""


def _on_signal(number: int, frame: FrameType | None) -> None:
    call = _in_main
    if call is not None and call.inside and call.late:
        raise DeadlinePassed


def _ours() -> bool:
    return _SIGNAL is not None and signal.getsignal(_SIGNAL) is _on_signal


class _Dog:
    """The thread, started when first needed; again in a process that was forked."""

    def __init__(self) -> None:
        self._calls: tuple[weakref.ref[Call], ...] = ()
        """Replaced, never changed: the thread goes through it while others add."""
        self._adding = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._tick_s = _LONGEST_TICK_S

    def watch(self, call: Call) -> None:
        if not call._watched:
            call._watched = True
            with self._adding:
                self._calls = (*(known for known in self._calls if known() is not None), weakref.ref(call))
            tick = min(max(call.limit_s / _TICKS, _SHORTEST_TICK_S), _LONGEST_TICK_S)
            self._tick_s = min(self._tick_s, tick)
        if self._thread is None or self._pid != os.getpid() or not self._thread.is_alive():
            self._start()

    def _start(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and _SIGNAL is not None and signal.getsignal(_SIGNAL) is signal.SIG_DFL:
            signal.signal(_SIGNAL, _on_signal)
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="podyard-watchdog", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(self._tick_s)
            for known in self._calls:
                call = known()
                if call is not None:
                    call.look()
                del call  # else it is kept until the next tick


_DOG = _Dog()
