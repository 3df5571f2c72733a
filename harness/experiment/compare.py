"""Strategies held against a first one on the same seeds: which measures differ, by how much, and what can be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.experiment.result import Result
from harness.measure.statistics import Paired, holm, paired
from harness.model.errors import UserError, did_you_mean


@dataclass(frozen=True, slots=True)
class Measure:
    """`path`: in a run's metrics, '*' for any one service. `more`: 1 where more is better, -1 where less is, else 0."""

    name: str
    path: str
    more: int
    scale: float = 1.0


KNOWN = (
    Measure("pods placed", "placement.podsBound", 1),
    Measure("CPU allocated, mean %", "placement.allocation.cpu", 1, 100),
    Measure("memory allocated, mean %", "placement.allocation.memory", 1, 100),
    Measure("GPU allocated, mean %", "placement.allocation.gpu", 1, 100),
    Measure("GPU allocated at 130 % load, %", "filling.130.allocated", 1),
    Measure("gap to the proven bound, %", "placement.bound.gap", -1, 100),
    Measure("GPU fragmentation, % of idle", "placement.fragmentation.shareOfIdle", -1, 100),
    Measure("nodes used, mean", "placement.nodesUsed", -1),
    Measure("wait for a node, median s", "placement.pendingSeconds.p50", -1),
    Measure("wait for a node, p99 s", "placement.pendingSeconds.p99", -1),
    Measure("until capacity was there, mean s", "autoscaling.*.responseSeconds.mean", -1),
    Measure("under-provisioned, % of time", "autoscaling.*.underTimeshare", -1),
    Measure("requests lost, %", "requests.*.lostShare", -1, 100),
    Measure("until the last pod hit serves, s", "recovery.*.phases.serving.last", -1),
)
"""What is compared when nothing else is asked for, as far as the runs have it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one strategy against the base, over the seeds that both have it for."""

    measure: Measure
    base: str
    other: str
    variables: dict[str, str]
    found: Paired

    @property
    def verdict(self) -> str:
        found, more = self.found, self.measure.more
        if math.isnan(found.p):
            return "one seed: nothing can be said"
        if found.equal:
            return "equal on every seed"
        if found.negligible:
            return "equal within 0.1 %"
        if not found.differs:
            return "no difference found"
        if not more:
            return "they differ"
        return f"{self.other if found.mean * more > 0 else self.base} is better"

    def to_data(self) -> dict[str, Any]:
        found = self.found

        def number(value: float) -> float | None:
            return None if math.isnan(value) else value

        return {
            "metric": self.measure.name,
            "path": self.measure.path,
            **({"variables": self.variables} if self.variables else {}),
            "base": self.base,
            "other": self.other,
            "seeds": found.n,
            "baseMean": found.base,
            "otherMean": found.other,
            "difference": found.mean,
            "low": number(found.low),
            "high": number(found.high),
            "p": number(found.p),
            "verdict": self.verdict,
        }


def measures_of(paths: Sequence[str]) -> tuple[Measure, ...]:
    """Those asked for by path, as in gates; what is known brings its name, unit and direction along."""
    known = {item.path: item for item in KNOWN}
    return tuple(known.get(path, Measure(path, path, 0)) for path in paths)


def compare(results: Sequence[Result], schedulers: Sequence[str], measures: Sequence[Measure]) -> list[Row]:
    """Every later strategy against the first, by measure and value of the variables; verdicts hold together.

    Raises UserError for a measure that was asked for and is in no run.
    """
    groups: dict[tuple[tuple[str, str], ...], dict[str, dict[int, Result]]] = {}
    for result in results:
        group = groups.setdefault(tuple(result.variables.items()), {})
        group.setdefault(result.scheduler, {})[result.seed] = result
    base = schedulers[0]
    rows: list[Row] = []
    for variables, by_scheduler in groups.items():
        for other in schedulers[1:]:
            ours, theirs = by_scheduler.get(base, {}), by_scheduler.get(other, {})
            both = [seed for seed in ours if seed in theirs]
            for measure in measures:
                pairs = [(value_of(ours[seed], measure), value_of(theirs[seed], measure)) for seed in both]
                known = [(a, b) for a, b in pairs if a is not None and b is not None]
                if known:
                    found = paired([a for a, _ in known], [b for _, b in known])
                    rows.append(Row(measure, base, other, dict(variables), found))
    if measures is not KNOWN:
        there = {row.measure.path for row in rows}
        for measure in measures:
            if measure.path not in there and results:
                paths = sorted(leaves(results[0].metrics))
                raise UserError(
                    "no run has this metric",
                    found=measure.path,
                    expected="a number in metrics of record.json, as placement.allocation.gpu",
                    hint=did_you_mean(measure.path, paths),
                )
    judged = holm([row.found for row in rows])
    return [Row(r.measure, r.base, r.other, r.variables, f) for r, f in zip(rows, judged, strict=True)]


def value_of(result: Result, measure: Measure) -> float | None:
    """Over what '*' stands for: the mean. None where the run has no such number."""
    found = _numbers(result.metrics, measure.path.split("."))
    return math.fsum(found) / len(found) * measure.scale if found else None


def _numbers(at: Any, parts: list[str]) -> list[float]:
    if not parts:
        return [float(at)] if isinstance(at, int | float) and not isinstance(at, bool) else []
    head, rest = parts[0], parts[1:]
    if head == "*":
        inside = list(at.values()) if isinstance(at, dict) else at if isinstance(at, list) else []
        return [number for item in inside for number in _numbers(item, rest)]
    if isinstance(at, dict):
        return _numbers(at[head], rest) if head in at else []
    if isinstance(at, list) and head.isdecimal() and int(head) < len(at):
        return _numbers(at[int(head)], rest)
    return []


def leaves(at: Any, path: str = "") -> list[str]:
    """The paths of all numbers."""
    if isinstance(at, dict):
        return [leaf for key, value in at.items() for leaf in leaves(value, f"{path}.{key}" if path else str(key))]
    if isinstance(at, list):
        return [leaf for index, value in enumerate(at) for leaf in leaves(value, f"{path}.{index}")]
    return [path] if isinstance(at, int | float) and not isinstance(at, bool) else []
