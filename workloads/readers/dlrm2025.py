"""Alibaba's trace of GPU-disaggregated recommendation serving, 2025: CPU, memory, GPU, RDMA, disk, instances per node.

Units by the publisher's README: vCPUs, GiB, percent of one RDMA NIC's bandwidth, seconds since the trace began. An
empty creation time means that the instance was there before, an empty deletion time that it outlived the trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import polars as pl

from workloads.lint import Lint
from workloads.readers.text import table
from workloads.rows import GIB, SECOND_NS, Rows
from workloads.table import FOREVER, Provenance

RDMA = "koordinator.sh/rdma"
"""Resource: percent of an RDMA device (Koordinator, device-share)."""

DISK = "ephemeral-storage"
"""Kubernetes' resource for local disk, bytes."""

ROLE = "alibaba.com/role"
"""Node label that the node selector of every instance names: CN (CPU node) or HN (heterogeneous GPU node)."""

PROVENANCE = Provenance(
    source="Alibaba cluster-trace-gpu-v2025 (disaggregated DLRM): 23,871 instances of 156 services",
    licence="none stated by the publisher; cite the paper",
    url="https://github.com/alibaba/clusterdata/tree/master/cluster-trace-gpu-v2025",
    citation="Yang et al., GPU-Disaggregated Serving for Deep Learning Recommendation Models at Scale, NSDI 2025",
    changes=(
        "limits are dropped; requests count",
        "the publisher gives no node list; a role becomes a node selector",
        "max_instance_per_node counts instances of one app and role",
    ),
)

Since: TypeAlias = Literal["creation", "scheduled"]

_REQUESTS = ("cpu_request", "gpu_request", "rdma_request", "memory_request", "disk_request")
_LIMITS = ("cpu_limit", "gpu_limit", "rdma_limit", "memory_limit")
_TIMES = ("creation_time", "scheduled_time", "deletion_time")


def sniff(name: str, head: str) -> bool:
    return head.startswith("instance_sn,role,app_name,")


def pods(
    path: Path, lint: Lint, *, lifetime_from: Since = "creation", select_role: bool = True
) -> Iterator[pl.DataFrame]:
    """`lifetime_from`: as in openb. `select_role`: keep each role on its own kind of node, by a node selector."""
    required = ("instance_sn", "role", "app_name", *_REQUESTS, "max_instance_per_node", *_TIMES)
    for frame in table(path, required, _LIMITS, lint):
        rows = Rows(frame, lint)
        rows["name"] = rows.text("instance_sn")
        role = rows.word("role", ["CN", "HN"])
        app = rows.text("app_name")
        rows["app"] = app + "-" + role.str.to_lowercase()
        rows["cpu_milli"] = rows.integer("cpu_request", unit=1000)
        rows["memory_bytes"] = rows.integer("memory_request", unit=GIB)
        rows["gpu_count"] = rows.integer("gpu_request", most=1024)
        rows["gpu_milli"] = pl.when(pl.col("gpu_count") > 0).then(1000).otherwise(0).cast(pl.Int64)
        rows[f"extra.{RDMA}"] = rows.integer("rdma_request", most=10**6)
        rows[f"extra.{DISK}"] = rows.integer("disk_request", unit=GIB)
        limit = rows.integer("max_instance_per_node", least=-1, most=10**6)
        rows["max_per_node"] = pl.select(pl.when(limit > 0).then(limit).otherwise(0)).to_series()
        rows["node_selector"] = ROLE + "=" + role if select_role else pl.lit("")
        _limits(rows)
        created = rows.integer("creation_time", unit=SECOND_NS, empty="null")
        deleted = rows.integer("deletion_time", unit=SECOND_NS, empty="null")
        scheduled = rows.integer("scheduled_time", unit=SECOND_NS, empty="null")
        rows.lifetimes(created, deleted, start_column="creation_time", end_column="deletion_time")
        if lifetime_from == "scheduled":
            ran = deleted - scheduled.fill_null(created).fill_null(0)
            rows.flag("ends-before-start", ran < 0, "at least scheduled_time", column="deletion_time")
            rows["duration_ns"] = ran.fill_null(FOREVER)
        yield rows.pods()


def _limits(rows: Rows) -> None:
    """In this trace a limit is the request (but for disk, whose limit is documented to be larger)."""
    for column in _LIMITS:
        request = rows[column.replace("limit", "request")].cast(pl.Float64, strict=False)
        limit = rows[column].cast(pl.Float64, strict=False)
        rows.flag("limit-differs", (limit != request).fill_null(False), "the request", column=column)
