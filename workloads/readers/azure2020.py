"""Azure Traces for Packing 2020: VM requests and VM types in an SQLite file, resources as fractions of a machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl

from harness.model.errors import UserError, did_you_mean
from workloads.lint import Lint
from workloads.rows import NORMALISED_CPU_MILLI, NORMALISED_MEMORY_BYTES, SECOND_NS, Rows
from workloads.table import NodeTable, Provenance

DAY_NS = 86_400 * SECOND_NS
MILLIONTHS = 1_000_000
EXTRA = ("hdd", "ssd", "nic")
RESOURCE = "azure.com/{}-millionths"
"""Extended resources: millionths of the machine's."""

PROVENANCE = Provenance(
    source="Azure Traces for Packing 2020: VM requests of one zone over 14 days, lifetimes up to 90 days",
    licence="CC-BY-4.0",
    url="https://github.com/Azure/AzurePublicDataset/blob/master/AzureTracesForPacking2020.md",
    citation="Hadary et al., Protean: VM Allocation Service at Scale, OSDI 2020",
    changes=(
        "a VM becomes a pod, its tenant the owner; priority 0 (high) becomes 1, priority 1 (low) becomes 0",
        "one whole machine is 1000 CPUs and 1 TiB",
    ),
)

_VM = ("vmId", "tenantId", "vmTypeId", "priority", "starttime", "endtime")
_TYPE = ("vmTypeId", "machineId", "core", "memory", *EXTRA)
_ROWS = 1 << 17


def sniff(name: str, head: str) -> bool:
    return head.startswith("SQLite format 3")


def pods(path: Path, lint: Lint, *, machine: str | None = None) -> Iterator[pl.DataFrame]:
    """VMs that run on one machine type: `machine`, or the one that suits most requests (the smallest id among equals).

    A VM type has other fractions on another machine type, and a pod has one request; VMs of types that the chosen
    machine does not offer are counted and left out.
    """
    with closing(_opened(path)) as db:
        try:
            yield from _pods(db, path, lint, machine)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # names of columns are decoded strictly
            raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        "the SQLite file cannot be read",
        file=path,
        found=str(error),
        expected=f"tables vm({', '.join(_VM)}) and vmType({', '.join(_TYPE)})",
        hint="a cut-off or compressed file cannot be opened: unpack it, or get it again",
    )


def _opened(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        db.text_factory = lambda raw: raw.decode(errors="replace")
        for name, columns in (("vm", _VM), ("vmType", _TYPE)):
            found = {row[1].lower() for row in db.execute(f"PRAGMA table_info({name})")}
            missing = [column for column in columns if column.lower() not in found]
            if missing:
                raise UserError(
                    f"table {name} has no column {missing[0]!r}" if found else f"table {name} is missing",
                    file=path,
                    found=", ".join(sorted(found)) or "no such table",
                    expected=", ".join(columns),
                    hint=did_you_mean(missing[0], found) or "`podyard trace fetch azure2020` tells where to get it",
                )
    except (sqlite3.Error, UnicodeDecodeError) as error:  # names of columns are decoded strictly
        raise _damaged(path, error) from None
    return db


def _pods(db: sqlite3.Connection, path: Path, lint: Lint, machine: str | None) -> Iterator[pl.DataFrame]:
    if machine is None:
        machine = _busiest(db, path)
    types = _types(db, lint, path, machine)
    query = ", ".join(f"CAST({column} AS TEXT)" for column in _VM)
    cursor = db.execute(f"SELECT rowid, {query} FROM vm ORDER BY rowid")
    schema = {"line": pl.Int64, **dict.fromkeys(_VM, pl.String)}
    while batch := cursor.fetchmany(_ROWS):
        lint.rows += len(batch)
        yield _block(pl.DataFrame(batch, schema=schema, orient="row"), types, machine, lint)


def _block(frame: pl.DataFrame, types: pl.DataFrame, machine: str, lint: Lint) -> pl.DataFrame:
    joined = frame.join(types, on="vmTypeId", how="left", maintain_order="left")
    rows = Rows(joined, lint)
    rows["name"] = "vm-" + rows.text("vmId")
    rows["app"] = "tenant-" + rows.text("tenantId")
    rows["user"] = rows["app"]
    rows["priority"] = 1 - rows.integer("priority", most=1)
    rows.flag("type-not-on-machine", rows["cpu_milli"].is_null(), f"a type of machine {machine}", column="vmTypeId")
    start = rows.integer("starttime", unit=DAY_NS, least=None)
    end = rows.integer("endtime", unit=DAY_NS, least=None, empty="null")
    rows.lifetimes(start, end, start_column="starttime", end_column="endtime")
    return rows.pods()


def _busiest(db: sqlite3.Connection, path: Path) -> str:
    row = db.execute(
        "SELECT CAST(t.machineId AS TEXT), SUM(n) FROM (SELECT vmTypeId, COUNT(*) AS n FROM vm GROUP BY vmTypeId) AS v "
        "JOIN (SELECT DISTINCT vmTypeId, machineId FROM vmType) AS t ON t.vmTypeId = v.vmTypeId "
        "GROUP BY t.machineId ORDER BY SUM(n) DESC, t.machineId LIMIT 1"
    ).fetchone()
    if row is None:
        raise UserError("no VM has a type that some machine offers", file=path, expected="rows in vm and vmType")
    return str(row[0])


def _types(db: sqlite3.Connection, lint: Lint, path: Path, machine: str) -> pl.DataFrame:
    query = ", ".join(f"CAST({column} AS TEXT)" for column in _TYPE)
    where = "CAST(machineId AS TEXT) = ?"
    found = db.execute(f"SELECT rowid, {query} FROM vmType WHERE {where} ORDER BY rowid", (machine,))
    schema = {"line": pl.Int64, **dict.fromkeys(_TYPE, pl.String)}
    frame = pl.DataFrame(found.fetchall(), schema=schema, orient="row")
    if not frame.height:
        known = [str(row[0]) for row in db.execute("SELECT DISTINCT machineId FROM vmType ORDER BY machineId LIMIT 20")]
        raise UserError(f"no machine {machine!r}", file=path, expected=f"one of {', '.join(known)}")
    rows = Rows(frame, lint)
    rows["cpu_milli"] = rows.integer("core", unit=NORMALISED_CPU_MILLI)
    rows["memory_bytes"] = rows.integer("memory", unit=NORMALISED_MEMORY_BYTES)
    for column in EXTRA:
        amounts = rows.integer(column, unit=MILLIONTHS, empty="null").fill_null(0)
        rows[f"extra.{RESOURCE.format(column)}"] = amounts
    twice = ~rows["vmTypeId"].is_first_distinct()
    rows.flag("duplicate-name", twice, "each VM type once a machine", column="vmTypeId")
    extra = [column for column in rows.frame.columns if column.startswith("extra.")]
    return rows.good().select("vmTypeId", "cpu_milli", "memory_bytes", *extra)


def machines(count: int, pods_per_node: int = 1001) -> NodeTable:
    """`count` whole machines in the trace's own unit."""
    return NodeTable.of(
        [f"machine-{at:05d}" for at in range(count)],
        cpu_milli=NORMALISED_CPU_MILLI,
        memory_bytes=NORMALISED_MEMORY_BYTES,
        pods=pods_per_node,
        extra={RESOURCE.format(column): MILLIONTHS for column in EXTRA},
        provenance=Provenance("whole machines of the Azure packing trace's unit"),
    )
