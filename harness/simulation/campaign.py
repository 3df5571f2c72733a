"""Many seeds, each in its own process: what was found, and the smallest scenario that shows it."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from harness.model.errors import RunFailed
from harness.simulation.shrink import ATTEMPTS, shrink
from harness.simulation.swarm import random_scenario
from harness.simulation.trial import Finding, Outcome, play

AGAIN = 10
"""One seed in so many is run twice: the same inputs give the same bits."""

LONGEST_S = 120
"""Of CPU time, of one scenario; a cluster of this size takes some tenths of a second. More is a hang."""


class _Hangs(BaseException):
    """Not an Exception, so that no code within the run catches it as a failure of its own."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """`smallest`: a scenario that shows what the first finding shows, where there is one and it was shrunk."""

    seed: int
    outcome: Outcome
    smallest: dict[str, Any] | None = None
    tried: int = 0


@dataclass(slots=True)
class CampaignSummary:
    seeds: int = 0
    simulated_s: float = 0.0
    writes: int = 0
    failed: list[SeedResult] = field(default_factory=list)

    def add(self, item: SeedResult) -> None:
        self.seeds += 1
        self.simulated_s += item.outcome.simulated_s
        self.writes += item.outcome.writes
        if item.outcome.findings:
            self.failed.append(item)

    def to_data(self) -> dict[str, Any]:
        return {
            "seeds": self.seeds,
            "simulatedHours": round(self.simulated_s / 3600, 1),
            "writes": self.writes,
            "failed": [
                {"seed": item.seed, "findings": [str(found) for found in item.outcome.findings]} for item in self.failed
            ],
        }


def simulate(seed: int, *, shrunk: bool = True, attempts: int = ATTEMPTS) -> SeedResult:
    """Raises nothing: what goes wrong is a finding."""
    data = random_scenario(seed)
    outcome = watched(data)
    if seed % AGAIN == 0 and not outcome.findings and watched(data).digest != outcome.digest:
        return SeedResult(seed, replace(outcome, findings=(Finding("digest", "another one when it is played again"),)))
    if not outcome.findings or not shrunk:
        return SeedResult(seed, outcome)
    about = outcome.findings[0].about
    smallest, tried = shrink(data, lambda candidate: shows(candidate, about), attempts)
    return SeedResult(seed, outcome, smallest, tried)


def shows(data: dict[str, Any], about: str) -> bool:
    return any(found.about == about for found in watched(data).findings)


def campaign(seeds: Iterable[int], *, parallel: int = 1, shrunk: bool = True) -> Generator[SeedResult, None, None]:
    """Each as it is done, in the order of the seeds where `parallel` is 1."""
    if parallel <= 1:
        for seed in seeds:
            yield simulate(seed, shrunk=shrunk)
        return
    rest = iter(seeds)
    pool = ProcessPoolExecutor(parallel, mp_context=get_context("spawn"), initializer=_end_with_parent)
    running: dict[Future[SeedResult], int] = {}

    def start() -> None:
        seed = next(rest, None)
        if seed is not None:
            running[pool.submit(simulate, seed, shrunk=shrunk)] = seed

    over = False
    try:
        for _ in range(parallel * 2):
            start()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                start()
                yield future.result()
        over = True
    except BrokenProcessPool:
        found = "one of its processes was killed, or had no memory left"
        raise RunFailed("the simulation ended early", found=found, hint="--parallel 1 shows at which seed") from None
    finally:
        if not over:  # interrupted: do not wait for running seeds
            for process in list(pool._processes.values()):
                process.kill()
        # It waits for the pool's own thread, which ends at once where no process is left: one that still closes its
        # pipe while Python exits gives "Bad file descriptor".
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """In a worker: leaves Ctrl-C to the parent, and ends when the parent does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def watched(data: dict[str, Any]) -> Outcome:
    """Runs a scenario; taking too long is a finding, too."""
    try:
        with _alarm(LONGEST_S):
            return play(data)
    except _Hangs as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/harness/" in frame.filename]
        where = f"{frames[-1].filename.rpartition('/harness/')[2]}:{frames[-1].name}" if frames else "nowhere"
        return Outcome((Finding("hang", f"still going after {LONGEST_S} s of CPU time, in {where}"),))


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise _Hangs

    # By CPU time: a loaded machine makes no finding.
    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def write_scenario(folder: Path, item: SeedResult) -> Path:
    """The smallest scenario of a seed that failed, with what it shows, as a file that `podyard run` takes."""
    assert item.smallest is not None
    first = item.outcome.findings[0]
    story = "".join(f"# {line}\n" for line in str(first).splitlines())
    head = f"# Seed {item.seed} of podyard simulate, shrunk in {item.tried} steps. It showed:\n{story}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed-{item.seed}.yaml"
    path.write_text(head + yaml.safe_dump(item.smallest, sort_keys=False, width=100))
    return path
