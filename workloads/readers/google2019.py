"""Google's cluster data of 2019 (version 3): instance events as JSON lines or CSV, resources as fractions of a machine.

Schema: clusterdata_trace_format_v3.proto. BigQuery writes 64-bit integers in JSON as strings; in CSV the nested
columns come flattened, as resource_request.cpus or resource_request_cpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from harness.model.errors import UserError
from workloads.gather import gathered
from workloads.lint import EXAMPLES, Lint
from workloads.readers.text import header, lines, table
from workloads.rows import NORMALISED_CPU_MILLI, NORMALISED_MEMORY_BYTES, Rows, slices
from workloads.table import Provenance

PROVENANCE = Provenance(
    source="Google cluster-usage traces, version 3: eight Borg cells, May 2019",
    licence="CC-BY-4.0",
    url="https://github.com/google/cluster-data/blob/master/ClusterData2019.md",
    citation="Tirmazi et al., Borg: the Next Generation, EuroSys 2020",
    changes=(
        "an instance becomes a pod, its collection the owner; alloc sets are pods, what runs inside them is left out",
        "it runs from its first SCHEDULE to its last FINISH, KILL, FAIL or LOST; evictions in between are not replayed",
        "a machine of capacity 1.0 is 1000 CPUs and 1 TiB",
    ),
)

EVENTS = (
    "SUBMIT",
    "QUEUE",
    "ENABLE",
    "SCHEDULE",
    "EVICT",
    "FAIL",
    "FINISH",
    "KILL",
    "LOST",
    "UPDATE_PENDING",
    "UPDATE_RUNNING",
)
_SUBMIT, _SCHEDULE, _EVICT, _FAIL, _LOST, _UPDATED = 0, 3, 4, 5, 8, 9
_AFTER_THE_TRACE_US = (1 << 63) - 1  # a time that says: after the trace ended
_MOST_US = 10**15

_KEYS = ("time", "type", "collection_id", "instance_index")
_OPTIONAL = ("collection_type", "priority", "alloc_collection_id", "constraint")
_CPUS = ("resource_request.cpus", "resource_request_cpus")
_MEMORY = ("resource_request.memory", "resource_request_memory")
_COLUMNS = (*_KEYS, *_OPTIONAL, "cpus", "memory")


def sniff(name: str, head: str) -> bool:
    first = head.partition("\n")[0]
    return "instance_index" in first and "collection_id" in first


def pods(path: Path, lint: Lint) -> Iterator[pl.DataFrame]:
    """Events pass over the disk when there are many; what stays in memory grows with the instances, not the events."""
    with gathered(_events(frame, lint) for frame in _text(path, lint)) as events:
        instances = _instances(events, lint)
    for piece in slices(instances):
        rows = Rows(piece, lint)
        where = rows["schedule"].fill_null(rows["submit"])
        rows["name"] = pl.col("collection_id") + "-" + pl.col("instance_index")
        rows["app"] = "collection-" + rows["collection_id"]
        rows.flag("reservation-inside", rows["inside"], "counted by its alloc set", column="collection_id")
        rows.flag("missing-value", rows["cpu_milli"].is_null(), "a resource request", column="collection_id")
        rows.flag("never-started", rows["schedule"].is_null(), "a SCHEDULE event", column="collection_id")
        rows.flag("constraint-dropped", rows["constrained"], "no constraint", column="collection_id")
        rows.flag("updated-request", rows["updated"], "one request", column="collection_id")
        end = rows["end"]
        rows.flag("ends-before-start", end < where, "an end after its start", column="collection_id")
        rows.flag("still-there-at-end", end.is_null(), "an end event", column="collection_id")
        rows.flag("started-before-trace", rows["submit"] == 0, "a time after 0", column="collection_id")
        rows["arrival_ns"] = rows["submit"] * 1000
        rows["duration_ns"] = ((end - where) * 1000).fill_null(-1)
        yield rows.pods()


def _text(path: Path, lint: Lint) -> Iterator[pl.DataFrame]:
    """Blocks of events, every column as text."""
    from workloads.readers.text import head

    if head(path).lstrip()[:1] == b"{":
        yield from _json(path, lint)
        return
    names = header(path)
    cpus, memory = (next((name for name in options if name in names), options[0]) for options in (_CPUS, _MEMORY))
    for frame in table(path, (*_KEYS, cpus, memory), _OPTIONAL, lint):
        yield frame.rename({cpus: "cpus", memory: "memory"}).select("line", *_COLUMNS)


class _Resources(msgspec.Struct):
    cpus: Any = None
    memory: Any = None


class _Event(msgspec.Struct):
    time: Any = None
    type: Any = None
    collection_id: Any = None
    instance_index: Any = None
    collection_type: Any = None
    priority: Any = None
    alloc_collection_id: Any = None
    constraint: Any = None
    resource_request: _Resources | None = None


def _json(path: Path, lint: Lint) -> Iterator[pl.DataFrame]:
    decoder = msgspec.json.Decoder(_Event)
    seen = 0
    for block in lines(path, lint):
        out: list[tuple[Any, ...]] = []
        for number, text in zip(block.numbers, block.texts, strict=True):
            lint.rows += 1
            try:
                event = decoder.decode(text)
            except (msgspec.DecodeError, RecursionError) as error:
                lint.note("not-readable", str(error), "a JSON object of an event", line=number)
                continue
            asked = event.resource_request or _Resources()
            values = (*(getattr(event, name) for name in (*_KEYS, *_OPTIONAL)), asked.cpus, asked.memory)
            out.append((number, *(None if value is None or value == [] else str(value) for value in values)))
        seen += len(out)
        if out:
            yield pl.DataFrame(out, schema={"line": pl.Int64, **dict.fromkeys(_COLUMNS, pl.String)}, orient="row")
    if not seen:
        raise UserError(
            "the file has no events",
            file=path,
            found="no line that can be read",
            expected="a JSON object a line",
            hint="`podyard trace lint` tells what is wrong with each line",
        )


def _events(frame: pl.DataFrame, lint: Lint) -> pl.DataFrame:
    rows = Rows(frame, lint)
    words = {name: str(code) for code, name in enumerate(EVENTS)}
    rows["type"] = rows.text("type").replace(words)
    rows["type"] = rows.word("type", list(words.values())).cast(pl.Int8, strict=False)
    beyond = rows["time"] == str(_AFTER_THE_TRACE_US)
    rows["time"] = pl.when(beyond).then(pl.lit(str(_MOST_US))).otherwise(pl.col("time"))
    rows["at"] = rows.integer("time", most=_MOST_US)
    rows["collection_id"] = rows.text("collection_id")
    rows["instance_index"] = rows.text("instance_index")
    rows["cpu_milli"] = rows.integer("cpus", unit=NORMALISED_CPU_MILLI, empty="null")
    rows["memory_bytes"] = rows.integer("memory", unit=NORMALISED_MEMORY_BYTES, empty="null")
    rows["priority"] = rows.integer("priority", most=10**9, empty="null").fill_null(0)
    rows["inside"] = ~rows.text("alloc_collection_id", empty="null").fill_null("0").is_in(["0"])
    rows["constrained"] = ~rows.text("constraint", empty="null").fill_null("[]").is_in(["[]"])
    keep = ("line", "collection_id", "instance_index", "type", "at", "cpu_milli", "memory_bytes", "priority")
    return rows.good().select(*keep, "inside", "constrained")


def _instances(events: pl.LazyFrame, lint: Lint) -> pl.DataFrame:
    """One row an instance, in order of submission; times in microseconds, null where there was no such event."""
    at, kind = pl.col("at"), pl.col("type")
    over = kind.is_between(_FAIL, _LOST) & (at < _MOST_US)
    found = (
        events.group_by("collection_id", "instance_index")
        .agg(
            pl.col("line").min(),
            submit=at.filter(kind == _SUBMIT).min(),
            first=at.min(),
            schedule=at.filter(kind == _SCHEDULE).min(),
            end=at.filter(over).max(),
            again=at.filter(kind.is_in([_SUBMIT, _SCHEDULE])).max(),
            updated=(kind >= _UPDATED).any(),
            inside=pl.col("inside").any(),
            constrained=pl.col("constrained").any(),
            **{
                column: pl.col(column).sort_by("at", "line").drop_nulls().first()
                for column in ("cpu_milli", "memory_bytes", "priority")
            },
        )
        .collect(engine="streaming")
    )
    unseen = found.filter(pl.col("submit").is_null())
    lint.note_all(
        "started-before-trace",
        unseen.sort("line").head(EXAMPLES).select("line", "collection_id").iter_rows(),
        unseen.height,
        "a SUBMIT event; its first event counts",
        column="type",
    )
    # An instance that was submitted or scheduled again after its last end is still there.
    alive = pl.col("again") > pl.col("end")
    return found.with_columns(
        submit=pl.col("submit").fill_null(pl.col("first")),
        end=pl.when(alive).then(None).otherwise(pl.col("end")),
        memory_bytes=pl.col("memory_bytes").fill_null(0),
    ).sort("submit", "line")


def nodes(path: Path, lint: Lint, *, pods_per_node: int = 1001) -> Iterator[pl.DataFrame]:
    """machine_events as CSV: each machine with the capacity that it was first added with; the switch is its zone."""
    names = header(path)
    options = (("capacity.cpus", "capacity_cpus"), ("capacity.memory", "capacity_memory"))
    cpus, memory = (next((name for name in pair if name in names), pair[0]) for pair in options)
    added = []
    for frame in table(path, ("time", "machine_id", "type", cpus, memory), ("switch_id",), lint):
        rows = Rows(frame, lint)
        rows["type"] = rows.text("type").replace({"ADD": "1", "REMOVE": "2", "UPDATE": "3"})
        rows["type"] = rows.word("type", ["1", "2", "3"])
        rows["name"] = "machine-" + rows.text("machine_id")
        rows["cpu_milli"] = rows.integer(cpus, unit=NORMALISED_CPU_MILLI, empty="null")
        rows["memory_bytes"] = rows.integer(memory, unit=NORMALISED_MEMORY_BYTES, empty="null")
        rows["at"] = rows.integer("time", most=_AFTER_THE_TRACE_US)
        rows["zone"] = rows.text("switch_id", empty="null").fill_null("")
        rows["pods"] = pl.lit(pods_per_node, pl.Int64)
        kept = rows.good().filter((pl.col("type") == "1") & pl.col("cpu_milli").is_not_null())
        added.append(kept.select("line", "name", "at", "cpu_milli", "memory_bytes", "zone", "pods"))
    yield pl.concat(added).sort("at", "line").unique("name", keep="first", maintain_order=True)
