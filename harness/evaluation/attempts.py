"""What a strategy's file tries and may not, named as it tries: an audit hook of Python and a look at what was replaced.

This is for the words of the verdict. It runs in the process of the file, which could get around it; what it would do
then is refused by the kernel (containment.py). Source of the events: Python's "Audit events table".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

Tell = Callable[[str, str], NoReturn]
"""(kind, what): tells the judge and ends the process."""

_BY_PREFIX = {
    "socket.": "network",
    "urllib.": "network",
    "ssl.": "network",
    "ftplib.": "network",
    "http.": "network",
    "smtplib.": "network",
    "ctypes.": "machine code",
    "os.fork": "processes",
    "os.forkpty": "processes",
    "os.posix_spawn": "processes",
    "os.spawn": "processes",
    "os.exec": "processes",
    "os.system": "processes",
    "subprocess.": "processes",
    "pty.": "processes",
    "_posixsubprocess.": "processes",
    "_thread.start": "threads",
    "os.kill": "signals",
    "os.killpg": "signals",
    "signal.": "signals",
    "resource.": "limits",
    "gc.get_objects": "the interpreter",
    "gc.get_referrers": "the interpreter",
    "gc.get_referents": "the interpreter",
    "os.remove": "writes",
    "os.rename": "writes",
    "os.mkdir": "writes",
    "os.rmdir": "writes",
    "os.link": "writes",
    "os.symlink": "writes",
    "os.truncate": "writes",
    "os.chmod": "writes",
    "os.chown": "writes",
    "os.utime": "writes",
    "os.setxattr": "writes",
    "shutil.": "writes",
    "tempfile.": "writes",
    "sqlite3.": "writes",
    "mmap.": "machine code",
}
_EXACT = {"open", "os.listdir", "os.scandir", "import"}
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# fmt: off
REFUSED_MODULES = frozenset(
    {
        "ctypes", "_ctypes", "cffi", "subprocess", "_posixsubprocess", "multiprocessing", "concurrent", "socket",
        "_socket", "ssl", "asyncio", "selectors", "select", "threading", "_thread", "signal", "_signal", "resource",
        "fcntl", "mmap", "pty", "ray", "http", "urllib", "requests"
    }
)
# fmt: on
_HARNESS = ("model", "scheduling", "jobs")
_SCHEDULING = ("strategy", "scoring", "filter_plugin")
"""Of the harness, what strategies import: the contract 'third-party' of pyproject.toml says the same."""

_GUARDED = ("numpy", "numpy.random", "time", "math", "random", "builtins", "json", "harness.scheduling.strategy")


class Attempts:
    """`paths`: what may be read. `watching` from when the file runs; `inside` names its code's file."""

    def __init__(self, paths: Sequence[str], name: str, tell: Tell) -> None:
        self._paths = tuple(os.path.realpath(path) for path in paths) + tuple(paths)
        self._name = name
        self._tell = tell
        self._own = {name: dict(vars(sys.modules[name])) for name in _GUARDED if name in sys.modules}
        self._classes = {
            (module, name): dict(vars(value))
            for module in ("harness.scheduling.strategy",)
            for name, value in vars(sys.modules[module]).items()
            if isinstance(value, type) and value.__module__ == module
        }
        self._kinds = dict(_BY_PREFIX)
        self.watching = False

    def install(self) -> None:
        import signal

        for name in ("signal", "setitimer", "alarm", "siginterrupt", "set_wakeup_fd", "raise_signal"):
            for module in (signal, sys.modules["_signal"]):
                setattr(module, name, self._refuse_signals)
        for name in list(sys.modules):
            if name.partition(".")[0] in REFUSED_MODULES:
                del sys.modules[name]
        sys.addaudithook(self._hear)

    def _refuse_signals(self, *arguments: Any) -> None:
        if self.watching:
            self._tell("signals", "it handles or sends signals")

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event in _EXACT:
            told = self._file(event, arguments) if event != "import" else self._module(str(arguments[0]))
            if told is not None:
                self.watching = False
                self._tell(*told)
            return
        for prefix, kind in self._kinds.items():
            if event.startswith(prefix):
                self.watching = False
                self._tell(kind, f"{event}{_short(arguments)}")

    def _file(self, event: str, arguments: tuple[Any, ...]) -> tuple[str, str] | None:
        path = arguments[0]
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITE)
            if writes:
                return "writes", f"opens {path!r} to write"
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return "files", f"{event} {path!r}"
        plain = os.path.abspath(path) if path else "/"
        if any(plain == known or plain.startswith(known + "/") for known in self._paths):
            return None
        if event == "os.listdir" and not self._asked_by_file():
            return None  # the import system looks into folders of sys.path that are not here
        return "files", f"reads {path!r}"

    def _module(self, name: str) -> tuple[str, str] | None:
        top, _, rest = name.partition(".")
        if top in REFUSED_MODULES and self._asked_by_file():
            return "imports", f"import {name}"
        if top in ("harness", "workloads", "benchmarks", "tests") and self._asked_by_file():
            part, _, more = rest.partition(".")
            fine = top == "harness" and (not part or (part in _HARNESS and (part != "scheduling" or not more)))
            fine = fine or (top == "harness" and part == "scheduling" and more.partition(".")[0] in _SCHEDULING)
            if not fine:
                return "imports", f"import {name}"
        return None

    def _asked_by_file(self) -> bool:
        """Whether the nearest code that is not the import system's is the stranger's."""
        frame = sys._getframe(2)
        while frame is not None:
            file = frame.f_code.co_filename
            if not file.startswith("<frozen importlib") and file != __file__ and "/importlib/" not in file:
                return file == self._name or (not file.startswith(self._paths) and not file.startswith("<frozen"))
            frame = frame.f_back  # type: ignore[assignment]
        return False

    def replaced(self) -> str:
        """What of numpy, the clock or the protocol is not what it was; '' if all is."""
        for module, before in self._own.items():
            now = vars(sys.modules.get(module, ModuleType(module)))
            for name, value in before.items():
                if not name.startswith("__") and now.get(name) is not value:
                    return f"{module}.{name}"
        for (module, name), before in self._classes.items():
            now = vars(self._own[module][name])
            if any(now.get(key) is not value for key, value in before.items()):
                return f"{module}.{name}"
        return ""


def _short(arguments: tuple[Any, ...]) -> str:
    try:
        text = repr(arguments)
    except Exception:
        return ""
    return text if len(text) <= 200 else text[:200] + " .."
