"""Splits that leak nothing: by time or by list of pods, both made and checked here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.model.errors import UserError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Split:
    """`purged`: rows in neither part, as their outcome was not known when the training part ended."""

    train: pl.DataFrame
    test: pl.DataFrame
    purged: int
    how: str


def by_time(table: pl.DataFrame, share: float = 0.7) -> Split:
    """In each run, training ends at `share` of the time between its first and its last decision. A decision before that
    whose outcome came later is in neither part; what is measured at the run's end (`regret_`) is null in the training
    part.

    Raises UserError where a part would be empty.
    """
    import polars as pl

    first, last = (getattr(pl.col("at_ns"), name)().over("record") for name in ("min", "max"))
    ends = (first + (last - first) * share).cast(pl.Int64)
    before = table.filter(pl.col("at_ns") < ends)
    known = table.filter((pl.col("at_ns") < ends) & pl.col("known_ns").is_not_null() & (pl.col("known_ns") < ends))
    later = [pl.lit(None, dtype=table.schema[name]).alias(name) for name in table.columns if name.startswith("regret_")]
    split = Split(
        known.with_columns(later),
        table.filter(pl.col("at_ns") >= ends),
        len(before) - len(known),
        f"by time, the first {100 * share:g} % of each run's decisions' time",
    )
    check(split, by="time")
    return split


def by_list(table: pl.DataFrame, share: float = 0.7) -> Split:
    """Each list of pods is in one part: arrivals of the test part were never seen, under any strategy. Lists are taken
    in the order of their digests, which does not depend on time or seed. Raises UserError for a single list."""
    import polars as pl

    lists = sorted(table["list"].unique().to_list())
    if len(lists) < 2:
        raise UserError(
            "one list of pods cannot be split by list", found=f"{len(lists)} list", expected="records of several seeds"
        )
    train = lists[: min(max(round(share * len(lists)), 1), len(lists) - 1)]
    inside = pl.col("list").is_in(train)
    split = Split(table.filter(inside), table.filter(~inside), 0, f"by list, {len(train)} of {len(lists)} for training")
    check(split, by="list")
    return split


def check(split: Split, *, by: str) -> None:
    """Raises UserError where a part is empty, and AssertionError where something leaks."""
    train, test = split.train, split.test
    if train.is_empty() or test.is_empty():
        part = "training" if train.is_empty() else "test"
        raise UserError(f"the {part} part is empty", found=split.how, expected="longer runs, more seeds, another share")
    if by == "list":
        shared = set(train["list"]) & set(test["list"])
        assert not shared, f"lists in both parts: {sorted(shared)}"
        return
    begins = dict(test.group_by("record").agg(_first()).iter_rows())
    for record, at, known in train.select("record", "at_ns", "known_ns").iter_rows():
        until = begins.get(record)
        assert until is None or (at < until and known is not None and known < until), f"{record} tells of its future"
    for name in train.columns:
        assert not name.startswith("regret_") or train[name].null_count() == len(train), f"{name} is of the run's end"


def _first() -> Any:
    import polars as pl

    return pl.col("at_ns").min()
