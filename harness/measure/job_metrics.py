"""Measures over the jobs of a run: over all jobs, and by user, queue and priority class.

What is not complete at the end counts to the end and marks a number as a lower bound; its deadline is not met.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from harness.measure.accounting import DIMENSIONS, NOBODY, Account
from harness.measure.fairness import Hold, Step, dominant_share, finish_time_fairness
from harness.measure.job_lives import JobRow
from harness.measure.jobs import UNFAIR_RHO, bounded_slowdown, jain
from harness.measure.pods import NEVER, seconds
from harness.measure.tasks import ENDLESS

Holds = Sequence[tuple[Account, Hold]]


# size: what the measures are made of, and the window.
def job_metrics(
    rows: Sequence[JobRow],
    holds: Holds,
    steps: Sequence[Step],
    capacity: Sequence[int],
    since_ns: int,
    until_ns: int,
) -> dict[str, Any]:
    """By family; empty without jobs. `holds`: of every pod, whose it is. `steps`: what the cluster had; `capacity`: of
    all nodes that there are or may be, as the workload's bound takes it."""
    out: dict[str, Any] = {}
    if rows:
        out["jobs"] = _of_jobs(rows, until_ns)
    fairness: dict[str, Any] = {}
    for index, (dimension, family) in enumerate(DIMENSIONS.items()):
        if not any(account[index] for account, _ in holds) and not any(row.account[index] for row in rows):
            continue
        jobs = _grouped((row.account[index], row) for row in rows)
        held = _grouped((account[index], hold) for account, hold in holds)
        rho = finish_time_fairness({name: of for name, of in jobs.items() if name != NOBODY}, capacity, until_ns)
        values: dict[str, Any] = {}
        for name in sorted({*jobs, *held}):
            of = [hold for hold in held.get(name, ()) if hold.bound_ns != NEVER]
            mine = _of_jobs(jobs[name], until_ns) if name in jobs else {}
            found = [rho[job.job] for job in jobs.get(name, ()) if job.job in rho]
            if found:
                mine["rho"] = _least_known({"mean": _mean(found), "worst": max(value for value, _ in found)}, found)
            values[name] = {**mine, "dominantShare": dominant_share(of, steps, since_ns, until_ns)}
        out[family] = values
        if len(values.keys() - {NOBODY}) > 1:
            fairness[dimension] = _fairness(values, list(rho.values()))
    if fairness:
        out["fairness"] = fairness
    return out


T = TypeVar("T")


def _grouped(items: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    out: dict[str, list[T]] = {}
    for name, item in items:
        out.setdefault(name or NOBODY, []).append(item)
    return out


def _fairness(values: Mapping[str, Any], rho: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    named = [value for name, value in values.items() if name != NOBODY]
    out: dict[str, Any] = {"count": len(named), "jainDominantShare": jain([value["dominantShare"] for value in named])}
    if rho:
        late = any(late for _, late in rho)
        if not late:  # of lower bounds it may be anything
            out["jainRho"] = jain([1 / value["rho"]["mean"] for value in named if "rho" in value])
        out["worstRho"] = max(value for value, _ in rho)
        out["unfairShare"] = sum(value > UNFAIR_RHO for value, _ in rho) / len(rho)
        if late:
            out["atLeast"] = ["worstRho", "unfairShare"]
    return out


def _of_jobs(rows: Sequence[JobRow], until_ns: int) -> dict[str, Any]:
    done = [row for row in rows if row.completed_ns != NEVER]
    open_ = [row for row in rows if row.completed_ns == NEVER]
    out: dict[str, Any] = {"count": len(rows), "censored": len(open_)}
    out["completionSeconds"] = seconds(
        _ns([row.completed_ns - row.arrival_ns for row in done]),
        _ns([max(0, until_ns - row.arrival_ns) for row in open_]),
    )
    begun = [row.started_ns - row.arrival_ns for row in rows if row.started_ns != NEVER]
    out["waitSeconds"] = seconds(
        _ns(begun), _ns([max(0, until_ns - row.arrival_ns) for row in rows if row.started_ns == NEVER])
    )
    first = min(row.arrival_ns for row in rows)
    last = until_ns if open_ else max(row.completed_ns for row in rows)
    out["makespanSeconds"] = (last - first) / 1e9
    if open_:
        out["atLeast"] = ["makespanSeconds"]
    slow = [
        (bounded_slowdown(((until_ns if late else row.completed_ns) - row.arrival_ns) / 1e9, row.alone_ns / 1e9), late)
        for row in rows
        if row.alone_ns != ENDLESS
        for late in (row.completed_ns == NEVER,)
    ]
    if slow:
        out["boundedSlowdown"] = _least_known({"mean": _mean(slow), "worst": max(value for value, _ in slow)}, slow)
    out |= _deadlines(rows, until_ns) | _work(rows)
    return out


def _ns(values: Sequence[int]) -> Any:
    return np.array(values, dtype=np.int64)


def _mean(values: Sequence[tuple[float, bool]]) -> float:
    return math.fsum(value for value, _ in values) / len(values)


def _least_known(numbers: dict[str, Any], values: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    return {**numbers, "atLeast": list(numbers)} if any(late for _, late in values) else numbers


def _deadlines(rows: Sequence[JobRow], until_ns: int) -> dict[str, Any]:
    with_one = [row for row in rows if row.deadline_ns]
    if not with_one:
        return {}
    met = sum(row.completed_ns != NEVER and row.completed_ns <= row.arrival_ns + row.deadline_ns for row in with_one)
    ahead = sum(row.completed_ns == NEVER and row.arrival_ns + row.deadline_ns > until_ns for row in with_one)
    return {"deadlines": {"count": len(with_one), "metShare": met / len(with_one), "ahead": ahead}}


def _work(rows: Sequence[JobRow]) -> dict[str, Any]:
    """Goodput: what pods that succeeded have worked, and what was lost with those that ended otherwise."""
    out: dict[str, Any] = {"interruptedPods": sum(row.interrupted for row in rows)}
    for name, asks in (("cpu", "cpu_milli"), ("gpu", "gpu_milli")):
        if not any(getattr(row, asks) for row in rows):
            continue
        work = math.fsum(getattr(row, f"work_{name}_hours") for row in rows)
        lost = math.fsum(getattr(row, f"lost_{name}_hours") for row in rows)
        out.setdefault("workHours", {})[name] = work
        out.setdefault("lostHours", {})[name] = lost
        if work + lost:
            out.setdefault("goodputShare", {})[name] = work / (work + lost)
    return out
