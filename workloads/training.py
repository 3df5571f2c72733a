"""Traces of training jobs: a CSV with a row a job, and JSON tables of speeds, as Shockwave's and Gavel's runs use them.

The CSV's columns: job_id, model, batch_size, scale_factor (GPUs of the gang), mode (static, accordion, gns),
total_steps, arrival_s; and sizes, where there are elastic jobs: what their gang may have, "1/2/4". The tables map
"model|batch size|gang" to steps a second of the whole gang, and to the epochs at which a job of mode gns doubles its
batch size.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from harness.model.core import Container, PodSpec, PodTemplateSpec, ResourceRequirements
from harness.model.errors import UserError, did_you_mean
from harness.model.gpu import WHOLE_GPU
from harness.model.loading import Document, load_json, read_text
from harness.model.meta import ObjectMeta
from harness.model.quantity import parse_quantity
from harness.model.training import (
    MODELS,
    MODES,
    ROUND_SCHEDULER,
    TRAINING,
    SpeedKey,
    Speeds,
    TrainingJob,
    sizes_problem,
    training_text,
)
from harness.model.whole_numbers import whole_number
from harness.model.workloads import Job, JobSpec

COLUMNS = ("job_id", "model", "batch_size", "scale_factor", "mode", "total_steps", "arrival_s")


def elastic(job: TrainingJob, sizes: Collection[int], speeds: Speeds) -> TrainingJob:
    """`job`, whose gang may have those of `sizes` too that the table of speeds knows for its model and batch size."""
    known = {size for size in sizes if (job.model, job.batch_size, size) in speeds.steps_per_s}
    return dataclasses.replace(job, sizes=tuple(sorted({job.gang, *job.sizes, *known})))


def read_training_jobs(path: Path) -> tuple[TrainingJob, ...]:
    """By arrival, then id. Raises UserError with file and line."""
    rows = csv.DictReader(io.StringIO(read_text(path, expected="a CSV of training jobs")), strict=True)
    try:
        names = rows.fieldnames or ()
    except csv.Error as error:
        raise UserError("this is no CSV", file=path, line=1, found=str(error)) from None
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise UserError(
            "columns of a trace of training jobs are missing",
            file=path,
            line=1,
            found=f"no {', '.join(missing)}",
            expected=",".join(COLUMNS),
        )
    jobs: dict[int, TrainingJob] = {}
    try:
        for row in rows:
            job = _job(row, path, rows.line_num)
            if job.id in jobs:
                raise UserError("a job is there twice", file=path, line=rows.line_num, found=f"job_id {job.id}")
            jobs[job.id] = job
    except csv.Error as error:
        raise UserError("this is no CSV", file=path, line=rows.line_num, found=str(error)) from None
    if not jobs:
        raise UserError("the trace has no jobs", file=path, found="a header alone", expected="a row a job")
    return tuple(sorted(jobs.values(), key=lambda job: (job.arrival_s, job.id)))


def read_speeds(speeds: Path | Document, doublings: Path | Document | None = None) -> Speeds:
    """The two tables, of files or read already. A speed of 0 stands for a size that cannot run. Raises UserError with
    file and line."""
    measured = {key: _speed(document, path, value) for key, document, path, value in _entries(speeds)}
    steps = {key: speed for key, speed in measured.items() if speed}
    epochs = {key: _epochs(document, path, value) for key, document, path, value in _entries(doublings)}
    return Speeds(steps, epochs)


def to_job(job: TrainingJob) -> Job:
    """As a Kubernetes object: a suspended Job of as many pods as the gang has GPUs, one GPU each. That of an elastic
    job is Indexed: others may not change their completions. Source: Elastic Indexed Jobs,
    https://kubernetes.io/docs/concepts/workloads/controllers/job/."""
    name = f"job-{job.id}"
    gpu = {WHOLE_GPU: parse_quantity("1")}
    container = Container(name="train", image="training", resources=ResourceRequirements(requests=gpu, limits=gpu))
    spec = PodSpec(containers=(container,), restart_policy="Never", scheduler_name=ROUND_SCHEDULER)
    spec = replace(spec, termination_grace_period_seconds=0)
    return Job(
        metadata=ObjectMeta(name=name, namespace="default", annotations={TRAINING: training_text(job)}),
        spec=JobSpec(
            parallelism=job.gang,
            completions=job.gang,
            completion_mode="Indexed" if job.sizes else "NonIndexed",
            backoff_limit=2**31 - 1,
            suspend=True,
            template=PodTemplateSpec(metadata=ObjectMeta(labels={"app": name}), spec=spec),
        ),
    )


def _job(row: Mapping[str, str], path: Path, line: int) -> TrainingJob:
    def number(column: str, least: float) -> float:
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            value = math.nan
        if not least <= value < 2**53:
            expected = f"a number, {least:g} or more"
            raise UserError(f"{column} is no number", file=path, line=line, found=repr(row[column]), expected=expected)
        return value

    def whole(column: str, least: int) -> int:
        value = number(column, least)
        if value != int(value):
            raise UserError(f"{column} is no whole number", file=path, line=line, found=repr(row[column]))
        return int(value)

    def word(column: str, known: tuple[str, ...]) -> str:
        if row[column] not in known:
            raise UserError(
                f"{column} is not known",
                file=path,
                line=line,
                found=repr(row[column]),
                expected=f"one of {', '.join(known)}",
                hint=did_you_mean(row[column] or "", known),
            )
        return row[column]

    def sizes(column: str, gang: int) -> tuple[int, ...]:
        text = row.get(column) or ""
        found = [whole_number(part) for part in text.split("/")] if text else []
        problem = "sizes are not numbers" if None in found else sizes_problem([each or 0 for each in found], gang)
        if problem:
            raise UserError(problem, file=path, line=line, found=repr(text), expected="sizes such as 1/2/4, or nothing")
        return tuple(each for each in found if each is not None)

    gang = whole("scale_factor", 1)
    return TrainingJob(
        id=whole("job_id", 0),
        model=word("model", tuple(MODELS)),
        batch_size=whole("batch_size", 1),
        gang=gang,
        mode=word("mode", MODES),
        steps=whole("total_steps", 1),
        arrival_s=number("arrival_s", 0),
        sizes=sizes("sizes", gang),
    )


def _entries(table: Path | Document | None) -> list[tuple[SpeedKey, Document, str, Any]]:
    if table is None:
        return []
    document = table if isinstance(table, Document) else load_json(read_text(table, expected="a JSON table"), table)
    if not isinstance(document.data, dict):
        raise document.error("", "a table is one JSON object", expected='{"model|batch size|gang": ..}')
    return [(_key(key, document), document, key, value) for key, value in document.data.items()]


def _key(text: str, document: Document) -> SpeedKey:
    model, _, sizes = text.partition("|")
    batch, _, gang = sizes.partition("|")
    batch_size, gang_size = whole_number(batch), whole_number(gang)
    if batch_size is None or gang_size is None:
        raise document.error(text, "a key of the table is wrong", found=repr(text), expected="model|batch size|gang")
    return model, batch_size, gang_size


def _speed(document: Document, path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise document.error(path, "a speed is wrong", found=repr(value), expected="steps a second, 0 or more")
    return float(value)


def _epochs(document: Document, path: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(epoch) is int and epoch >= 0 for epoch in value):
        raise document.error(path, "epochs are wrong", found=repr(value), expected="a list of whole numbers")
    return tuple(value)
