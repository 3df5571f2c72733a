"""Request rates from a file: rows of a time stamp and a rate, as CSV or Parquet, become a load curve.

Times are RFC 3339 or seconds; the first row is the curve's beginning. A rate holds until the next row, as the averages
of a monitoring system do, or is joined to it by a straight line. What cannot be right (a gap, a negative rate, times
that do not ascend, text where a number belongs) is an error with file and line.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import polars as pl

from harness.model.errors import UserError, did_you_mean
from workloads.generators.load import Points
from workloads.readers.parquet import read_parquet
from workloads.readers.text import empty, reading

TIME_COLUMNS = ("time", "timestamp", "datetime", "date", "ts", "t", "seconds")
RATE_COLUMNS = ("rps", "rate", "qps", "requests", "count", "value")
"""Looked for, in this order, where the scenario names no column."""

MOST_ROWS = 2_000_000
MOST_RATE = 1e9  # requests per second
SECOND_NS = 10**9
_UNITS = {"ms": 10**3, "us": 10**6, "ns": 10**9}
"""Of Parquet's time stamps, in a second."""


@dataclass(frozen=True, slots=True)
class RateTrace:
    """How a file is read. `time`, `rate`: columns; None: the first of those that are looked for. `per_ns`: the rate
    column counts requests in so long. `scale`: what the rates are multiplied by. `speedup`: how much faster time runs.
    `gap_ns`: two rows further apart than this are an error; None: twice the median distance."""

    time: str | None = None
    rate: str | None = None
    per_ns: int = SECOND_NS
    scale: float = 1.0
    speedup: float = 1.0
    gap_ns: int | None = None
    between: Literal["hold", "line"] = "hold"


@dataclass(frozen=True, slots=True)
class _Row:
    place: int  # line of a CSV file, row of a Parquet file
    time: Any
    rate: Any


