"""Columns of text into checked integer columns, and into the columns that all formats share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import polars as pl

from workloads.lint import EXAMPLES, RULES, Lint
from workloads.table import DEVICE_MILLI, FOREVER

MOST = 1 << 62
"""Larger than any time in ns or amount in bytes that is meant; room for sums stays below int64."""

GIB = 1 << 30
SECOND_NS = 10**9

NORMALISED_CPU_MILLI = 1_000_000
NORMALISED_MEMORY_BYTES = 1 << 40
"""One whole machine, in traces that publish fractions of a machine: a millionth is the finest CPU share kept."""

_EMPTY = ["", "nan", "null", "none", "na", "n/a"]

Empty: TypeAlias = Literal["error", "null"]

SCHEMA: Mapping[str, pl.DataType] = {
    "name": pl.String(),
    "arrival_ns": pl.Int64(),
    "duration_ns": pl.Int64(),
    "cpu_milli": pl.Int64(),
    "memory_bytes": pl.Int64(),
    "gpu_count": pl.Int64(),
    "gpu_milli": pl.Int64(),
    "gpu_models": pl.String(),
    "priority": pl.Int64(),
    "group": pl.String(),
    "app": pl.String(),
    "namespace": pl.String(),
    "max_per_node": pl.Int64(),
    "node_selector": pl.String(),
    "user": pl.String(),
    "queue": pl.String(),
    "estimate_ns": pl.Int64(),
    "after": pl.String(),
    "think_ns": pl.Int64(),
}
"""The columns of a workload as a frame, besides `line` and `extra.<resource>` (Int64).

