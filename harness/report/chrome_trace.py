"""A run as a trace in Chrome's format: nodes as processes, pods as slices; opens in Perfetto and chrome://tracing.

Source: "Trace Event Format" (Google, catapult project): complete events X, counters C, instants i, metadata M; times in
microseconds.
"""

from __future__ import annotations

from typing import Any

from harness.measure.pods import NEVER
from harness.report.figure_data import RunData
from harness.report.lanes import lanes
from harness.report.series import over_time

_CLUSTER = 0
"""Process number of whatever does not belong to one node."""

_STAGES = (("starting", "bound_ns", "running_ns"), ("becoming ready", "running_ns", "ready_ns"))


def trace(run: RunData) -> dict[str, Any]:
    """The JSON object format."""
    pods = run.pods
    end_ns = round(run.until_s * 1e9)
    events: list[dict[str, Any]] = [_named("process_name", _CLUSTER, 0, "cluster")]
    rows = [row for row in pods.iter_rows(named=True) if row["bound_ns"] != NEVER and row["node"]]
    by_node: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_node.setdefault(row["node"], []).append(row)
    for number, node in enumerate(sorted(by_node), start=1):
        events.append(_named("process_name", number, 0, node))
        placed = lanes([(row["bound_ns"], _end(row, end_ns), row) for row in by_node[node]])
        for lane, begin, end, row in placed[1]:
            about = {
                "phase": row["phase"],
                "milliCPU": row["cpu_milli"],
                "milliGPU": row["gpu_milli"],
                "memoryBytes": row["memory_bytes"],
                "waitedSeconds": (row["bound_ns"] - row["created_ns"]) / 1e9,
            }
            events.append(_slice(row["key"], row["owner"] or "pod", number, lane, begin, end, about))
            for stage, since, until in _STAGES:
                if row[since] != NEVER and row[until] != NEVER and row[until] > row[since]:
                    events.append(_slice(stage, "stage", number, lane, row[since], min(row[until], end), {}))
    for title, steps in over_time(pods, end_ns).items():
        for x, y in zip(steps.x.tolist(), steps.y.tolist(), strict=True):
            at = {"ph": "C", "pid": _CLUSTER, "tid": 0, "ts": x * 1e6}
            events.append({"name": title, "cat": "cluster", **at, "args": {title: y}})
    for at_s, what in run.faults:
        at = {"ph": "i", "s": "g", "pid": _CLUSTER, "tid": 0, "ts": at_s * 1e6}
        events.append({"name": what, "cat": "fault", **at})
    about = {"scenario": run.result.scenario, "scheduler": run.result.scheduler, "seed": run.result.seed}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}


def _end(row: dict[str, Any], end_ns: int) -> int:
    return int(min([row[name] for name in ("ended_ns", "gone_ns") if row[name] != NEVER] + [end_ns]))


def _named(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "ts": 0, "args": {"name": name}}


# size: what a slice consists of.
def _slice(
    name: str, kind: str, pid: int, tid: int, begin_ns: int, end_ns: int, args: dict[str, Any]
) -> dict[str, Any]:
    at = {"ph": "X", "pid": pid, "tid": tid, "ts": begin_ns / 1e3, "dur": max(end_ns - begin_ns, 0) / 1e3}
    return {"name": name, "cat": kind.partition("/")[0], **at, "args": args}