class _Source:
    """A file's rows, and errors that name one of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path) as file:
            self.packed = file.read(4) == b"PAR1"

    def error(self, row: _Row, what: str, **about: Any) -> UserError:
        if self.packed:
            return UserError(f"row {row.place}: {what}", file=self.path, **about)
        return UserError(what, file=self.path, line=row.place, **about)

    def rows(self, how: RateTrace) -> Iterator[_Row]:
        return self._of_parquet(how) if self.packed else self._of_csv(how)

    def _of_parquet(self, how: RateTrace) -> Iterator[_Row]:
        frame = read_parquet(self.path)
        time, rate = self._columns(frame.columns, how)
        times = frame[time]
        if isinstance(times.dtype, pl.Datetime):
            each_s = _UNITS[times.dtype.time_unit or "us"]  # not by way of nanoseconds, which end in the year 2262
            stamps: Iterator[Any] = (None if at is None else at / each_s for at in times.cast(pl.Int64).to_list())
        else:
            stamps = iter(times.to_list())
        for place, (at, value) in enumerate(zip(stamps, frame[rate].to_list(), strict=True), 1):
            yield _Row(place, at, value)

    def _of_csv(self, how: RateTrace) -> Iterator[_Row]:
        with reading(self.path) as file:
            lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            try:
                yield from self._of_lines(lines, how)
            except UnicodeDecodeError:
                raise UserError("not UTF-8 text", file=self.path, expected="CSV or Parquet") from None
            except csv.Error as error:
                raise UserError(f"not CSV: {error}", file=self.path) from None
            finally:
                lines.detach()

    def _of_lines(self, lines: io.TextIOWrapper, how: RateTrace) -> Iterator[_Row]:
        first = lines.readline()
        if not first.strip():
            raise empty(self.path, "a header such as time,rps")
        separator = max(",;\t", key=first.count)
        names = [name.strip() for name in next(csv.reader([first], delimiter=separator))]
        time, rate = self._columns(names, how)
        at_time, at_rate = names.index(time), names.index(rate)
        reader = csv.reader(lines, delimiter=separator)
        for cells in reader:
            place = reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= max(at_time, at_rate):
                raise UserError(
                    "a row is cut off", file=self.path, line=place, found=separator.join(cells)[:80],
                    expected=f"{len(names)} columns",
                )  # fmt: skip
            yield _Row(place, cells[at_time].strip(), cells[at_rate].strip())

    def _columns(self, names: Sequence[str], how: RateTrace) -> tuple[str, str]:
        found = []
        for field, asked, usual in (("time", how.time, TIME_COLUMNS), ("rate", how.rate, RATE_COLUMNS)):
            known = {name.lower(): name for name in reversed(names)}
            name = asked if asked is not None else next((known[item] for item in usual if item in known), None)
            if name is None or name not in names:
                raise UserError(
                    f"column {name!r} is missing" if name is not None else f"no column says the {field}",
                    file=self.path,
                    line=None if self.packed else 1,
                    found=", ".join(names)[:200],
                    expected=name or "one of " + ", ".join(usual),
                    hint=did_you_mean(name, names) if name is not None else f"{field}: <the column's name>",
                )
            found.append(name)
        return found[0], found[1]


def read_rate_trace(path: Path, how: RateTrace) -> Points:
    """The curve of a file. Raises UserError, with the file and the line."""
    source = _Source(path)
    rows: list[_Row] = []
    times: list[int] = []
    rates: list[int] = []
    for row in source.rows(how):
        if len(rows) == MOST_ROWS:
            raise source.error(row, "too many rows", expected=f"{MOST_ROWS} at most")
        at = _time_ns(source, row)
        if times and at <= times[-1]:
            what = "the same instant again" if at == times[-1] else "earlier than the row before"
            raise source.error(row, what, found=row.time, expected=f"after {rows[-1].time}, rows in ascending order")
        times.append(at)
        rates.append(_rate(source, row, how))
        rows.append(row)
    if not rows:
        raise UserError("the file has no rows", file=path, expected="a time stamp and a rate a row")
    _check_gaps(source, rows, times, how)
    return Points(_points(times, rates, how))


def _time_ns(source: _Source, row: _Row) -> int:
    value = row.time
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _rfc3339_ns(source, row, value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise source.error(row, "not a time", found=repr(row.time), expected="RFC 3339 or seconds")
    if abs(value) > 1e11:
        hint = "milliseconds? divide them by 1000"
        raise source.error(row, "not seconds", found=row.time, expected="seconds, below 1e11", hint=hint)
    return round(value * SECOND_NS)


def _rfc3339_ns(source: _Source, row: _Row, text: str) -> int:
    """Without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise source.error(
            row, "not a time", found=text or "nothing", expected="RFC 3339, as 2024-05-01T12:00:00Z, or seconds"
        ) from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1000


def _rate(source: _Source, row: _Row, how: RateTrace) -> int:
    """Thousandths of a request per second."""
    value = row.rate
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            found = value or "nothing"
            raise source.error(row, "not a rate", found=found, expected="a number of requests") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise source.error(row, "not a rate", found=repr(row.rate), expected="a number of requests")
    if value < 0:
        raise source.error(row, "a rate is never negative", found=row.rate, expected="0 or more")
    rps = value * how.scale * SECOND_NS / how.per_ns
    if rps > MOST_RATE:
        raise source.error(row, "too high a rate", found=f"{rps:g} requests/s", expected=f"at most {MOST_RATE:g}")
    return round(rps * 1000)


def _check_gaps(source: _Source, rows: list[_Row], times: list[int], how: RateTrace) -> None:
    steps = [after - before for before, after in pairwise(times)]
    if not steps:
        return
    most = how.gap_ns if how.gap_ns is not None else 2 * sorted(steps)[len(steps) // 2]
    for index, step in enumerate(steps):
        if step > most:
            raise source.error(
                rows[index + 1],
                "a gap before this row",
                found=f"{step / SECOND_NS:g} s after the row before",
                expected=f"at most {most / SECOND_NS:g} s",
                hint=f"gap: {math.ceil(step / SECOND_NS)}s, where rates hold as long as that",
            )


def _points(times: list[int], rates: list[int], how: RateTrace) -> tuple[tuple[int, int], ...]:
    at = [round((instant - times[0]) / how.speedup) for instant in times]
    if how.between == "line":
        return tuple(zip(at, rates, strict=True))
    points = [(at[0], rates[0])]
    for instant, before, rate in zip(at[1:], rates, rates[1:], strict=False):
        if rate != before:
            points += [(instant, before), (instant, rate)]
    return tuple(points)
