"""The most that can have been allocated over a window: what came, how long each runs, and what fits at each instant.

Whatever a schedule does, and whenever it does it: in any part S of the window it has at most what fits on the nodes of
all that has come by then (`Curve`), and outside S no pod holds more than its value for as long as it runs and is there.
So its average is at most

    (integral of the curve over S + sum_p value_p min(runs_p, time outside S from p's arrival on)) / window

for every S: the minimum cut of the fluid problem, of which intervals S are tried. It belongs to the workload and the
nodes alone: queues, orders and strategies do not occur in it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness.measure.bound.curve import Curve
from harness.measure.bound.instance import Int64

Float64 = npt.NDArray[np.float64]

GRID = 48
"""Ends of intervals that are tried; fewer for many pods, so that it stays below a second."""

CELLS = 20_000_000

BLOCK = 20_000
"""Pods times ends that are looked at in one go."""


def most_over(curve: Curve, begin_ns: Int64, runs_ns: Int64, value: Int64, since_ns: int, until_ns: int) -> float:
    """The bound on the time average from `since_ns` to `until_ns`, in the curve's unit.

    `begin_ns`, `runs_ns` (-1: for ever), `value`: of each pod, int64 [pods]; the curve counts pods from their begin on
    and never lets them go. Error: ValueError for an empty window.
    """
    if until_ns <= since_ns:
        raise ValueError(f"nothing lasts from {since_ns} ns to {until_ns} ns")
    inside = begin_ns < until_ns
    begin = np.maximum(begin_ns[inside], since_ns)
    runs = np.where(runs_ns[inside] < 0, until_ns - begin, runs_ns[inside])
    worth = value[inside]
    size = max(6, min(GRID, math.isqrt(2 * CELLS // max(len(begin), 1))))
    ends = np.unique(
        np.concatenate(
            [
                np.linspace(since_ns, until_ns, size, dtype=np.int64),
                np.quantile(begin, np.linspace(0, 1, size)).astype(np.int64) if len(begin) else begin,
            ]
        )
    )
    area = _areas(curve, ends, since_ns)
    best = (math.inf, 0, 0)
    rows = max(1, BLOCK // max(len(begin), 1))
    for i, start in enumerate(ends.tolist()):
        before = np.maximum(start - begin, 0)
        for j in range(i, len(ends), rows):
            some = ends[j : j + rows, None]
            outside = before + (until_ns - np.maximum(begin, some))
            total = area[j : j + rows] - area[i] + np.minimum(runs, outside).astype(np.float64) @ worth
            least = int(total.argmin())
            if total[least] < best[0]:
                best = (float(total[least]), start, int(some[least, 0]))
    _, start, end = best
    # The best cut again in whole numbers: a sum of floats may come out too low.
    cut = _exact(curve, start, end)
    for at, lasts, amount in zip(begin.tolist(), runs.tolist(), worth.tolist(), strict=True):
        outside_ns = max(start - at, 0) + until_ns - max(at, end)
        cut += amount * min(lasts, outside_ns)
    return cut / (until_ns - since_ns)


def _areas(curve: Curve, ends: Int64, since_ns: int) -> Float64:
    """The curve's integral from `since_ns` to each of `ends`."""
    at = np.maximum(curve.at_ns, since_ns).astype(np.float64)
    steps = np.concatenate([[0.0], np.cumsum(np.diff(at) * curve.value[:-1])])
    index = np.searchsorted(curve.at_ns, ends, side="right") - 1
    known = np.maximum(index, 0)
    return np.where(index < 0, 0.0, steps[known] + (ends - at[known]) * curve.value[known])


def _exact(curve: Curve, start: int, end: int) -> int:
    total = 0
    at = [*curve.at_ns.tolist(), max(end, int(curve.at_ns[-1]))]
    for index, value in enumerate(curve.value.tolist()):
        total += value * max(0, min(at[index + 1], end) - max(at[index], start))
    return total
