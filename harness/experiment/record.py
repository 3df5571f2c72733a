"""The record of a run: a folder that says what ran, what came out, and what it takes to run again.

`record.json`, `journal.parquet`, `pods.parquet`, `nodes.parquet`, `jobs.parquet`, `autoscalers.parquet`,
`measures.parquet`, `metrics.prom`, and what the scheduler saw: `scheduling.parquet`, `specs.parquet`. Written beside
and moved into place, so that a folder is whole or not there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.experiment.scheduler_notes import Notes
from harness.measure.catalogue import number_paths
from harness.measure.journal import JournalEntry
from harness.measure.registry import catalogue
from harness.model.errors import UserError
from harness.model.loading import load_json, read_text
from harness.model.strict_json import strict_json

FORMAT = "podyard.dev/record/v1"
FILES = (
    "record.json",
    "journal.parquet",
    "pods.parquet",
    "nodes.parquet",
    "jobs.parquet",
    "autoscalers.parquet",
    "measures.parquet",
    "metrics.prom",
    "scheduling.parquet",
    "specs.parquet",
)


def folder_of(root: Path, scenario: str, scheduler: str, seed: int, chosen: Mapping[str, str] | None = None) -> Path:
    """results/<scenario>/[<variable>=<value>,../]<strategy>/<seed>; what a path cannot hold becomes '_'."""
    of_variables = ",".join(f"{name}={value}" for name, value in (chosen or {}).items())
    return root.joinpath(scenario, *filter(None, (_safe(of_variables),)), _safe(scheduler), str(seed))


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.=," else "_" for c in text)


def write_record(
    folder: Path,
    record: dict[str, Any],
    journal: Iterator[JournalEntry] | None,
    tables: Mapping[str, dict[str, Any]],
    metrics: str = "",
    notes: Notes | None = None,
) -> None:
    """`tables`: columns by the name of their file; without any it is left out. `journal` and `notes` None: left out.
    `metrics`: of the scheduler, in Prometheus' text format.

    Raises UserError when the folder cannot be written; then nothing is left behind.
    """
    import polars as pl

    from workloads.readers.parquet import write_parquet

    with _moved_into_place(folder) as beside:
        (beside / "record.json").write_text(strict_json({"format": FORMAT, **record}, indent=2) + "\n")
        if journal is not None:
            write_parquet(_journal_frame(journal), beside / "journal.parquet")
        for name, columns in tables.items():
            if columns:
                write_parquet(pl.DataFrame(columns), beside / f"{name}.parquet")
        if notes is not None:
            write_parquet(notes.scheduling(), beside / "scheduling.parquet")
            write_parquet(notes.specs(), beside / "specs.parquet")
        write_parquet(pl.DataFrame(measure_rows(record), schema=measure_schema()), beside / "measures.parquet")
        if metrics:
            (beside / "metrics.prom").write_text(metrics)


def read_files(folder: Path) -> dict[str, bytes]:
    """A whole record as bytes by file name: for another machine's disk."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """What `read_files` gave. Raises UserError when the folder cannot be written."""
    with _moved_into_place(folder) as beside:
        for name, content in files.items():
            (beside / name).write_bytes(content)


def check_writable(out: Path) -> None:
    """Before hours of running: whether results can be written there. Raises UserError."""
    try:
        there = next(each for each in (out, *out.parents) if each.exists())  # what is refused leaves no folder
        Path(tempfile.mkdtemp(prefix=".try-", dir=there)).rmdir()
    except OSError as error:
        raise UserError(f"cannot write results: {error.strerror}", file=out, hint="--out DIR") from None


@contextmanager
def _moved_into_place(folder: Path) -> Iterator[Path]:
    """A folder to write in, which becomes `folder` at the end. Raises UserError; then nothing is left behind."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write results: {error.strerror}", file=folder) from None
    try:
        yield beside
        os.chmod(beside, 0o755)
        if folder.exists():
            shutil.rmtree(folder)
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write results: {error.strerror}", file=folder) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """What is left of a record whose writer was killed."""
    for beside in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(beside, ignore_errors=True)


MEASURES = {
    "path": "String",
    "name": "String",
    "unit": "String",
    "better": "String",
    "value": "Float64",
    "at_least": "Boolean",
}


def measure_schema() -> dict[str, Any]:
    import polars as pl

    return {name: getattr(pl, kind) for name, kind in MEASURES.items()}


def measure_rows(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every number of a run in its measure's unit, with its name; those of nobody's catalogue without one."""
    scenario = record["scenario"]
    asked = scenario.get("spec", {}).get("measures", []) if isinstance(scenario, dict) else []
    known = catalogue(asked)
    columns: dict[str, list[Any]] = {name: [] for name in MEASURES}
    for path, number, at_least in number_paths(record["metrics"]):
        measure = known.of(path)
        row = (
            path,
            measure.name.strip() if measure else "",
            measure.unit if measure else "",
            measure.better if measure else "neither",
            float(number) * (measure.scale if measure else 1.0),
            at_least,
        )
        for name, cell in zip(columns, row, strict=True):
            columns[name].append(cell)
    return columns


