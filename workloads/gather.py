"""Frames of pods into one lazy table or a Workload; large traces pass over the disk, not through memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from workloads.lint import EXAMPLES, Lint
from workloads.rows import SCHEMA
from workloads.table import Coded, Int64, Pairs, Provenance, Workload, frozen

Hashes: TypeAlias = npt.NDArray[np.uint64]
S = TypeVar("S")
T = TypeVar("T")

ROWS_IN_MEMORY = 1_000_000
"""Rows kept in memory before the rest goes to temporary Parquet files."""


@contextmanager
def gathered(frames: Iterable[pl.DataFrame], rows_in_memory: int = ROWS_IN_MEMORY) -> Iterator[pl.LazyFrame]:
    """All frames as one lazy table, in order. The table must be used within the context."""
    with ExitStack() as stack:
        held: list[pl.DataFrame] = []
        rows = 0
        parts: list[Path] = []
        folder: Path | None = None
        for frame in frames:
            held.append(frame)
            rows += frame.height
            if rows >= rows_in_memory:
                if folder is None:
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podyard-")))
                parts.append(folder / f"{len(parts):06d}.parquet")
                pl.concat(held).write_parquet(parts[-1], compression="lz4")
                held, rows = [], 0
        lazy = [pl.scan_parquet(part) for part in parts] + [frame.lazy() for frame in held]
        yield pl.concat(lazy) if lazy else pl.LazyFrame(schema={"line": pl.Int64, **SCHEMA})


@contextmanager
def checked(frames: Iterable[pl.DataFrame], lint: Lint, rows_in_memory: int = ROWS_IN_MEMORY) -> Iterator[pl.LazyFrame]:
    """Pods of a whole trace as one lazy table, names unique, rows as they came."""
    hashes: list[Hashes] = []
    latest = -1

    def watched() -> Iterator[pl.DataFrame]:
        nonlocal latest
        for frame in frames:
            if not frame.height:
                continue
            arrival = frame["arrival_ns"]
            before = arrival.shift(1, fill_value=latest)
            back = frame.filter(arrival < before)
            examples = back.head(EXAMPLES).select("line", pl.col("arrival_ns").cast(pl.String)).iter_rows()
            lint.note_all("out-of-order", examples, back.height, "ascending arrivals", column="arrival_ns")
            latest = int(arrival[-1])
            hashes.append(frame["name"].hash().to_numpy())
            yield frame

    with gathered(watched(), rows_in_memory) as lazy:
        twice = _repeated(hashes)
        if len(twice):
            lazy = _without_repeats(lazy, twice, lint)
        yield lazy


def _repeated(hashes: list[Hashes]) -> Hashes:
    """Hashes that occur more than once; 8 bytes a row are all that uniqueness costs."""
    if not hashes:
        return np.zeros(0, dtype=np.uint64)
    ordered = np.concatenate(hashes)
    hashes.clear()
    ordered.sort()
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _without_repeats(lazy: pl.LazyFrame, twice: Hashes, lint: Lint) -> pl.LazyFrame:
    suspects = pl.Series(twice, dtype=pl.UInt64)
    rows = lazy.with_row_index("_row")
    found = (
        rows.filter(pl.col("name").hash().is_in(suspects.implode()))
        .select("_row", "line", "name")
        .collect(engine="streaming")
        .sort("_row")
    )
    again = found.filter(found["name"].is_duplicated() & ~found["name"].is_first_distinct())
    if not again.height:
        return lazy
    lint.note_all(
        "duplicate-name",
        again.head(EXAMPLES).select("line", "name").iter_rows(),
        again.height,
        "each name once",
        column="name",
    )
    return rows.join(again.lazy().select("_row"), on="_row", how="anti", maintain_order="left").drop("_row")


def to_workload(frame: pl.DataFrame, provenance: Provenance) -> Workload:
    """Columns of SCHEMA as a Workload, in order of arrival."""
    frame = frame.sort("arrival_ns", maintain_order=True)

    def number(column: str) -> Int64:
        return frozen(frame[column].to_numpy().astype(np.int64))

    return Workload(
        frame["name"].to_list(),
        number("arrival_ns"),
        number("duration_ns"),
        number("cpu_milli"),
        number("memory_bytes"),
        number("gpu_count"),
        number("gpu_milli"),
        _mapped(coded(frame["gpu_models"]), models_of),
        number("priority"),
        coded(frame["group"]),
        coded(frame["app"]),
        coded(frame["namespace"]),
        number("max_per_node"),
        _mapped(coded(frame["node_selector"]), pairs_of),
        coded(frame["user"]),
        coded(frame["queue"]),
        {column.removeprefix("extra."): number(column) for column in frame.columns if column.startswith("extra.")},
        provenance,
        number("estimate_ns"),
        coded(frame["after"]),
        number("think_ns"),
    )


def to_frame(workload: Workload) -> pl.DataFrame:
    """The other way round: the columns of SCHEMA and `extra.<resource>`."""
    columns: dict[str, pl.Series] = {"name": pl.Series(workload.name, dtype=pl.String)}
    columns |= {column: pl.Series(values, dtype=pl.Int64) for column, values in workload.numbers().items()}
    columns["gpu_models"] = _words(_mapped(workload.gpu_models, "|".join))
    columns["node_selector"] = _words(_mapped(workload.node_selector, pairs_text))
    for column in ("group", "app", "namespace", "user", "queue", "after"):
        columns[column] = _words(getattr(workload, column))
    extra = sorted(column for column in columns if column.startswith("extra."))
    return pl.DataFrame({column: columns[column] for column in (*SCHEMA, *extra)})


def coded(column: pl.Series) -> Coded[str]:
    """Values in the order of their first appearance."""
    values = column.unique(maintain_order=True)
    index = pl.DataFrame({"value": values, "code": pl.Series(range(len(values)), dtype=pl.Int32)})
    codes = pl.DataFrame({"value": column}).join(index, on="value", how="left", maintain_order="left")["code"]
    return Coded(frozen(codes.to_numpy().astype(np.int32)), tuple(values.to_list()))


def _mapped(words: Coded[S], convert: Callable[[S], T]) -> Coded[T]:
    return Coded(words.codes, tuple(convert(value) for value in words.values))


def _words(words: Coded[str]) -> pl.Series:
    return pl.Series(words.values, dtype=pl.String).gather(pl.Series(words.codes))


def models_of(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split("|")))


def pairs_of(text: str) -> Pairs:
    """'k=v,k=v' as pairs, sorted."""
    return tuple(sorted((part.partition("=")[0], part.partition("=")[2]) for part in text.split(",") if part))


def pairs_text(pairs: Pairs) -> str:
    return ",".join(f"{key}={value}" for key, value in pairs)
