"""Many runs of a scenario: each strategy, seed and value of its variables, one after the other or side by side on Ray.

A run that fails does not take the others with it; what was recorded before can be taken as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeAlias

from harness.experiment.record import folder_of, read_record, remove_unfinished
from harness.experiment.result import Result, from_record, versions
from harness.experiment.run import run_once
from harness.experiment.scenario import LoadedScenario
from harness.experiment.source import source_of
from harness.model.errors import UserError


@dataclass(frozen=True, slots=True)
class Job:
    loaded: LoadedScenario
    scheduler: str
    seed: int

    @property
    def place(self) -> tuple[str, str, int, Mapping[str, str]]:
        """Whose record it writes, as `folder_of` asks."""
        return self.loaded.scenario.metadata.name, self.scheduler, self.seed, self.loaded.chosen

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.loaded.chosen.items()]
        return " ".join([*words, f"{self.scheduler}, seed {self.seed}"])


@dataclass(frozen=True, slots=True)
class Ended:
    """`result` None: it failed, and `error` says why. `seconds`: measured; 0 for what was recorded before."""

    job: Job
    result: Result | None
    seconds: float = 0.0
    error: str = ""


Told: TypeAlias = Callable[[Ended], None]


def jobs(
    read: Callable[[Mapping[str, str]], LoadedScenario],
    variables: Mapping[str, Sequence[str]],
    schedulers: Sequence[str],
    seeds: Sequence[int],
) -> list[Job]:
    """All combinations, the first variable slowest, strategies fastest. Raises UserError as `read` does."""
    out: list[Job] = []
    for values in product(*variables.values()):
        loaded = read(dict(zip(variables, values, strict=True)))
        out += [Job(loaded, name, seed) for seed in seeds for name in schedulers]
    return out


def recorded(job: Job, out: Path) -> Result | None:
    """The result of an earlier run of the very same: scenario, strategy, seed, versions and source; else None. What a
    writer that was killed has left there is taken away."""
    folder = folder_of(out, *job.place)
    remove_unfinished(folder)
    try:
        record = read_record(folder)
    except UserError:
        return None
    same = record["scenario"] == job.loaded.data and record.get("versions") == versions()
    same = same and record.get("source") == source_of(job.loaded, job.scheduler)
    return from_record(folder) if same else None


def sweep(
    todo: Sequence[Job], *, out: Path | None, parallel: int, journal: bool = True, address: str | None = None
) -> Iterator[Ended]:
    """Each as it ends. `parallel` runs at once, as Ray tasks with their nodes inline; `address`: a Ray that runs."""
    if parallel <= 1:
        for job in todo:
            yield _run(job, out, journal)
        return
    yield from _on_ray(todo, out, parallel, journal, address)


def _run(job: Job, out: Path | None, journal: bool) -> Ended:
    began = time.perf_counter()
    try:
        result = run_once(job.loaded, job.scheduler, job.seed, out=out, journal=journal)
    except UserError as error:
        return Ended(job, None, time.perf_counter() - began, str(error))
    return Ended(job, result, time.perf_counter() - began)


def _on_ray(
    todo: Sequence[Job], out: Path | None, parallel: int, journal: bool, address: str | None
) -> Iterator[Ended]:
    from harness.node.actors.session import ray_session

    where = None if out is None else out.absolute()
    work = [(_run, (job, where, journal)) for job in todo]
    session = ray_session(address, cpus=parallel)
    left = dict(enumerate(todo))
    try:
        for index, ended, lost in session.run_tasks(work, parallel):
            yield Ended(left.pop(index), None, 0.0, lost) if ended is None else ended
            left.pop(index, None)
    finally:
        if left:  # interrupted
            session.close()
            if where is not None:
                for job in left.values():
                    remove_unfinished(folder_of(where, *job.place))
