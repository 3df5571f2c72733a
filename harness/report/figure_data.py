"""What figures show, as tidy Polars frames: the same rows that `podyard plot -o csv` writes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.experiment.compare import Row, compare, question
from harness.experiment.record import read_journal, read_record, whole_record
from harness.experiment.result import Result, from_record
from harness.experiment.waterfalls import waterfalls
from harness.measure.catalogue import number_paths
from harness.measure.registry import catalogue
from harness.model.errors import UserError, did_you_mean
from harness.model.times import parse_duration
from harness.report.series import over_time

if TYPE_CHECKING:
    import polars as pl


class RunData:
    """One record, whose files are read when they are needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = read_record(folder)
        self.result: Result = from_record(folder)
        self.until_s = float(self.result.metrics.get("durationSeconds", 0))

    @property
    def name(self) -> str:
        chosen = " ".join(f"{name}={value}" for name, value in self.result.variables.items())
        return f"{self.result.scheduler}{f' {chosen}' if chosen else ''}"

    @cached_property
    def pods(self) -> pl.DataFrame:
        return self._table("pods")

    @cached_property
    def nodes(self) -> pl.DataFrame:
        return self._table("nodes")

    def _table(self, name: str) -> pl.DataFrame:
        from workloads.readers.parquet import read_parquet

        path = self.folder / f"{name}.parquet"
        frame: pl.DataFrame = read_parquet(path, expected=f"the {name} of a record", hint="run the scenario again")
        return frame

    @cached_property
    def journal(self) -> pl.DataFrame:
        frame: pl.DataFrame = read_journal(self.folder)
        return frame

    @property
    def faults(self) -> list[tuple[float, str]]:
        """(seconds, what and to whom)."""
        return [
            (item["atSeconds"], " ".join([item["fault"], *item["targets"][:1]]))
            for item in self.result.metrics.get("recovery", [])
        ]

    @property
    def scarce(self) -> tuple[str, str, float]:
        """(column of amounts, name, amounts in one of it): GPUs where there are some and pods ask, else cores."""
        asked = "gpu_milli" in self.pods.columns and bool((self.pods["gpu_milli"] > 0).any())
        if asked and self.nodes["gpu_milli_capacity"].sum():
            return "gpu_milli", "GPUs", 1e3
        return "cpu_milli", "CPU cores", 1e3


Runs = Sequence[RunData]


@dataclass(frozen=True, slots=True)
class Asked:
    """`measure`: a path of `podyard measures`; '' for GPU allocation of a sweep, the primary measures of a comparison.
    `x`: the variable of a sweep. `base`: the strategy that others are compared with, '' for the first."""

    measure: str = ""
    x: str = ""
    base: str = ""

    @property
    def path(self) -> str:
        """The measure of a sweep."""
        return self.measure or "placement.allocation.gpu"


def allocation(runs: Runs, asked: Asked) -> pl.DataFrame:
    """run, seed, seconds, allocated; mean and proven_most (null where the bound says nothing), resource."""
    rows = []
    for run in runs:
        column, name, _ = run.scarce
        with whole_record(run.folder):
            steps = over_time(run.pods, round(run.until_s * 1e9)).get(f"{name} allocated")
        if steps is None:
            continue
        bound = run.result.metrics["placement"].get("bound", {})
        told = bound if f"{bound.get('resource')}_milli" == column else {}
        mean, most = told.get("allocated"), told.get("most")
        rows += [
            (run.name, run.result.seed, x, y, mean, most, name)
            for x, y in zip(steps.x.tolist(), steps.y.tolist(), strict=True)
        ]
    return _frame(rows, ("run", "seed", "seconds", "allocated", "mean", "proven_most", "resource"))


