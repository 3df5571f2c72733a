"""Huawei-East-1: a month of creations and deletions of virtual machines, as CSV events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from workloads.lint import EXAMPLES, Lint
from workloads.readers.text import table
from workloads.rows import GIB, SECOND_NS, Rows, slices
from workloads.table import Provenance

PROVENANCE = Provenance(
    source="Huawei-East-1: 125,430 creations and 116,313 deletions of VMs in 30 days",
    licence="CC-BY-NC-SA",
    url="https://github.com/huaweicloud/VM-placement-dataset/tree/main/Huawei-East-1",
    citation="Sheng et al., VMAgent: Scheduling Simulator for Reinforcement Learning, 2021",
    changes=("a VM becomes a pod", "memory in GB is taken as GiB"),
)

COLUMNS = ("vmid", "cpu", "memory", "time", "type")


def sniff(name: str, head: str) -> bool:
    return {"vmid", "cpu", "memory", "time", "type"} <= set(head.partition("\n")[0].strip().split(","))


def pods(path: Path, lint: Lint) -> Iterator[pl.DataFrame]:
    """One pod a creation (type 0); its deletion (type 1) ends it. Held in memory: some 60 bytes an event."""
    events = pl.concat([_events(frame, lint) for frame in table(path, COLUMNS, (), lint)])
    created = events.filter(pl.col("type") == "0")
    deleted = events.filter(pl.col("type") == "1")
    created = _once(created, "each VM created once", lint)
    deleted = _once(deleted, "each VM deleted once", lint)
    lost = deleted.join(created, on="name", how="anti", maintain_order="left")
    lint.note_all(
        "end-without-start",
        lost.head(EXAMPLES).select("line", "name").iter_rows(),
        lost.height,
        "a creation before it",
        column="vmid",
    )
    both = created.join(deleted.select("name", end="at"), on="name", how="left", maintain_order="left")
    for piece in slices(both):
        rows = Rows(piece, lint)
        rows.lifetimes(piece["at"], piece["end"], start_column="time", end_column="time")
        yield rows.pods()


def _events(frame: pl.DataFrame, lint: Lint) -> pl.DataFrame:
    rows = Rows(frame, lint)
    rows["name"] = "vm-" + rows.text("vmid")
    rows["cpu_milli"] = rows.integer("cpu", unit=1000)
    rows["memory_bytes"] = rows.integer("memory", unit=GIB)
    rows["at"] = rows.integer("time", unit=SECOND_NS)
    rows["type"] = rows.word("type", ["0", "1"])
    return rows.good().select("line", "name", "type", "time", "at", "cpu_milli", "memory_bytes")


def _once(events: pl.DataFrame, expected: str, lint: Lint) -> pl.DataFrame:
    first = events["name"].is_first_distinct()
    again = events.filter(~first)
    found = again.head(EXAMPLES).select("line", "name").iter_rows()
    lint.note_all("duplicate-name", found, again.height, expected, column="vmid")
    return events.filter(first)
