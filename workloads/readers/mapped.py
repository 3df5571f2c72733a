"""Any table of pods by a map of its columns: CSV, JSON lines, a JSON array or Parquet, recognised by content.

A map says from which column a field comes, and in which unit: {cpu: "req_cpu:cores", arrival: "submitted:iso"}. Times
count from the earliest arrival.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from harness.model.errors import UserError, did_you_mean
from harness.model.quantity import parse_quantity
from harness.model.whole_numbers import whole_number
from workloads.lint import Lint
from workloads.readers.records import MOST_COLUMNS, records
from workloads.rows import MOST, SECOND_NS, Rows
from workloads.table import DEVICE_MILLI, FOREVER, Provenance

PROVENANCE = Provenance(source="a table whose columns were mapped by hand", licence="the table's own")

_TIME = {"ns": 1, "us": 10**3, "ms": 10**6, "s": SECOND_NS, "min": 60 * SECOND_NS, "h": 3600 * SECOND_NS, "iso": 0}
_WORDS = {
    "nanoseconds": "ns", "microseconds": "us", "milliseconds": "ms", "sec": "s", "second": "s", "seconds": "s",
    "m": "min", "minute": "min", "minutes": "min", "hour": "h", "hours": "h", "core": "cores", "cpus": "cores",
    "millicores": "milli", "millicpu": "milli", "%": "percent", "B": "bytes", "byte": "bytes", "KB": "kB", "gb": "GB",
    "mb": "MB", "gib": "GiB", "mib": "MiB", "Gi": "GiB", "Mi": "MiB", "Ki": "KiB", "Ti": "TiB", "device": "devices",
}  # fmt: skip
"""Other words for units, as people write them."""

_CPU = {"milli": 1, "cores": 1000, "percent": 10, "quantity": 0}
_BYTES = {
    "bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
    "TiB": 1 << 40, "quantity": 0,
}  # fmt: skip
_SHARE = {"milli": 1, "devices": DEVICE_MILLI, "percent": DEVICE_MILLI // 100}
_COUNT = {"count": 1}

UNITS: Mapping[str, Mapping[str, int]] = {
    "arrival": _TIME, "duration": {name: unit for name, unit in _TIME.items() if unit}, "end": _TIME, "cpu": _CPU,
    "memory": _BYTES, "gpus": _COUNT, "gpuShare": _SHARE, "priority": _COUNT, "name": {}, "gpuModel": {}, "user": {},
    "queue": {}, "group": {}, "app": {}, "namespace": {},
}  # fmt: skip
"""Fields that a column may be mapped to, with the units it may be in. 0: a form of its own."""

DEFAULT_UNITS = {
    "arrival": "s", "duration": "s", "end": "s", "cpu": "cores", "memory": "bytes", "gpus": "count",
    "gpuShare": "devices", "priority": "count",
}  # fmt: skip

_TEXTS = {
    "name": "name", "gpuModel": "gpu_models", "user": "user", "queue": "queue", "group": "group", "app": "app",
    "namespace": "namespace",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """`unit`: what a number of the column is multiplied with, 0 for a form of its own. `given`: somebody said so."""

    column: str
    unit: int
    given: bool


def columns_of(given: Mapping[str, str]) -> dict[str, Column]:
    """A map as written: field to 'column' or 'column:unit'. Raises UserError."""
    if len(given) > MOST_COLUMNS:
        raise UserError("a map of too many fields", found=len(given), expected=f"at most {MOST_COLUMNS}")
    out = {}
    for field, text in given.items():
        units = UNITS.get(field)
        if units is None:
            hint = did_you_mean(field, UNITS)
            raise UserError(f"map: there is no field {field!r}", found=field, expected=", ".join(UNITS), hint=hint)
        column, colon, unit = str(text).rpartition(":")
        if not colon:
            column, unit = str(text), ""
        elif _WORDS.get(unit) in units:
            unit = _WORDS[unit]
        elif unit not in units:
            known = ", ".join(units)
            if not known:  # a name with a colon of its own
                column, unit = str(text), ""
            else:
                hint = did_you_mean(unit, units)
                raise UserError(f"map: {field} has no unit {unit!r}", found=str(text), expected=known, hint=hint)
        given_unit, unit = bool(unit), unit or DEFAULT_UNITS.get(field, "")
        if not column:
            raise UserError(f"map: {field} names no column", found=str(text), expected="COLUMN, or COLUMN:UNIT")
        out[field] = Column(column, units.get(unit, 1), given_unit)
    if "arrival" not in out:
        hint = "--map arrival=COLUMN:s, ms or iso"
        raise UserError("map: nothing says when pods arrive", found=", ".join(given), expected="arrival", hint=hint)
    if "end" in out and "duration" in out:
        raise UserError("map: the end and the duration are both given", expected="one of the two")
    if not {"cpu", "memory", "gpus"} & set(out):
        raise UserError("map: nothing says what pods ask for", expected="cpu, memory or gpus", hint="--map cpu=COLUMN")
    return out


def parse_map(items: Sequence[str]) -> dict[str, str]:
    """Of a command line: 'FIELD=COLUMN[:UNIT]', several by commas or repeated. Raises UserError."""
    out: dict[str, str] = {}
    for item in (part for text in items for part in text.split(",")):
        field, equals, column = item.partition("=")
        if not equals or not field.strip():
            raise UserError("--map says nothing", found=item, expected="FIELD=COLUMN[:UNIT], as cpu=req_cpu:cores")
        if field.strip() in out:
            raise UserError(f"--map: {field.strip()} is given twice", found=item, expected="each field once")
        out[field.strip()] = column.strip()
    return out


def sniff(name: str, head: str) -> bool:
    """Nothing is of this form unless somebody says what its columns are."""
    return False


def pods(path: Path, lint: Lint, *, map: dict[str, str]) -> Iterator[pl.DataFrame]:
    """`map`: field to 'column:unit'."""
    columns = columns_of(map)
    wanted = list(dict.fromkeys(item.column for item in columns.values()))
    zero = _earliest(path, columns["arrival"])
    seen = 0
    for frame in records(path, wanted, lint):
        seen += frame.height
        lint.rows = seen  # of every form alike: the reader of CSV counts its lines itself
        yield _pods(frame, columns, zero, lint)


def _earliest(path: Path, column: Column) -> int:
    """ns of the earliest arrival that is a time; the rest is told when it is read."""
    found: int | None = None
    quiet = Lint(str(path), "mapped", strict=False)
    for frame in records(path, [column.column], quiet):
        least = _time(Rows(frame, quiet), column, least=None).min()
        if isinstance(least, int):
            found = least if found is None else min(found, least)
    return found or 0


def _pods(frame: pl.DataFrame, columns: Mapping[str, Column], zero: int, lint: Lint) -> pl.DataFrame:
    rows = Rows(frame, lint)
    arrival = _time(rows, columns["arrival"], least=None)
    rows["arrival_ns"] = arrival - zero
    if "duration" in columns:
        duration = columns["duration"]
        rows["duration_ns"] = rows.integer(duration.column, unit=duration.unit, empty="null").fill_null(FOREVER)
    elif "end" in columns:
        end = _time(rows, columns["end"], least=None, empty=True)
        rows.flag("ends-before-start", end < arrival, "an end after the arrival", column=columns["end"].column)
        rows.flag("still-there-at-end", end.is_null(), "an instant", column=columns["end"].column)
        rows["duration_ns"] = (end - arrival).fill_null(FOREVER)
    for field, name in (("cpu", "cpu_milli"), ("memory", "memory_bytes")):
        if field in columns:
            rows[name] = _amount(rows, columns[field], thousandths=field == "cpu")
    if "gpus" in columns:
        rows["gpu_count"] = rows.integer(columns["gpus"].column, most=1024, empty="null").fill_null(0)
        milli = pl.Series([DEVICE_MILLI] * frame.height, dtype=pl.Int64)
        if "gpuShare" in columns:
            share = columns["gpuShare"]
            milli = rows.integer(share.column, unit=share.unit, most=MOST, empty="null").fill_null(DEVICE_MILLI)
        rows["gpu_milli"] = pl.select(pl.when(rows["gpu_count"] > 0).then(milli).otherwise(0)).to_series()
    if "priority" in columns:
        rows["priority"] = rows.integer(columns["priority"].column, least=-(10**9), most=10**9, empty="null").fill_null(
            0
        )
    for field, name in _TEXTS.items():
        if field in columns:
            default = "default" if field == "namespace" else ""
            text = rows.text(columns[field].column, empty="error" if field == "name" else "null")
            rows[name] = text.fill_null(default)
    if "name" not in columns:
        rows["name"] = "row-" + rows["line"].cast(pl.String)
    return rows.pods()


def _time(rows: Rows, column: Column, *, least: int | None, empty: bool = False) -> pl.Series:
    """ns, int64. Without a unit, what looks like a date is one."""
    first = rows[column.column].drop_nulls().head(1)
    is_date = not column.given and len(first) and _instant(first[0]) is not None and whole_number(first[0]) is None
    if column.unit and not is_date:
        return rows.integer(column.column, unit=column.unit, least=least, empty="null" if empty else "error")
    text = rows.text(column.column, empty="null" if empty else "error")
    made = pl.Series([None if item is None else _instant(item) for item in text.to_list()], dtype=pl.Int64)
    expected = "a time as 2024-01-31T12:00:00Z"
    rows.flag("not-a-number", text.is_not_null() & made.is_null(), expected, column=column.column)
    return made


def _instant(text: str) -> int | None:
    """ns since 1970 of RFC 3339, with a space for T, or without a zone (then UTC). None for no such time."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000


def _amount(rows: Rows, column: Column, *, thousandths: bool) -> pl.Series:
    if column.unit:
        return rows.integer(column.column, unit=column.unit, empty="null").fill_null(0)
    text = rows.text(column.column, empty="null")
    known = {item: _quantity(item, thousandths) for item in text.unique().to_list() if item is not None}
    made = pl.Series([0 if item is None else known[item] for item in text.to_list()], dtype=pl.Int64)
    rows.flag("not-a-number", made.is_null(), "a quantity as 500m or 2Gi", column=column.column)
    return made.fill_null(0)


def _quantity(text: str, thousandths: bool) -> int | None:
    try:
        milli = parse_quantity(text).milli
    except (ValueError, ArithmeticError):
        return None
    amount = milli if thousandths else -(-milli // 1000)
    return amount if 0 <= amount <= MOST else None
