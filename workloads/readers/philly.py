"""Microsoft's Philly trace: deep learning jobs with their attempts, in one JSON array (cluster_job_log)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from harness.model.errors import UserError
from harness.model.whole_numbers import whole_number
from workloads.lint import Lint
from workloads.readers.text import empty, reading, table
from workloads.rows import GIB, SECOND_NS, Rows
from workloads.table import FOREVER, Provenance

PROVENANCE = Provenance(
    source="Philly traces: 117,325 deep learning jobs, August to December 2017",
    licence="none stated by the publisher; provided as is, cite the paper",
    url="https://github.com/msr-fiddle/philly-traces",
    citation="Jeon et al., Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training Workloads, "
    "USENIX ATC 2019",
    changes=(
        "a job becomes a gang of pods, one a server of its last attempt, with as many GPUs as it held there",
        "its duration is the time that all its attempts ran; virtual clusters become namespaces, users owners",
    ),
)

_BATCH = 20_000
_SCHEMA = {
    "line": pl.Int64,
    "name": pl.String,
    "group": pl.String,
    "app": pl.String,
    "namespace": pl.String,
    "submitted": pl.Int64,
    "duration_ns": pl.Int64,
    "gpu_count": pl.Int64,
}


class _Detail(msgspec.Struct):
    ip: str | None = None
    gpus: list[str] = []


class _Attempt(msgspec.Struct):
    start_time: str | None = None
    end_time: str | None = None
    detail: list[_Detail] = []


class _Job(msgspec.Struct):
    jobid: str
    submitted_time: str | None = None
    attempts: list[_Attempt] = []
    status: str | None = None
    vc: str | None = None
    user: str | None = None


def sniff(name: str, head: str) -> bool:
    return head.lstrip().startswith("[") and '"attempts"' in head


def pods(path: Path, lint: Lint, *, cpu_milli_per_gpu: int = 0, memory_gib_per_gpu: int = 0) -> Iterator[pl.DataFrame]:
    """CPU and memory are not in the trace: so much a GPU as is asked for here, by default none. The file is held
    whole (some 100 MB).
    """
    lint.note("not-recorded", "no CPU, no memory", f"{cpu_milli_per_gpu} milli-CPU, {memory_gib_per_gpu} GiB a GPU")
    jobs = list(_jobs(path, lint))
    if not jobs:
        return
    zero = min(job.submitted for job in jobs)
    for start in range(0, len(jobs), _BATCH):
        frame = pl.DataFrame(
            [row for job in jobs[start : start + _BATCH] for row in job.rows()], schema=_SCHEMA, orient="row"
        )
        rows = Rows(frame, lint)
        rows["arrival_ns"] = pl.col("submitted") - zero
        rows["user"], rows["queue"] = rows["app"], rows["namespace"]
        rows["gpu_milli"] = pl.lit(1000, pl.Int64)
        rows["cpu_milli"] = pl.col("gpu_count") * cpu_milli_per_gpu
        rows["memory_bytes"] = pl.col("gpu_count") * memory_gib_per_gpu * GIB
        rows.flag("zero-duration", rows["duration_ns"] == 0, "a run time", column="duration_ns")
        yield rows.pods()


@dataclass(frozen=True, slots=True)
class _Gang:
    line: int
    name: str
    user: str
    vc: str
    submitted: int
    duration_ns: int
    gpus: tuple[int, ...]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        group = self.name if len(self.gpus) > 1 else ""
        for at, count in enumerate(self.gpus):
            yield self.line, f"{self.name}-{at}", group, self.user, self.vc, self.submitted, self.duration_ns, count


def _jobs(path: Path, lint: Lint) -> Iterator[_Gang]:
    with reading(path) as file:
        data = file.read()
    if not data.strip():
        raise empty(path, "a JSON array of jobs")
    try:
        raws = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        byte = str(error).rpartition("(byte ")[2].rstrip(")")
        # Without a byte the data ended too early: at its last line.
        broken = data.count(b"\n", 0, number if (number := whole_number(byte)) is not None else len(data.rstrip())) + 1
        raise UserError(
            "this is no whole JSON array",
            file=path,
            line=broken,
            found=str(error),
            expected="[{..}, {..}], one object a job",
            hint="get the file again when it was cut off; there is no telling which jobs are missing",
        ) from None
    decoder = msgspec.json.Decoder(_Job)
    position, line = 0, 1
    seen: set[str] = set()
    for raw in raws:
        text = bytes(raw)
        at = data.find(text, position)
        line += data.count(b"\n", position, at)
        position = at
        lint.rows += 1
        try:
            job = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            lint.note("not-readable", str(error), "a job", line=line)
            continue
        if job.jobid in seen:
            lint.note("duplicate-name", job.jobid, "each job once", line=line, column="jobid")
            continue
        seen.add(job.jobid)
        gang = _gang(job, line, lint)
        if gang is not None:
            yield gang


def _gang(job: _Job, line: int, lint: Lint) -> _Gang | None:
    submitted = _instant(job.submitted_time)
    if submitted is None:
        lint.note("not-a-number", job.submitted_time, "YYYY-MM-DD HH:MM:SS", line=line, column="submitted_time")
        return None
    if not job.attempts:
        lint.note("never-ran", "no attempt", "an attempt, which tells the GPUs", line=line, column="attempts")
        return None
    gpus = tuple(len(detail.gpus) for detail in job.attempts[-1].detail if detail.gpus)
    if not gpus:
        lint.note("missing-value", "no GPUs in the last attempt", "at least one", line=line, column="attempts")
        return None
    duration = _ran(job.attempts, submitted, line, lint)
    return None if duration is None else _Gang(line, job.jobid, job.user or "", job.vc or "", submitted, duration, gpus)


def _ran(attempts: list[_Attempt], submitted: int, line: int, lint: Lint) -> int | None:
    """Time that all attempts ran; FOREVER where the last one was still running; None where times contradict."""
    total = 0
    for number, attempt in enumerate(attempts):
        start, end = _instant(attempt.start_time), _instant(attempt.end_time)
        if start is not None and end is not None:
            if end < start:
                found = f"{attempt.start_time} to {attempt.end_time}"
                lint.note("ends-before-start", found, "an end after its start", line=line, column="attempts")
                return None
            total += end - start
        elif end is None and number == len(attempts) - 1 and start is not None:
            lint.note("still-there-at-end", attempt.end_time, "an end time", line=line, column="attempts")
            return FOREVER
        else:
            found = f"attempt {number}: {attempt.start_time} to {attempt.end_time}"
            lint.note("duration-missing", found, "a start and an end; counted as 0 s", line=line, column="attempts")
    return total


_EPOCH = datetime(2017, 1, 1)


def _instant(text: str | None) -> int | None:
    """ns since 2017 by the cluster's own clock: the trace gives local times without a zone. None for no such time."""
    if text is None:
        return None
    try:
        at = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    if not _EPOCH.year <= at.year < _EPOCH.year + 100:
        return None
    return (at - _EPOCH) // timedelta(seconds=1) * SECOND_NS


def nodes(path: Path, lint: Lint, *, cpu_milli: int = 1_000_000, memory_gib: int = 4096) -> Iterator[pl.DataFrame]:
    """cluster_machine_list: GPUs and the memory of one GPU, which names the model. CPU and memory are not in the trace:
    ample by default, so that GPUs decide.
    """
    lint.note("not-recorded", "no CPU, no memory", f"{cpu_milli} milli-CPU, {memory_gib} GiB a machine")
    for frame in table(path, ("machineId", "number of GPUs"), ("single GPU mem",), lint):
        rows = Rows(frame, lint)
        rows["name"] = rows.text("machineId")
        rows["gpu_count"] = rows.integer("number of GPUs", most=1024)
        rows["gpu_model"] = rows.text("single GPU mem", empty="null").fill_null("")
        rows["cpu_milli"] = pl.lit(cpu_milli, pl.Int64)
        rows["memory_bytes"] = pl.lit(memory_gib * GIB, pl.Int64)
        yield rows.good()
