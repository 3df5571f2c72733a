"""Podyard's own form: one Parquet file, the columns of `rows.SCHEMA`, and `extra.<resource>` for further requests.

Written by `podyard trace convert`. Times in ns since the run began, CPU in milli, memory in bytes; `duration_ns` -1
runs until deleted; the file's metadata carries the provenance as JSON under "podyard".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from harness.model.errors import UserError, did_you_mean
from workloads.lint import Lint
from workloads.readers.parquet import guarded
from workloads.readers.text import reading
from workloads.rows import DEFAULTS, MOST, SCHEMA, Rows
from workloads.table import FOREVER, Provenance

METADATA = "podyard"
VERSION = 1
PROVENANCE = Provenance(source="a file of `podyard trace convert`")

_ROWS = 1 << 18


class Header(msgspec.Struct, frozen=True):
    """What the file says of itself."""

    version: int
    format: str
    provenance: Provenance


def sniff(name: str, head: str) -> bool:
    return head.startswith("PAR1")


def pods(path: Path, lint: Lint) -> Iterator[pl.DataFrame]:
    read_header(path)
    schema = _schema(path)
    extra = sorted(column for column in schema if column.startswith("extra."))
    for column in ("name", "arrival_ns"):
        if column not in schema:
            raise UserError(
                f"column {column!r} is missing",
                file=path,
                found=", ".join(schema)[:200],
                expected=", ".join(SCHEMA),
                hint=did_you_mean(column, schema),
            )
    for column in (*SCHEMA, *extra):
        kind = SCHEMA.get(column, pl.Int64())
        if column in schema and schema[column] != kind:
            raise UserError(f"column {column!r} has another type", file=path, found=schema[column], expected=kind)
    columns = [column for column in SCHEMA if column in schema] + extra
    start = 0
    while True:
        frame = _guarded(path, lambda start=start: pl.scan_parquet(path).select(columns).slice(start, _ROWS).collect())
        if not frame.height:
            break
        lint.rows += frame.height
        yield _checked(frame.with_row_index("line", offset=start + 1), extra, lint)
        start += frame.height
    if not start:
        raise UserError("the file has no rows", file=path, expected="at least one pod")


def _checked(frame: pl.DataFrame, extra: list[str], lint: Lint) -> pl.DataFrame:
    rows = Rows(frame.with_columns(pl.col("line").cast(pl.Int64)), lint)
    for column in (name for name in (*SCHEMA, *extra) if name in frame.columns):
        values = rows[column]
        rows.flag("missing-value", values.is_null(), "a value", column=column)
        if values.dtype == pl.Int64:
            least = FOREVER if column == "duration_ns" else -MOST if column == "priority" else 0
            rows.flag("negative-value", values < least, f"at least {least}", column=column)
            rows.flag("out-of-range", values > MOST, f"at most {MOST}", column=column)
        default = DEFAULTS.get(column, "" if values.dtype == pl.String else 0)
        rows[column] = values.fill_null(pl.lit(default, values.dtype))
    return rows.pods()


def read_header(path: Path) -> Header | None:
    """None for a Parquet file of someone else. Raises UserError for one of a newer version."""
    metadata = _guarded(path, lambda: pl.read_parquet_metadata(path))
    text = metadata.get(METADATA)
    if text is None:
        return None
    try:
        head = msgspec.json.decode(text, type=Header)
    except msgspec.DecodeError as error:
        raise _damaged(path, f"its metadata: {error}") from None
    if head.version > VERSION:
        raise UserError(
            "written by a newer podyard",
            file=path,
            found=f"version {head.version}",
            expected=f"at most {VERSION}",
            hint="convert the trace again with this one",
        )
    return head


def header_text(format: str, provenance: Provenance) -> str:
    return msgspec.json.encode(Header(VERSION, format, provenance)).decode()


def _schema(path: Path) -> dict[str, Any]:
    return dict(_guarded(path, lambda: pl.read_parquet_schema(path)))


def _guarded(path: Path, read: Any) -> Any:
    with reading(path):
        pass
    return guarded(path, read, expected="a whole file of `podyard trace convert`", hint="convert the trace again")


def _damaged(path: Path, found: str) -> UserError:
    return UserError(
        "the Parquet file is damaged",
        file=path,
        found=(found.splitlines() or [""])[0][:200],
        expected="a whole file of `podyard trace convert`",
        hint="convert the trace again",
    )