def waits(runs: Runs, asked: Asked) -> pl.DataFrame:
    """run, seed, pod, wait_seconds (to the end where there was no node), bound."""
    rows = []
    for run in runs:
        for pod, created, bound in run.pods.select("key", "created_ns", "bound_ns").iter_rows():
            end = bound if bound >= 0 else round(run.until_s * 1e9)
            rows.append((run.name, run.result.seed, pod, max(end - created, 0) / 1e9, bound >= 0))
    return _frame(rows, ("run", "seed", "pod", "wait_seconds", "bound"))


_BINS = 240


def nodes(runs: Runs, asked: Asked) -> pl.DataFrame:
    """run, seed, node, seconds, share: what pods hold of the scarcest resource on each node, means over time bins."""
    rows = []
    for run in runs[:1]:
        column, name, _ = run.scarce
        capacity = {row["name"]: row[f"{column}_capacity"] for row in run.nodes.iter_rows(named=True)}
        edges = np.linspace(0, run.until_s, _BINS + 1)
        held = {node: np.zeros(_BINS) for node, amount in capacity.items() if amount}
        width = edges[1] - edges[0] or 1.0
        for pod in run.pods.iter_rows(named=True):
            mine = held.get(pod["node"])
            if mine is None or pod["bound_ns"] < 0 or not pod[column]:
                continue
            begin, end = pod["bound_ns"] / 1e9, _end(pod, run.until_s)
            over = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin), 0, None)
            mine += pod[column] * over / width
        for node, amounts in held.items():
            shares = amounts / capacity[node]
            rows += [
                (run.name, run.result.seed, node, float(edges[i]), float(share), name) for i, share in enumerate(shares)
            ]
    return _frame(rows, ("run", "seed", "node", "seconds", "share", "resource"))


def gantt(runs: Runs, asked: Asked) -> pl.DataFrame:
    """run, seed, node, pod, from_seconds, to_seconds, amount of the scarcest resource, kind of pod."""
    rows = []
    for run in runs[:1]:
        column, _, unit = run.scarce
        for pod in run.pods.iter_rows(named=True):
            if pod["bound_ns"] < 0 or not pod["node"]:
                continue
            kind = pod["key"].rpartition("/")[2].rpartition("-")[0] if pod["owner"] else "bare pods"
            begin, end = pod["bound_ns"] / 1e9, _end(pod, run.until_s)
            rows.append((run.name, run.result.seed, pod["node"], pod["key"], begin, end, pod[column] / unit, kind))
    return _frame(rows, ("run", "seed", "node", "pod", "from_seconds", "to_seconds", "amount", "owner"))


def _end(pod: dict[str, Any], until_s: float) -> float:
    ends = [pod[name] / 1e9 for name in ("ended_ns", "gone_ns") if pod[name] >= 0]
    return float(min([*ends, until_s]))


def replicas(runs: Runs, asked: Asked) -> pl.DataFrame:
    """run, seed, service, line (ready, desired, demand), seconds, replicas; demand: the fewest that meet the SLO."""
    rows: list[tuple[Any, ...]] = []
    for run in runs[:1]:
        ready: dict[str, dict[str, int]] = {}
        scaled: set[str] = set()
        with whole_record(run.folder):
            rows += _demand(run)
            services = {row[2] for row in rows}
            for at, kind, key, data in _written(run, ("EndpointSlice", "HorizontalPodAutoscaler")):
                if kind == "HorizontalPodAutoscaler":
                    if not data[1] and key not in scaled:
                        continue  # it has not looked yet
                    scaled.add(key)
                    rows.append((run.name, run.result.seed, key, "desired", at / 1e9, float(data[1])))
                    continue
                service = next((name for name in services if key.startswith(name)), key.rpartition("-")[0])
                ready.setdefault(service, {})[key] = len(data[1])
                count = float(sum(ready[service].values()))
                rows.append((run.name, run.result.seed, service, "ready", at / 1e9, count))
    if not rows:
        raise UserError("no service was scaled in this run", file=runs[0].folder, expected="a workload with a service")
    frame = _frame(rows, ("run", "seed", "service", "line", "seconds", "replicas"))
    return frame.sort("service", "line", "seconds", maintain_order=True)


