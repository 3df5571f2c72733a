"""Alibaba's GPU trace of 2023 ("openb"): pod and node lists in CSV, times in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from harness.model.errors import UserError
from workloads.lint import Lint
from workloads.readers.text import header, table
from workloads.rows import SECOND_NS, Rows
from workloads.table import FOREVER, Provenance

MIB = 1 << 20

PROVENANCE = Provenance(
    source="Alibaba cluster-trace-gpu-v2023 (openb): 8152 tasks, 1523 nodes, 6212 GPUs",
    licence="none stated by the publisher; free for research, cite the paper",
    url="https://github.com/alibaba/clusterdata/tree/master/cluster-trace-gpu-v2023/csv",
    citation="Weng et al., Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient "
    "Descent, USENIX ATC 2023",
    changes=("qos and pod_phase are dropped",),
)

Mode: TypeAlias = Literal["departures", "fill"]
Since: TypeAlias = Literal["creation", "scheduled"]

POD_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
TIME_COLUMNS = ("creation_time", "deletion_time", "scheduled_time")
NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu")


def sniff(name: str, head: str) -> bool:
    return head.startswith(("name,cpu_milli,memory_mib,num_gpu,gpu_milli", "sn,cpu_milli,memory_mib,gpu"))


def pods(
    path: Path, lint: Lint, *, mode: Mode = "departures", lifetime_from: Since = "creation", gap_ns: int = SECOND_NS
) -> Iterator[pl.DataFrame]:
    """`departures`: arrivals at creation_time, lifetimes up to deletion_time. `fill`: the rows as they come, one each
    `gap_ns`, for good. `lifetime_from`: whether a lifetime counts from creation or from where the original cluster
    had scheduled it. Raises UserError where a list has no times but departures are asked for.
    """
    if mode == "departures":
        missing = [column for column in TIME_COLUMNS[:2] if column not in header(path)]
        if missing:
            raise UserError(
                f"column {missing[0]!r} is missing, so there are no departures to replay",
                file=path,
                line=1,
                found=", ".join(header(path)),
                expected=", ".join(TIME_COLUMNS[:2]),
                hint="mode: fill replays the list without departures",
            )
    row = 0
    last = _LastInstant()
    for frame in table(path, POD_COLUMNS, ("gpu_spec", *TIME_COLUMNS), lint):
        rows = Rows(frame, lint)
        rows["name"] = rows.text("name")
        rows["cpu_milli"] = rows.integer("cpu_milli")
        rows["memory_bytes"] = rows.integer("memory_mib", unit=MIB)
        rows["gpu_count"] = rows.integer("num_gpu", most=1024)
        rows["gpu_milli"] = rows.integer("gpu_milli", most=10**6)
        rows["gpu_models"] = rows.text("gpu_spec", empty="null").fill_null("")
        match mode:
            case "fill":
                rows["arrival_ns"] = pl.int_range(row, row + frame.height, dtype=pl.Int64) * gap_ns
                rows["duration_ns"] = pl.lit(FOREVER, pl.Int64)
                row += frame.height
            case "departures":
                _times(rows, lifetime_from, last)
        yield rows.pods()
    last.note(lint)


def _times(rows: Rows, lifetime_from: Since, last: _LastInstant) -> None:
    created = rows.integer("creation_time", unit=SECOND_NS)
    deleted = rows.integer("deletion_time", unit=SECOND_NS, empty="null")
    scheduled = rows.integer("scheduled_time", unit=SECOND_NS, empty="null")
    rows.flag("never-started", scheduled.is_null(), "an instant", column="scheduled_time")
    rows.lifetimes(created, deleted, start_column="creation_time", end_column="deletion_time")
    last.see(rows, deleted)
    if lifetime_from == "scheduled":
        ran = deleted - scheduled.fill_null(created)
        rows.flag("ends-before-start", ran < 0, "at least scheduled_time", column="deletion_time")
        rows["duration_ns"] = ran.fill_null(FOREVER)


class _LastInstant:
    """Counts the pods that end together at the trace's last instant: they outlived it."""

    def __init__(self) -> None:
        self.at = -1
        self.count = 0
        self.line = 0

    def see(self, rows: Rows, ends: pl.Series) -> None:
        at = ends.max()
        if not isinstance(at, int) or at < self.at:
            return
        these = rows.frame.filter(ends == at)
        if at > self.at:
            self.at, self.count, self.line = at, 0, int(these["line"][0])
        self.count += these.height

    def note(self, lint: Lint) -> None:
        if self.count > 1:
            found = f"{self.count} pods end at {self.at // SECOND_NS} s, the last instant"
            lint.note_all("lifetime-cut", [(self.line, found)], self.count, "an earlier end", column="deletion_time")


def nodes(path: Path, lint: Lint, *, cpu_nodes: bool = True, pods_per_node: int = 1001) -> Iterator[pl.DataFrame]:
    """The node list. `cpu_nodes`: nodes without GPUs, too. `pods_per_node`: the published cluster says 1001."""
    for frame in table(path, NODE_COLUMNS, ("model",), lint):
        rows = Rows(frame, lint)
        rows["name"] = rows.text("sn")
        rows["cpu_milli"] = rows.integer("cpu_milli")
        rows["memory_bytes"] = rows.integer("memory_mib", unit=MIB)
        rows["gpu_count"] = rows.integer("gpu", most=1024)
        rows["gpu_model"] = rows.text("model", empty="null").fill_null("")
        rows["pods"] = pl.lit(pods_per_node, pl.Int64)
        good = rows.good()
        yield good if cpu_nodes else good.filter(pl.col("gpu_count") > 0)
