"""A record's pods over time: pending, running, allocated; as step curves ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

POINTS = 600
"""Most points of a curve: more than a screen has columns cannot be seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A quantity that holds `y[i]` from `x[i]` (seconds) on."""

    name: str
    x: Float64
    y: Float64


def over_time(pods: Any, until_ns: int) -> dict[str, Steps]:
    """By title; `pods`: the frame of pods.parquet; ends at `until_ns`."""
    times = {name: pods[name].to_numpy() for name in ("created_ns", "bound_ns", "running_ns", "ended_ns", "gone_ns")}
    gone = np.where(times["ended_ns"] >= 0, times["ended_ns"], times["gone_ns"])
    out = {
        "pods pending": _between(times["created_ns"], _first(times["bound_ns"], gone), None, 1.0, until_ns),
        "pods running": _between(times["running_ns"], gone, None, 1.0, until_ns),
    }
    for title, column, unit in (("CPU cores allocated", "cpu_milli", 1e3), ("GPUs allocated", "gpu_milli", 1e3)):
        amounts = pods[column].to_numpy() if column in pods.columns else np.zeros(len(pods), dtype=np.int64)
        if amounts.any():
            out[title] = _between(times["bound_ns"], gone, amounts, unit, until_ns)
    return {title: Steps(title, x, y) for title, (x, y) in out.items() if len(x) > 1}


def _first(one: Int64, other: Int64) -> Int64:
    """The earlier of two instants, either of which may be -1 (never)."""
    never = np.iinfo(np.int64).max
    least: Int64 = np.minimum(np.where(one < 0, never, one), np.where(other < 0, never, other))
    return np.where(least == never, -1, least)


def _between(start: Int64, end: Int64, amounts: Int64 | None, unit: float, until_ns: int) -> tuple[Float64, Float64]:
    """The sum of `amounts` (1 each for None) of what has started and not ended."""
    begun = start >= 0
    ended = begun & (end >= 0)
    weight = np.ones(len(start), dtype=np.int64) if amounts is None else amounts
    at = np.concatenate((start[begun], end[ended]))
    change = np.concatenate((weight[begun], -weight[ended]))
    order = np.argsort(at, kind="stable")
    at, level = at[order], np.cumsum(change[order])
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.zeros(0, dtype=np.bool_)
    at, level = at[last], level[last]  # one value an instant
    at, level = np.append(np.insert(at, 0, 0), max(until_ns, int(at[-1]) if len(at) else 0)), np.insert(level, 0, 0)
    level = np.append(level, level[-1])
    return _thinned(at / 1e9, level / unit)


def _thinned(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """At most about POINTS points: the first, the lowest and the highest of each stretch."""
    if len(x) <= POINTS:
        return x, y
    edges = np.linspace(0, len(x), POINTS // 3 + 1).astype(np.int64)
    keep: set[int] = {0, len(x) - 1}
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        keep |= {low, low + int(np.argmin(y[low:high])), low + int(np.argmax(y[low:high]))}
    chosen = np.array(sorted(keep))
    return x[chosen], y[chosen]
