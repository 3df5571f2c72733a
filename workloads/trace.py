"""Reading, linting and converting a trace of any format: the door to `readers/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from harness.model.errors import UserError
from harness.model.loading import check_regular
from workloads.gather import checked, coded, pairs_of, to_workload
from workloads.lint import Lint, LintReport
from workloads.readers import Format, by_name, detect, mapped, names, podyard
from workloads.readers.parquet import disk_errors
from workloads.readers.text import empty, head, sha256
from workloads.table import DEVICE_MILLI, PODS_PER_NODE, Coded, Int64, NodeTable, Provenance, Workload, distinct

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """What was read. `reports`: of the pod list, and of the node list where there was one."""

    workload: Workload
    nodes: NodeTable | None
    reports: tuple[LintReport, ...]


def read(
    path: Path,
    *,
    format: str | None = None,
    options: Options | None = None,
    nodes: Path | None = None,
    node_options: Options | None = None,
    repair: bool = False,
    fill_gap_ns: int | None = None,
) -> Trace:
    """A whole trace in memory, in order of arrival. `format` is recognised from the file unless named.

    With the option `map` (field to 'column:unit', see `readers.mapped`) the file may be any CSV, JSON or Parquet.
    With `fill_gap_ns` nothing departs, and pods arrive one by one with this gap; lists without times can be read so.
    Raises UserError for a file that cannot be read, and for the first row that cannot be meant unless `repair` leaves
    such rows out. `options` are the keyword arguments of the format's `pods`, `node_options` of its `nodes`.
    """
    kind, lint, frames = _opened(path, format, options, strict=not repair, fill=fill_gap_ns is not None)
    with checked(frames, lint) as lazy:
        frame = lazy.collect()
    lint.kept = frame.height
    if not frame.height:
        raise _nothing_left("no row of this trace can be used", path, lint)
    workload = to_workload(frame, _provenance(kind, path))
    if fill_gap_ns is not None:
        workload = workload.one_by_one(fill_gap_ns)
    table: NodeTable | None = None
    reports: tuple[LintReport, ...] = ()
    if nodes is not None:
        table, node_report = read_nodes(nodes, format=kind.name, options=node_options, repair=repair)
        reports = (node_report,)
        unplaceable(workload, table, lint)
    return Trace(workload, table, (lint.report(), *reports))


def read_nodes(
    path: Path, *, format: str | None = None, options: Options | None = None, repair: bool = False
) -> tuple[NodeTable, LintReport]:
    """A node list. Raises UserError as `read` does."""
    first = head(path)
    if not first:
        raise empty(path, "a list of nodes")
    kind = detect(path, first) if format is None else by_name(format)
    lint = Lint(str(path), kind.name, strict=not repair)
    table = _nodes(kind, path, lint, options or {})
    return table, lint.report()


def lint(
    path: Path,
    *,
    format: str | None = None,
    options: Options | None = None,
    nodes: Path | None = None,
    node_options: Options | None = None,
) -> tuple[LintReport, ...]:
    """All findings. Raises UserError only where nothing can be read at all: no file, no rows, a missing column."""
    kind, found, frames = _opened(path, format, options, strict=False)
    reports: list[LintReport] = []
    with checked(frames, found) as lazy:
        if nodes is None:
            found.kept = int(lazy.select(pl.len()).collect(engine="streaming").item())
        else:
            frame = lazy.collect()
            found.kept = frame.height
            table, report = read_nodes(nodes, format=kind.name, options=node_options, repair=True)
            reports.append(report)
            unplaceable(to_workload(frame, kind.provenance), table, found)
    return (found.report(), *reports)


def convert(
    path: Path, out: Path, *, format: str | None = None, options: Options | None = None, repair: bool = False
) -> LintReport:
    """A trace of any format into one Parquet file of Podyard's own, block by block. Raises UserError as `read` does,
    and where `out` is the trace itself or cannot be written; then `out` stays as it was.
    """
    if out.exists() and path.exists() and out.samefile(path):
        raise UserError("this is the trace itself", file=out, expected="another file to write to")
    kind, lint, frames = _opened(path, format, options, strict=not repair)
    header = podyard.header_text(kind.name, _provenance(kind, path))
    with checked(frames, lint) as lazy:
        lint.kept = int(lazy.select(pl.len()).collect(engine="streaming").item())
        if not lint.kept:
            raise _nothing_left("no row of this trace can be used", path, lint)
        _written(lazy.drop("line"), out, header)
    return lint.report()


def _written(lazy: pl.LazyFrame, out: Path, header: str) -> None:
    """Whole or not at all: beside `out` first, then in its place."""
    part = out.with_name(f".{out.name}.part")
    try:
        if out.exists():
            check_regular(out)  # as root, /dev/null became a file
        with disk_errors(part):
            lazy.sink_parquet(part, metadata={podyard.METADATA: header})
            pl.read_parquet_schema(part)  # whole?
        part.replace(out)
    except OSError as error:
        hint = None if out.parent.is_dir() else f"make the folder {out.parent} first"
        found = error.strerror or str(error).partition(": ")[0]
        raise UserError(
            "the file cannot be written", file=out, found=found, expected="a file in a folder that exists", hint=hint
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _opened(
    path: Path, format: str | None, options: Options | None, *, strict: bool, fill: bool = False
) -> tuple[Format, Lint, Iterable[pl.DataFrame]]:
    if path.is_dir():
        raise UserError("this is a folder", file=path, expected="a file of the trace")
    first = head(path)
    if not first:
        raise empty(path, "a trace")
    kind = _kind(path, first, format, options)
    lint = Lint(str(path), kind.name, strict=strict)
    chosen = kind.checked(kind.pods, options or {})
    if fill and "mode" in kind.options(kind.pods):
        chosen.setdefault("mode", "fill")
    return kind, lint, kind.pods(path, lint, **chosen)


def _kind(path: Path, first: bytes, format: str | None, options: Options | None) -> Format:
    """A table with a map of its columns is of any form, which is recognised when it is read."""
    if not options or "map" not in options:
        return detect(path, first) if format is None else by_name(format)
    if format is not None:
        what = f"format {format} has its own columns, and takes no map"
        raise UserError(what, file=path, found="a format and a map", expected="one of the two")
    return Format("mapped", mapped)


def _provenance(kind: Format, path: Path) -> Provenance:
    provenance = kind.provenance
    if kind.name == "podyard":
        header = podyard.read_header(path)
        provenance = provenance if header is None else header.provenance
    return provenance.and_then(inputs=(sha256(path),))


def _nothing_left(what: str, path: Path, lint: Lint) -> UserError:
    """With the line of the first row that was dropped, and why."""
    report = lint.report()
    counted = ", ".join(f"{count} {rule}" for rule, count in report.counts if count) or "nothing"
    dropped = [each for each in report.findings if each.action == "dropped" and each.line is not None]
    first = min(dropped, key=lambda each: each.line or 0, default=None)
    if first is None:
        return UserError(what, file=path, found=counted, expected="at least one")
    where = f"{first.column} {first.found!r}" if first.column else repr(first.found)
    found = f"{counted}; first {where}, where {first.expected} is expected"
    return UserError(what, file=path, line=first.line, found=found, expected="at least one")


def _nodes(kind: Format, path: Path, lint: Lint, options: Options) -> NodeTable:
    if kind.nodes is None:
        raise UserError(
            f"format {kind.name} has no node lists",
            file=path,
            expected=", ".join(name for name in names() if by_name(name).nodes is not None),
            hint="`podyard trace ls` tells which formats have one",
        )
    frame = pl.concat(list(kind.nodes(path, lint, **kind.checked(kind.nodes, options))))
    again = ~frame["name"].is_first_distinct()
    repeated = frame.filter(again)
    rows = repeated.head(20).select("line", "name").iter_rows()
    lint.note_all("duplicate-name", rows, repeated.height, "each node once", column="name")
    frame = frame.filter(~again)
    lint.kept = frame.height
    if not frame.height:
        raise _nothing_left("no node of this list can be used", path, lint)
    provenance = kind.provenance.and_then(inputs=(sha256(path),))
    return node_table(frame, provenance)


def node_table(frame: pl.DataFrame, provenance: Provenance) -> NodeTable:
    """Columns name, cpu_milli, memory_bytes, and where present pods, gpu_count, gpu_model, zone, labels (k=v,k=v) and
    `extra.<resource>`.
    """
    rows = frame.height

    def number(column: str, default: int) -> Int64:
        if column not in frame.columns:
            return np.full(rows, default, dtype=np.int64)
        return np.array(frame[column].to_numpy(), dtype=np.int64)

    def words(column: str) -> Coded[str]:
        return coded(frame[column]) if column in frame.columns else Coded.all("", rows)

    count = number("gpu_count", 0)
    labels = words("labels")
    names = frame["name"].str.to_lowercase().str.replace_all(r"[^a-z0-9.-]", "-").to_list()
    extra = {column.removeprefix("extra."): number(column, 0) for column in frame.columns if column[:6] == "extra."}
    return NodeTable(
        names,
        number("cpu_milli", 0),
        number("memory_bytes", 0),
        number("pods", PODS_PER_NODE),
        count,
        np.where(count > 0, DEVICE_MILLI, 0).astype(np.int64),
        words("gpu_model"),
        words("zone"),
        Coded(labels.codes, tuple(pairs_of(text) for text in labels.values)),
        extra,
        provenance,
    )


def unplaceable(workload: Workload, nodes: NodeTable, lint: Lint) -> None:
    """Notes the pods that fit on no node, even an empty one: unknown GPU models, and requests that are too large."""
    known = set(nodes.gpu_model.values) - {""}
    models = workload.gpu_models
    columns = [workload.cpu_milli, workload.memory_bytes, workload.gpu_count, models.codes.astype(np.int64)]
    first, inverse = distinct(columns, len(workload))
    for row, count in zip(first.tolist(), np.bincount(inverse, minlength=len(first)).tolist(), strict=True):
        cpu, memory, gpus, code = (int(column[row]) for column in columns)
        accepted = models.values[code]
        name = f"{workload.name[row]} and {count - 1} like it" if count > 1 else workload.name[row]
        if gpus and accepted and not known & set(accepted):
            found = f"{name}: {'|'.join(accepted)}"
            expected = f"one of {', '.join(sorted(known)) or 'no model at all'}"
            lint.note("unknown-gpu-model", found, expected, column="gpu_models", count=count)
            continue
        fits = (nodes.cpu_milli >= cpu) & (nodes.memory_bytes >= memory) & (nodes.gpu_count >= gpus)
        if gpus and accepted:
            fits &= np.array([model in accepted for model in nodes.gpu_model.values])[nodes.gpu_model.codes]
        if not bool(fits.any()):
            found = f"{name}: {cpu} milli-CPU, {memory} bytes, {gpus} GPUs"
            lint.note("larger-than-any-node", found, "room on some empty node", count=count)