`gpu_models` joins names by '|' ('' for any), `node_selector` joins k=v by ',' ('' for none).
"""

DEFAULTS: Mapping[str, object] = {
    "duration_ns": FOREVER,
    "cpu_milli": 0,
    "memory_bytes": 0,
    "gpu_count": 0,
    "gpu_milli": 0,
    "gpu_models": "",
    "priority": 0,
    "group": "",
    "app": "",
    "namespace": "default",
    "max_per_node": 0,
    "node_selector": "",
    "user": "",
    "queue": "",
    "estimate_ns": 0,
    "after": "",
    "think_ns": 0,
}


class Rows:
    """One block of rows under inspection: checked columns are added, bad rows are marked and leave at the end."""

    def __init__(self, frame: pl.DataFrame, lint: Lint) -> None:
        self.frame = frame
        self.lint = lint
        self._bad = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)

    def __getitem__(self, column: str) -> pl.Series:
        return self.frame[column]

    def __setitem__(self, column: str, values: pl.Series | pl.Expr) -> None:
        self.frame = self.frame.with_columns(values.alias(column))

    def flag(self, rule: str, where: pl.Series, expected: str, *, column: str | None = None, shown: str = "") -> None:
        """Note `rule` for the rows of the mask that are still good; drop them when that is what the rule does.

        `shown`: the column whose value is quoted, `column` unless told otherwise.
        """
        mask = where.fill_null(False) & ~self._bad
        count = int(mask.sum())
        if not count:
            return
        source = shown or (column if column in self.frame.columns else None)
        examples = self.frame.filter(mask).head(EXAMPLES)
        found = examples[source].cast(pl.String).fill_null("").to_list() if source else [""] * examples.height
        self.lint.note_all(rule, zip(examples["line"].to_list(), found, strict=True), count, expected, column=column)
        if RULES[rule].action == "dropped":
            self._bad = self._bad | mask

    def text(self, column: str, *, empty: Empty = "error") -> pl.Series:
        """Without surrounding blanks; null where empty."""
        stripped = self.frame[column].str.strip_chars()
        missing = stripped.is_null() | stripped.str.to_lowercase().is_in(_EMPTY)
        if empty == "error":
            self.flag("missing-value", missing, "a value", column=column)
        return pl.select(pl.when(missing).then(None).otherwise(stripped)).to_series()

    def word(self, column: str, known: list[str]) -> pl.Series:
        found = self.text(column)
        self.flag("unknown-word", ~found.is_in(known), " or ".join(known), column=column)
        return found

    def integer(
        self,
        column: str,
        *,
        unit: int = 1,
        least: int | None = 0,
        most: int = MOST,
        empty: Empty = "error",
    ) -> pl.Series:
        """The numbers of a text column times `unit`, int64; null where empty and in rows that are dropped.

        `least` and `most` bound the result. What is finer than 1 after the multiplication is rounded, and noted.
        """
        text = self.text(column, empty=empty)
        number = text.cast(pl.Float64, strict=False)
        number = pl.select(pl.when(number.is_finite()).then(number)).to_series()
        self.flag("not-a-number", text.is_not_null() & number.is_null(), "a number", column=column)
        scaled = number * float(unit)
        if least is not None:
            self.flag("negative-value", scaled < least, f"at least {least}", column=column)
        self.flag("out-of-range", scaled.abs() > most, f"at most {most // unit}", column=column)
        scaled = pl.select(pl.when(scaled.abs() <= most).then(scaled)).to_series()
        whole = text.cast(pl.Int64, strict=False)
        nearest = scaled.round()
        # Fractions below what a double can tell at this size are noise of the trace's own arithmetic.
        rough = whole.is_null() & ((scaled - nearest).abs() > scaled.abs() * 1e-15 + 1e-3)
        self.flag("value-rounded", rough, f"a multiple of 1/{unit}", column=column)
        exact = pl.when(scaled.is_not_null() & whole.is_not_null()).then(whole).otherwise(None) * unit
        return pl.select(pl.coalesce(exact, nearest.cast(pl.Int64, strict=False))).to_series()

    def lifetimes(self, start: pl.Series, end: pl.Series, *, start_column: str, end_column: str) -> None:
        """`arrival_ns` and `duration_ns` from instants in ns: no start is before the trace, no end is after it."""
        self.flag("ends-before-start", end < start, f"at least {start_column}", column=end_column)
        early = start.is_null() | (start < 0)
        self.flag("started-before-trace", early, "an instant of the trace", column=start_column)
        arrival = pl.select(pl.when(early).then(0).otherwise(start)).to_series()
        self.flag("ends-before-start", end < arrival, "an end within the trace", column=end_column)
        self.flag("still-there-at-end", end.is_null(), "an instant", column=end_column)
        self.flag("zero-duration", (end == start).fill_null(False), f"later than {start_column}", column=end_column)
        self["arrival_ns"] = arrival
        self["duration_ns"] = (end - arrival).fill_null(FOREVER)

    def good(self) -> pl.DataFrame:
        return self.frame.filter(~self._bad)

    def pods(self) -> pl.DataFrame:
        """The rows that are good, in the columns of SCHEMA; the checks that hold for any format are made here."""
        for column, value in DEFAULTS.items():
            if column not in self.frame.columns:
                self[column] = pl.lit(value, SCHEMA[column])
        self._check_gpus()
        self._check_limits()
        nothing = (self["cpu_milli"] == 0) & (self["gpu_count"] == 0)
        no_memory = self["memory_bytes"] == 0
        self.flag("zero-request", nothing & no_memory, "CPU, memory or GPU", column="cpu_milli")
        self.flag("zero-memory", no_memory & ~nothing, "more than 0", column="memory_bytes")
        for column in ("name", "app", "group", "namespace", "user", "queue"):
            self._kubernetes_name(column, 253 if column == "name" else 63)
        extra = [column for column in self.frame.columns if column.startswith("extra.")]
        return self.good().select("line", *(pl.col(name).cast(kind) for name, kind in SCHEMA.items()), *sorted(extra))

    def _check_gpus(self) -> None:
        count, milli = self["gpu_count"], self["gpu_milli"]
        self.flag("gpu-milli-missing", (count > 0) & (milli == 0), "1 to 1000", column="gpu_milli")
        self.flag("gpu-milli-without-gpu", (count == 0) & (milli > 0), "0", column="gpu_milli")
        self.flag("out-of-range", milli > DEVICE_MILLI, f"at most {DEVICE_MILLI}", column="gpu_milli")
        self.flag("shared-multi-gpu", (count > 1) & (milli > 0) & (milli < DEVICE_MILLI), "1000", column="gpu_milli")
        whole = pl.when(milli == 0).then(DEVICE_MILLI).otherwise(milli)
        self["gpu_milli"] = pl.when(count == 0).then(0).otherwise(whole)
        models = self["gpu_models"].str.split("|").list.unique(maintain_order=True).list.join("|")
        # Kept as written: published experiments count 'A|B' and 'A|B|B' as two kinds of pods.
        self.flag("repeated-model", models != self["gpu_models"], "each model once", column="gpu_models")

    def _check_limits(self) -> None:
        """A limit by node counts the pods of an owner."""
        lost = (self["max_per_node"] > 0) & (self["app"] == "")
        self.flag("constraint-dropped", lost, "an app, whose pods are counted", column="max_per_node")
        self["max_per_node"] = pl.when(lost).then(0).otherwise(pl.col("max_per_node"))

    def _kubernetes_name(self, column: str, longest: int) -> None:
        """RFC 1123: lower case letters, digits, '-' (and '.' in names of objects)."""
        old = self[column]
        allowed = r"[^a-z0-9.-]" if column == "name" else r"[^a-z0-9-]"
        new = old.str.to_lowercase().str.replace_all(allowed, "-").str.strip_chars("-.").str.slice(0, longest)
        new = new.str.strip_chars("-.")
        if column == "name":
            self.flag("missing-value", new == "", "a name", column=column)
        self.flag("name-changed", new != old, "a Kubernetes name", column=column)
        self[column] = new


def from_columns(columns: Mapping[str, list[object]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(dict(columns), schema=dict(schema))


def slices(frame: pl.DataFrame, rows: int = 1 << 18) -> Iterator[pl.DataFrame]:
    """The frame in pieces, for what streams on."""
    for start in range(0, frame.height, rows):
        yield frame.slice(start, rows)