def _written(run: RunData, kinds: tuple[str, ...]) -> list[tuple[int, str, str, list[Any]]]:
    import polars as pl

    mine = run.journal.filter(pl.col("kind").cast(pl.String).is_in(list(kinds)))
    return [
        (at, kind, key, json.loads(data))
        for at, kind, change, key, data in mine.select(
            "at_ns", pl.col("kind").cast(pl.String), pl.col("change").cast(pl.String), "key", "data"
        ).iter_rows()
        if change != "DELETED"
    ]


def _demand(run: RunData) -> list[tuple[Any, ...]]:
    from harness.experiment.measures import elastic_targets
    from harness.experiment.prepared import prepare
    from harness.experiment.scenario import from_data

    loaded = from_data(run.record["scenario"], str(run.folder / "record.json"))
    rows: list[tuple[Any, ...]] = []
    for target in elastic_targets(prepare(loaded, run.result.seed)):
        before = -1
        for second in range(0, math.ceil(run.until_s), max(1, int(run.until_s) // 2000)):
            wanted = target.demand(second * 10**9)
            if wanted != before:
                rows.append((run.name, run.result.seed, target.service, "demand", float(second), float(wanted)))
                before = wanted
    return rows


def waterfall(runs: Runs, asked: Asked) -> pl.DataFrame:
    """run, seed, recovery or scale-up (what), and each of its hops with begin, end and timer."""
    rows = []
    for run in runs[:1]:
        found = waterfalls(run.folder)
        for fall in [*found.recoveries, *found.scale_ups]:
            for hop in fall.hops:
                begin, end = ((at - fall.start_ns) / 1e9 for at in (hop.start_ns, hop.end_ns))
                title = f"{fall.kind} {fall.number}: {fall.title}"
                rows.append((run.name, run.result.seed, title, hop.name, begin, end, hop.timer or "no known timer"))
    if not rows:
        raise UserError("nothing recovered and nothing was scaled up in this run", file=runs[0].folder)
    return _frame(rows, ("run", "seed", "what", "hop", "from_seconds", "to_seconds", "timer"))


def sweep(runs: Runs, asked: Asked) -> pl.DataFrame:
    """strategy, x, mean, low, high (95 %, Student's t; null for one seed), seeds; others: the other variables."""
    variables = list(dict.fromkeys(name for run in runs for name in run.result.variables))
    x = asked.x or (variables[0] if variables else "")
    if x not in variables:
        raise UserError(
            "the records do not vary it", found=x or "no variable", expected=", ".join(variables) or "runs with --vary"
        )
    measure = catalogue([]).of(asked.path)
    scale = 1.0 if measure is None else measure.scale
    cells: dict[tuple[str, str, str], list[float]] = {}
    for run in runs:
        known = {path: value for path, value, _ in number_paths(run.result.metrics)}
        if asked.path not in known:
            hint = did_you_mean(asked.path, sorted(known))
            raise UserError("a run does not have this measure", file=run.folder, found=asked.path, hint=hint)
        others = ", ".join(f"{name}={value}" for name, value in run.result.variables.items() if name != x)
        at = (run.result.scheduler, run.result.variables[x], others)
        cells.setdefault(at, []).append(scale * float(known[asked.path]))
    rows = []
    order = {scheduler: at for at, scheduler in enumerate(dict.fromkeys(scheduler for scheduler, _, _ in cells))}
    for (scheduler, value, others), values in sorted(cells.items(), key=lambda cell: _sweep_order(order, *cell[0])):
        mean = math.fsum(values) / len(values)
        half = _half_width(values)
        low, high = (None, None) if half is None else (mean - half, mean + half)
        rows.append((scheduler, x, value, others, mean, low, high, len(values)))
    return _frame(rows, ("strategy", "variable", "value", "others", "mean", "low", "high", "seeds"))


def comparison(runs: Runs, asked: Asked) -> pl.DataFrame:
    """path, measure, base, other, variables, seed, difference (other - base on that seed); mean, low, high (95 %, null
    for too few seeds) and verdict as `podyard compare` has them: of the primary measures, or the one asked for."""
    scenarios = sorted({run.result.scenario for run in runs})
    if len(scenarios) > 1:
        raise UserError("runs of one scenario are compared", found=", ".join(scenarios), expected="one of them")
    arms: dict[str, list[Result]] = {}
    for run in runs:
        arms.setdefault(run.result.scheduler, []).append(run.result)
    if asked.base and asked.base not in arms:
        hint = did_you_mean(asked.base, arms)
        raise UserError("no run of this strategy", found=asked.base, expected=", ".join(arms), hint=hint)
    if len(arms) < 2:
        raise UserError("there is nothing to compare with", found=", ".join(arms), expected="runs of two strategies")
    base = asked.base or next(iter(arms))
    ordered = {base: arms[base], **arms}
    spec = runs[0].record["scenario"].get("spec", {})
    known = catalogue(spec.get("measures", []))
    results = [run.result for run in runs]
    declared = spec.get("compare", {}).get("primary", [])
    about = question(known, results, [asked.measure] if asked.measure else (), declared)
    names = dict.fromkeys(name for result in results for name in result.variables)
    varied = {name for name in names if len({result.variables.get(name) for result in results}) > 1}
    rows: list[tuple[Any, ...]] = []
    for row in compare(ordered, about):
        if not row.primary:
            continue
        low, high = (None if math.isnan(edge) else edge for edge in (row.found.low, row.found.high))
        seeds = [seed for seed in _seeds(arms[row.other], row) if seed in _seeds(arms[base], row)]
        if len(seeds) != len(row.differences):
            continue  # some have no number: the table says so
        chosen = ", ".join(f"{name}={value}" for name, value in row.variables.items() if name in varied)
        head = (row.path, row.measure.title.strip(), row.base, row.other, chosen)
        told = (row.found.mean, low, high, row.verdict)
        if row.found.equal:  # except for the last bits of sums in another order
            told = (0.0, None if low is None else 0.0, None if high is None else 0.0, row.verdict)
        differences = [0.0] * len(seeds) if row.found.equal else row.differences
        rows += [(*head, seed, apart, *told) for seed, apart in zip(seeds, differences, strict=True)]
    rows.sort(key=lambda row: by_number(row[4]))
    columns = ("path", "measure", "base", "other", "variables", "seed", "difference")
    return _frame(rows, (*columns, "mean", "low", "high", "verdict"))


def _seeds(results: Sequence[Result], row: Row) -> list[int]:
    return list(dict.fromkeys(result.seed for result in results if dict(result.variables) == row.variables))


def _sweep_order(order: dict[str, int], scheduler: str, value: str, others: str) -> tuple[Any, ...]:
    number = number_of(value)
    return order[scheduler], by_number(others), math.inf if number is None else number, value


def by_number(others: str) -> tuple[tuple[float, str], ...]:
    """Of 'name=value, ..': 6 nodes before 10."""
    numbers = [(number_of(text.partition("=")[2]), text) for text in others.split(", ")]
    return tuple((math.inf if number is None else number, text) for number, text in numbers)


def number_of(text: str) -> float | None:
    """A variable's value on an axis: a number, or a duration in seconds; None if it is neither."""
    for read in (float, lambda value: parse_duration(value) / 1e9):
        try:
            return float(read(text))
        except ValueError:
            continue
    return None


def _half_width(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    from scipy.stats import t

    deviation = float(np.std(values, ddof=1))
    return float(t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))


def _frame(rows: Sequence[tuple[Any, ...]], columns: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(rows, schema=list(columns), orient="row", infer_schema_length=None)


FRAMES: dict[str, Callable[[Runs, Asked], Any]] = {
    "allocation": allocation,
    "waits": waits,
    "nodes": nodes,
    "gantt": gantt,
    "replicas": replicas,
    "waterfall": waterfall,
    "sweep": sweep,
    "comparison": comparison,
}