def put_metrics(folder: Path, metrics: Mapping[str, Any], missed: Sequence[str]) -> None:
    """Other measures, and the gates that they miss, into a record that is there. Raises UserError."""
    import polars as pl

    from workloads.readers.parquet import write_parquet

    data = read_record(folder)
    data["metrics"], data["gatesMissed"] = metrics, list(missed)
    path = folder / "record.json"
    beside = path.with_name(f".{path.name}")
    try:
        beside.write_text(strict_json(data, indent=2) + "\n")
        beside.replace(path)
        write_parquet(pl.DataFrame(measure_rows(data), schema=measure_schema()), folder / "measures.parquet")
    except OSError as error:
        raise UserError(f"cannot write results: {error.strerror}", file=path) from None


def _journal_frame(journal: Iterator[JournalEntry]) -> Any:
    import msgspec
    import polars as pl

    columns: dict[str, list[Any]] = {name: [] for name in JOURNAL}
    encode = msgspec.json.Encoder().encode
    for entry in journal:
        columns["at_ns"].append(entry.at_ns)
        columns["revision"].append(entry.revision)
        columns["kind"].append(entry.kind)
        columns["change"].append(entry.change)
        columns["key"].append(entry.key)
        columns["data"].append(encode(entry.data).decode())
    schema = {
        "at_ns": pl.Int64,
        "revision": pl.Int64,
        "kind": pl.Categorical,
        "change": pl.Categorical,
        "key": pl.String,
        "data": pl.String,
    }
    return pl.DataFrame(columns, schema=schema)


def read_record(folder: Path) -> dict[str, Any]:
    """Raises UserError for what is no record, or a damaged one."""
    path = folder / "record.json" if folder.is_dir() else folder
    expected = "a folder that `podyard run` wrote"
    if path.is_file() and path.suffix != ".json":
        raise UserError(
            "this is no record", file=path, found=f"a file {path.suffix or 'without suffix'}", expected=expected
        )
    data = load_json(read_text(path, expected=expected, what="record"), path, expected=expected).data
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise UserError("not a record", file=path, found=found, expected=FORMAT)
    for name, kind in FIELDS.items():
        if name not in data:
            raise UserError(f"the record is damaged: {name} is missing", file=path)
        if not isinstance(data[name], kind) or isinstance(data[name], bool):
            found = repr(data[name])[:80]
            raise UserError(f"the record is damaged: {name}", file=path, found=found, expected=kind.__name__)
    return data


JOURNAL = ("at_ns", "revision", "kind", "change", "key", "data")
"""Columns of journal.parquet."""

FIELDS: Mapping[str, type] = {"scenario": dict, "scheduler": str, "seed": int, "digest": str}
"""What every record has."""


@contextmanager
def whole_record(folder: Path) -> Iterator[None]:
    """Around whatever reads a record's insides: what is not as a run has written it is a UserError."""
    import polars as pl

    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, pl.exceptions.PolarsError) as error:
        found = f"{type(error).__name__}: {str(error)[:200]}"
        hint = "run the scenario again"
        raise UserError("the record is damaged, or of another version", file=folder, found=found, hint=hint) from error


def read_journal(folder: Path) -> Any:
    """A polars frame: at_ns, revision, kind, change, key, data (JSON). Raises UserError."""
    from workloads.readers.parquet import read_parquet

    path = (folder if folder.is_dir() else folder.parent) / "journal.parquet"
    frame = read_parquet(path, expected="the journal of a record", hint="run the scenario again")
    if frame.columns != list(JOURNAL):
        found, expected = ", ".join(frame.columns), ", ".join(JOURNAL)
        raise UserError("the journal is damaged", file=path, found=found, expected=expected)
    return frame
