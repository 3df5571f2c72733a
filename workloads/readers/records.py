"""Rows of a table of any form (CSV, JSON lines, a JSON array, Parquet) as columns of text, block by block.

Memory is bounded for all but a JSON array, which is read whole, up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from harness.model.errors import UserError, did_you_mean
from harness.model.whole_numbers import whole_number
from workloads.lint import Lint
from workloads.readers.parquet import guarded
from workloads.readers.text import empty, head, lines, reading, table

MOST_COLUMNS = 100
MOST_ARRAY_BYTES = 256 << 20
"""Of a JSON array; JSON lines may have any length."""

_ROWS = 1 << 17
_SEPARATORS = (",", ";", "\t", "|")


def records(path: Path, columns: Sequence[str], lint: Lint) -> Iterator[pl.DataFrame]:
    """`line` (Int64; of Parquet the number of the row) and `columns` as text, null where there is nothing. In JSON a
    column may be a path: resources.cpu. Raises UserError for a file of none of the forms, and for a missing column."""
    if path.is_dir():
        raise UserError("this is a folder", file=path, expected="a table: CSV, JSON or Parquet")
    first = head(path, 1 << 16)
    text = first.decode(errors="replace").lstrip("\ufeff \t\r\n")
    if first[:4] == b"PAR1":
        return _parquet(path, columns)
    if not text:
        raise empty(path, "a table: CSV, JSON or Parquet")
    if b"\0" in first[:4096]:
        found, expected = "bytes that are no text", "CSV, JSON lines, a JSON array, or Parquet"
        raise UserError("this is no table", file=path, line=1, found=found, expected=expected)
    if text[0] == "{":
        return _json_lines(path, columns, lint)
    if text[0] == "[":
        return _json_array(path, columns, lint)
    top = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=lambda mark: (top.count(mark), -_SEPARATORS.index(mark)))
    return table(path, columns, (), lint, separator=separator)


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json_lines(path: Path, columns: Sequence[str], lint: Lint) -> Iterator[pl.DataFrame]:
    checked = False
    for block in lines(path, lint):
        numbers, rows = [], []
        for number, text in zip(block.numbers, block.texts, strict=True):
            row = _decoded(text.encode(), number, lint)
            if row is None:
                continue
            if not checked:
                _check_columns(path, number, columns, row)
                checked = True
            numbers.append(number)
            rows.append(row)
        if rows:
            yield _frame(numbers, rows, columns)
    if not checked:
        raise UserError("the file has no rows", file=path, line=1, found="no JSON object", expected="one a line")


def _json_array(path: Path, columns: Sequence[str], lint: Lint) -> Iterator[pl.DataFrame]:
    with reading(path) as file:
        data = file.read(MOST_ARRAY_BYTES + 1)
    if len(data) > MOST_ARRAY_BYTES:
        most = f"at most {MOST_ARRAY_BYTES >> 20} MiB"
        raise UserError("the JSON array is too large", file=path, expected=most, hint="jq -c '.[]' makes JSON lines")
    try:
        parts = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found, expected = str(error)[:200], "[{..}, {..}], one object a pod"
        line = data.count(b"\n") + 1 if "truncated" in found else _line_at(data, found)
        hint = "was the file cut off?" if "truncated" in found else None
        raise UserError("malformed JSON", file=path, line=line, found=found, expected=expected, hint=hint) from None
    at, line = 0, 1
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    checked = False
    for part in parts:
        raw = bytes(part)
        begin = data.index(raw, at)
        line += data.count(b"\n", at, begin)
        at = begin
        row = _decoded(raw, line, lint)
        if row is not None:
            if not checked:
                _check_columns(path, line, columns, row)
                checked = True
            numbers.append(line)
            rows.append(row)
        if len(rows) >= _ROWS:
            yield _frame(numbers, rows, columns)
            numbers, rows = [], []
    if rows:
        yield _frame(numbers, rows, columns)
    if not checked:
        raise UserError("the file has no rows", file=path, line=1, found="no JSON object", expected="one a pod")


def _line_at(data: bytes, message: str) -> int | None:
    byte = whole_number(message.rpartition("(byte ")[2].rstrip(")"))
    return None if byte is None else data.count(b"\n", 0, byte) + 1


def _decoded(raw: bytes, line: int, lint: Lint) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        lint.note("not-readable", f"{error}: {raw[:60].decode(errors='replace')}", "a JSON object", line=line)
        return None
    if isinstance(row, dict):
        return row
    lint.note("not-readable", raw[:60].decode(errors="replace"), "a JSON object", line=line)
    return None


def _check_columns(path: Path, line: int, columns: Sequence[str], row: dict[str, Any]) -> None:
    names = list(_paths(row, "", 3))
    for name in columns:
        if name not in names:
            raise _missing(path, line, name, names)


def _paths(row: dict[str, Any], before: str, depth: int) -> Iterator[str]:
    for name, value in row.items():
        yield before + name
        if isinstance(value, dict) and depth:
            yield from _paths(value, f"{before}{name}.", depth - 1)


def _missing(path: Path, line: int | None, name: str, names: Sequence[str]) -> UserError:
    return UserError(
        f"column {name!r} is missing",
        file=path,
        line=line,
        found=", ".join(names)[:200] or "no columns",
        expected=name,
        hint=did_you_mean(name, names),
    )


def _frame(numbers: list[int], rows: list[dict[str, Any]], columns: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "line": pl.Series(numbers, dtype=pl.Int64),
            **{name: pl.Series([_text(_at(row, name)) for row in rows], dtype=pl.String) for name in columns},
        }
    )


def _at(row: dict[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return str(value)


# -- Parquet -----------------------------------------------------------------------------------------------------------


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    with reading(path):
        pass
    schema = dict(guarded(path, lambda: pl.read_parquet_schema(path)))
    for name in columns:
        if name not in schema:
            raise _missing(path, None, name, list(schema))
        if schema[name].is_nested():
            expected = "numbers, texts or times"
            raise UserError(f"column {name!r} is a nested one", file=path, found=schema[name], expected=expected)
    asked = [_as_text(name, schema[name]) for name in columns]
    start = 0
    while True:
        frame = guarded(path, partial(_slice, path, asked, start))
        if not frame.height:
            break
        yield frame.with_row_index("line", offset=start + 1).with_columns(pl.col("line").cast(pl.Int64))
        start += frame.height
    if not start:
        raise UserError("the file has no rows", file=path, expected="at least one pod")


def _slice(path: Path, asked: Sequence[pl.Expr], start: int) -> pl.DataFrame:
    return pl.scan_parquet(path).slice(start, _ROWS).select(asked).collect()


def _as_text(name: str, kind: Any) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.Datetime or kind == pl.Date:
        return column.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").alias(name)
    return column.cast(pl.String, strict=False)
