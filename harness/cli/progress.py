"""How far long work has come, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cluster.cluster import Cluster
    from harness.experiment.run import Progress


def bar(quiet: bool, runs: int) -> Silent:
    if quiet:
        return Silent()
    return Bar(runs) if sys.stderr.isatty() else Lines(runs)


def tell_actors(cluster: Cluster) -> None:
    """Which process holds which nodes: for those who want to kill one."""
    for pid, names in getattr(cluster.backend, "pids", {}).items():
        print(f"actor {pid}: {', '.join(names)}", file=sys.stderr, flush=True)


class Counter:
    """Runs that have ended: a bar on a terminal, else a line each with how many are done, failed and left, and when the
    last of them is to end: by the mean time between ends so far, of those that were played."""

    def __init__(self, runs: int, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs, self._done, self._quiet = runs, 0, quiet
        self._failed = self._played = 0
        self._clock, self._began = clock, clock()
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=runs)

    def __enter__(self) -> Counter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, what: str, *, failed: bool = False, played: bool = True) -> None:
        """`played`: now, and not before."""
        self._done += 1
        self._failed += failed
        self._played += played
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=what)
        elif not self._quiet:
            print(f"{self._done}/{self._runs} {what}{self._left()}", file=sys.stderr, flush=True)

    def _left(self) -> str:
        left = self._runs - self._done
        parts = [f"{self._failed} failed"] if self._failed else []
        if left:
            parts.append(f"{left} left")
        if left and self._played:
            parts.append(f"{_words((self._clock() - self._began) / self._played * left)} to go")
        return f" ({', '.join(parts)})" if parts else ""


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Silent:
    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, what: str) -> None:
        pass

    def __call__(self, what: str, at_ns: int, settled: int) -> None:
        pass


class Lines(Silent):
    """A line when a run has taken FIRST_S, and then every EVERY_S; nothing of short ones."""

    FIRST_S, EVERY_S = 3.0, 10.0

    def __init__(self, runs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs, self._begun, self._clock = runs, 0, clock
        self._what, self._next = "", 0.0

    def start(self, what: str) -> None:
        self._begun += 1
        self._what, self._next = what, self._clock() + self.FIRST_S

    def __call__(self, what: str, at_ns: int, settled: int) -> None:
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self.EVERY_S
        text = f"{self._begun}/{self._runs} {self._what}: {at_ns / 1e9:,.0f} s of virtual time, {settled} pods done"
        print(text, file=sys.stderr, flush=True)


class Bar(Silent):
    """Which run it is, and where its clock stands."""

    def __init__(self, runs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=runs)
        self._what = ""
        self._started = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, what: str) -> None:
        self._what = what
        self._progress.update(self._task, completed=self._started, description=what)
        self._started += 1

    def __call__(self, what: str, at_ns: int, settled: int) -> None:
        text = f"{self._what}: {at_ns / 1e9:,.0f} s of virtual time, {settled} pods done"
        self._progress.update(self._task, description=text)


if TYPE_CHECKING:
    _: Progress = Silent()
