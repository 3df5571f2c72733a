"""A contained process with a stranger's file: started, asked, ended; and the reason of its end in words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import harness
from harness.evaluation.frames import Channel, Ended, Late, Malformed
from harness.model.errors import UserError

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """`call_s`: wall time of one call; `wait_s` of all calls of a process together; `cpu_s` of the process;
    `memory_mib` beyond the interpreter; `output_kib` of what is printed. One process, one thread."""

    call_s: float = 2.0
    wait_s: float = 60.0
    cpu_s: float = 20.0
    memory_mib: int = 512
    output_kib: int = 256

    def to_data(self) -> dict[str, Any]:
        return {
            "callSeconds": self.call_s,
            "waitSeconds": self.wait_s,
            "cpuSeconds": self.cpu_s,
            "memoryMiB": self.memory_mib,
            "outputKiB": self.output_kib,
            "processes": 1,
            "threads": 1,
        }


@dataclass(frozen=True, slots=True)
class Stopped(Exception):
    """The process is over. `kind`: of what was tried or ran out; `what` it was, `line` of the file where known."""

    kind: str
    what: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}" + (f" (line {self.line})" if self.line else "")


class Faulty(Exception):
    """The file raised, or is none: `kind` and reason as of a StrategyFault."""

    def __init__(self, kind: str, reason: str, traceback: str = "") -> None:
        super().__init__(reason)
        self.kind, self.reason, self.traceback = kind, reason, traceback


class StrategyProcess:
    """One process for one file. After `stopped` is set nothing is asked any more."""

    def __init__(self, file: Path, text: str, limits: Limits, *, containment: str = "auto", hash_seed: int = 0) -> None:
        self.limits = limits
        self.stopped: Stopped | None = None
        self._scratch = tempfile.mkdtemp(prefix="podyard-")
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self._number = 0
        self._waited_s = 0.0
        to_them, from_us = os.pipe()
        to_us, from_them = os.pipe()
        packages = [str(Path(harness.__file__).parents[1] / name) for name in ("harness", "schedulers")]
        order = {
            "read": to_them,
            "write": from_them,
            "path": list(sys.path),
            "readable": readable(packages),
            "scratch": self._scratch,
            "containment": containment,
            "cpuSeconds": limits.cpu_s,
            "memoryBytes": limits.memory_mib * MIB,
            "outputBytes": limits.output_kib * 1024,
            "name": file.name,
        }
        threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {"PYTHONHASHSEED": str(hash_seed), "PYTHONDONTWRITEBYTECODE": "1", **dict.fromkeys(threads, "1")}
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", str(Path(__file__).with_name("host.py")), json.dumps(order)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._printed,
            stderr=self._printed,
            pass_fds=(to_them, from_them),
            cwd=self._scratch,
            start_new_session=True,
        )
        os.close(to_them)
        os.close(from_them)
        os.set_blocking(from_us, False)
        self._channel = Channel(to_us, from_us)
        self._starting = (file.name, text)
        self.containment = ""

    def begin(self) -> None:
        """Wait for it to be contained, and hand it the file. Raises UserError where this machine cannot contain it."""
        said = self._receive(time.monotonic() + 60.0)  # of ours alone, on a machine that may be busy
        if "contained" not in said:
            self.close()
            why = said.get("notContained", "")
            raise UserError("this machine cannot contain a stranger's file", found=str(why)[:500])
        self.containment = str(said["contained"])
        self.call({"do": "load", "text": self._starting[1]})

    def new(self) -> tuple[int, dict[str, Any]]:
        """(number of a fresh strategy, what it says of itself). Raises Stopped and Faulty."""
        self._number += 1
        return self._number, self.call({"do": "new", "number": self._number})

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """Raises Stopped and Faulty."""
        self.send(message)
        return self.receive()

    def send(self, message: dict[str, Any]) -> None:
        """Raises Stopped."""
        if self.stopped is not None:
            raise self.stopped
        began = time.monotonic()
        try:
            self._channel.send(message, began + self._seconds_left())
        except Late:
            raise self._end(self._late("it reads no answer")) from None
        except Ended:
            raise self._end(None) from None
        finally:
            self._waited_s += time.monotonic() - began

    def receive(self) -> dict[str, Any]:
        """The next message of the call that is under way. Raises Stopped and Faulty."""
        began = time.monotonic()
        try:
            said = self._receive(began + self._seconds_left())
        finally:
            self._waited_s += time.monotonic() - began
        if "fault" in said:
            raise Faulty(*(str(said.get(name, ""))[:4000] for name in ("fault", "reason", "traceback")))
        return said

    def _seconds_left(self) -> float:
        """For the call, of which each may be short while there is no end of them."""
        return min(self.limits.call_s, self.limits.wait_s - self._waited_s)

    def _late(self, what: str) -> Stopped:
        if self.limits.wait_s - self._waited_s < self.limits.call_s:
            return Stopped("time", f"all its calls together take more than {self.limits.wait_s:g} s")
        return Stopped("time", f"{what} within {self.limits.call_s:g} s")

    def _receive(self, due: float) -> dict[str, Any]:
        if self.stopped is not None:
            raise self.stopped
        try:
            said = self._channel.receive(due)
        except Late:
            raise self._end(self._late("no answer")) from None
        except Malformed as error:
            raise self._end(Stopped("answer", str(error)[:500])) from None
        except Ended:
            raise self._end(None) from None
        if "attempt" in said:
            line = said.get("line")
            told = Stopped(str(said["attempt"])[:50], str(said.get("what"))[:500], line if isinstance(line, int) else 0)
            raise self._end(told)
        return said

    def _end(self, why: Stopped | None) -> Stopped:
        if why is None:
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                why = Stopped("answer", "it closed its pipe")
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.stopped = why or self._cause(self._process.returncode)
        return self.stopped

    def _cause(self, code: int) -> Stopped:
        limits = self.limits
        known = {
            signal.SIGXCPU: ("time", f"more than {limits.cpu_s:g} s of CPU time"),
            signal.SIGKILL: ("memory or time", "killed by the kernel: memory, or CPU time"),
            signal.SIGXFSZ: ("output", f"printed more than {limits.output_kib} KiB"),
            signal.SIGSYS: ("system call", "a system call that no strategy needs"),
            signal.SIGSEGV: ("crash", "segmentation fault, as of a stack that overflows"),
        }
        if code < 0:
            number = signal.Signals(-code)
            return Stopped(*known.get(number, ("crash", f"ended by {number.name}")))
        return Stopped("exits", f"it ended its process with exit code {code}")

    def printed(self) -> str:
        """The last that it printed."""
        size = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(size - 2000, 0))
        return self._printed.read().decode(errors="replace")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for descriptor in (self._channel.read, self._channel.write):
            os.close(descriptor)
        self._printed.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> StrategyProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def readable(packages: list[str]) -> list[str]:
    """What an interpreter with numpy needs: libraries, the standard library, installed packages, and `packages`."""
    paths = sysconfig.get_paths()
    found = [
        *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *(f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix)),
        *(f"{prefix}/lib64" for prefix in (sys.prefix, sys.base_prefix)),
        f"{sys.prefix}/pyvenv.cfg",
        *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
        *(entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages", ".zip"))),
        *packages,
    ]
    out = [path for path in dict.fromkeys(found) if os.path.exists(path)]
    return [*out, *(real for path in out if (real := os.path.realpath(path)) not in out)]
