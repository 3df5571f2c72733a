"""Many runs of a scenario: each strategy, seed and value of its variables, one after the other or side by side on Ray.

A run that fails does not take the others with it; what was recorded before can be taken as it is.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeAlias

from harness.experiment.record import folder_of, read_files, read_record, remove_unfinished, write_files
from harness.experiment.result import Result, from_record, versions
from harness.experiment.run import run_once
from harness.experiment.scenario import LoadedScenario
from harness.experiment.source import source_of
from harness.model.errors import UserError
from harness.model.whole_numbers import whole_number


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
    """Each as it ends. `parallel` runs at once, as Ray tasks with their nodes inline; `address`: a Ray that runs, whose
    machines need not share a disk: records come to `out` on this one."""
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
    mark = None if where is None else _mark(where)
    work = [(_run_as_task, (job, where, mark, journal)) for job in todo]
    session = ray_session(address, cpus=parallel)
    left = dict(enumerate(todo))
    try:
        for index, done, lost in session.run_tasks(work, parallel):
            job = left.pop(index)
            if where is not None:  # what a machine was writing when it died
                remove_unfinished(folder_of(where, *job.place))
            if done is None:
                yield Ended(job, None, 0.0, lost)
            else:
                ended, files = done
                yield _kept(ended, files, where)
    finally:
        if left:  # interrupted
            session.close()
            if where is not None:
                for job in left.values():
                    remove_unfinished(folder_of(where, *job.place))
        if mark is not None:
            mark.unlink(missing_ok=True)


def _run_as_task(
    job: Job, where: Path | None, mark: Path | None, journal: bool
) -> tuple[Ended, Mapping[str, bytes] | None]:
    """(how it ended, the files of its record where this machine does not share the disk that `mark` is on).

    A task is begun again when its machine dies under it. What has been recorded since the sweep began is not repeated.
    """
    if where is None or mark is None:
        return _run(job, None, journal), None
    if not mark.exists():
        with tempfile.TemporaryDirectory(prefix="podyard-sweep-") as beside:
            ended = _run(job, Path(beside), journal)
            return ended, None if ended.result is None else read_files(folder_of(Path(beside), *job.place))
    written = folder_of(where, *job.place) / "record.json"
    if written.exists() and written.stat().st_mtime_ns > mark.stat().st_mtime_ns:
        result = recorded(job, where)
        if result is not None:
            return Ended(job, result), None
    return _run(job, where, journal), None


def _kept(ended: Ended, files: Mapping[str, bytes] | None, where: Path | None) -> Ended:
    """With its record on the disk of the process that asked."""
    if files is not None and ended.result is not None and where is not None:
        folder = folder_of(where, *ended.job.place)
        write_files(folder, files)
        ended.result.folder = folder
    return ended


def _mark(out: Path) -> Path:
    """An empty file by which a worker knows whether it has the disk that `out` is on, and since when this sweep runs.
    Those of processes of this machine that were killed are taken away. Raises UserError."""
    host = socket.gethostname()
    mark = out / f".sweep-{host}-{os.getpid()}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for other in out.glob(f".sweep-{host}-*"):
            if not _lives(whole_number(other.name.rpartition("-")[2]) or 0):
                other.unlink(missing_ok=True)
        mark.touch()
    except OSError as error:
        raise UserError(f"cannot write results: {error.strerror}", file=out) from None
    return mark


def _lives(process: int) -> bool:
    if process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
