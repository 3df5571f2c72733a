"""Results as tables on a terminal, or as plain aligned text where there is none."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

from harness.experiment.compare import Row
from harness.experiment.result import Result
from harness.experiment.scenario import Loaded
from harness.measure.recovery import PHASES


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Numbers are set right; the first column left."""
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    _console().print(table)


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=140)


def print_results(loaded: Loaded, results: Sequence[Result]) -> None:
    """The three families of measures, a column a strategy; then what went wrong, and where the records are.

    Over several seeds: the mean, and the standard deviation behind it.
    """
    console = _console()
    meta = loaded.scenario.metadata
    console.print(f"{meta.name}: {meta.description}" if meta.description else meta.name)
    for table in families(results):
        print_table(*table)
    for result in results:
        for text in result.broken:
            console.print(f"INVARIANT BROKEN  {_name(result)}: {text}")
        for text in result.missed:
            console.print(f"GATE MISSED  {_name(result)}: {text}")
        _end_state(console, result)
        _violations(console, result)
    for result in results:
        where = f"  {result.folder}" if result.folder is not None else ""
        console.print(f"{_name(result)}: digest {result.digest or '- (wall clock or deadline: no replay)'}{where}")


def print_sweep(loaded: Loaded, results: Sequence[Result]) -> None:
    """A row a strategy and value of the variables: means over seeds, and the standard deviation behind them."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault((*result.variables.values(), result.scheduler), []).append(result)
    measures = [(name, read, form) for name, read, form in _SWEPT if any(read(r, "") is not None for r in results)]
    columns = (*results[0].variables, "strategy", "runs", *(name for name, _, _ in measures)) if results else ("",)
    rows = [
        [*key, str(len(runs)), *(_cell([read(result, "") for result in runs], form) for _, read, form in measures)]
        for key, runs in groups.items()
    ]
    meta = loaded.scenario.metadata
    _console().print(f"{meta.name}: {meta.description}" if meta.description else meta.name)
    print_table("", columns, rows)
    for result in results:
        for text in (*(f"INVARIANT BROKEN  {text}" for text in result.broken), *result.missed):
            _console().print(f"{_name(result)}: {text}")
        _violations(_console(), result)


def print_comparison(loaded: Loaded, base: str, rows: Sequence[Row]) -> None:
    """A table a strategy that was held against `base`, a row a measure."""
    console = _console()
    meta = loaded.scenario.metadata
    console.print(f"{meta.name}: {meta.description}" if meta.description else meta.name)
    for other in dict.fromkeys(row.other for row in rows):
        mine = [row for row in rows if row.other == other]
        variables = list(mine[0].variables)
        seeds = sorted({row.found.n for row in mine})
        many = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        title = f"{other} against {base}, {many} seeds, paired"
        columns = (*variables, "", base, other, "difference", "95 % interval", "verdict")
        cells = [
            [
                *(row.variables[name] for name in variables),
                row.measure.name,
                _figure(row.found.base),
                _figure(row.found.other),
                f"{row.found.mean:+.4g}",
                "" if math.isnan(row.found.low) else f"{row.found.low:+.4g} .. {row.found.high:+.4g}",
                row.verdict,
            ]
            for row in mine
        ]
        print_table(title, columns, cells)
    console.print("Intervals: Student's t on the paired differences. Verdicts hold together at 5 % (Holm).")


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"


def _name(result: Result) -> str:
    return f"{result.scheduler}/{result.seed}"


def _end_state(console: Console, result: Result) -> None:
    if result.end_state is None:
        return
    if not result.end_state.findings:
        console.print(f"{_name(result)}: {result.end_state}")
        return
    console.print(f"NOT CONVERGED  {_name(result)}: {len(result.end_state.findings)} findings at the end:")
    for text in result.end_state.findings[:10]:
        console.print(f"  {text}")


def _violations(console: Console, result: Result) -> None:
    if not result.violations:
        return
    console.print(
        f"VIOLATIONS  {_name(result)}: the strategy misbehaved {len(result.violations)} times; the first ones:"
    )
    for at, kind, pod, reason in result.violations[:3]:
        console.print(f"  {at / 1e9:.3f}s {kind} {pod}: {reason}")


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number that is no more than a lower bound: something had not come to its end when the run was over."""

    value: float


Read: TypeAlias = Callable[[Result, str], float | AtLeast | str | None]
"""A number of a run, or why there is none; None where it has nothing of the kind. The text says of which service."""


def _at(path: str, scale: float = 1.0) -> Read:
    def read(result: Result, about: str) -> float | AtLeast | None:
        value: Any = result.metrics
        holder: Any = None
        for part in path.replace("{}", "\0").split("."):
            holder = value
            value = value.get(about if part == "\0" else part) if isinstance(value, dict) else None
        if value is None:
            return None
        number = float(value) * scale
        unsure = isinstance(holder, dict) and path.rpartition(".")[2] in holder.get("atLeast", ())
        return AtLeast(number) if unsure else number

    return read


def _bound(key: str) -> Read:
    """Of the proven bound, in percent; where it says nothing, that."""

    def read(result: Result, about: str) -> float | str | None:
        bound = result.metrics["placement"].get("bound")
        if not bound:
            return None
        if "saysNothing" in bound:
            return "says nothing"
        return 100 * float(bound[key]) if key in bound else "pools vary"

    return read


_PLACEMENT: tuple[tuple[str, Read, str], ...] = (
    ("pods placed", _at("placement.podsBound"), ".0f"),
    ("pods never placed", _at("placement.podsNeverBound"), ".0f"),
    ("CPU allocated, mean %", _at("placement.allocation.cpu", 100), ".2f"),
    ("memory allocated, mean %", _at("placement.allocation.memory", 100), ".2f"),
    ("GPU allocated, mean %", _at("placement.allocation.gpu", 100), ".2f"),
    ("  proven most %", _bound("share"), ".2f"),
    ("  gap to it, % of it", _bound("gap"), ".2f"),
    ("GPU fragmentation, % of idle", _at("placement.fragmentation.shareOfIdle", 100), ".2f"),
    ("nodes used, mean", _at("placement.nodesUsed"), ".1f"),
    ("wait for a node, median s", _at("placement.pendingSeconds.p50"), ".2f"),
    ("wait for a node, p99 s", _at("placement.pendingSeconds.p99"), ".1f"),
    ("pods handed over at once, most", _at("scheduling.batch"), ".0f"),
    ("a decision, us (measured)", lambda result, _: result.timing["decisionMicroseconds"], ".0f"),
)

_SWEPT: tuple[tuple[str, Read, str], ...] = (
    ("pods placed", _at("placement.podsBound"), ".0f"),
    ("CPU at end %", _at("placement.allocationAtEnd.cpu", 100), ".2f"),
    ("memory at end %", _at("placement.allocationAtEnd.memory", 100), ".2f"),
    ("GPU at end %", _at("placement.allocationAtEnd.gpu", 100), ".2f"),
    ("GPU at 100 % load", _at("filling.100.allocated"), ".2f"),
    ("GPU at 130 % load", _at("filling.130.allocated"), ".2f"),
    ("fragments at 100 %", _at("filling.100.fragmented"), ".2f"),
    ("gap to bound %", _bound("gap"), ".2f"),
)

_AUTOSCALING: tuple[tuple[str, Read, str], ...] = (
    ("shortages", _at("autoscaling.{}.responseSeconds.episodes"), ".0f"),
    ("until capacity was there, mean s", _at("autoscaling.{}.responseSeconds.mean"), ".0f"),
    ("until capacity was there, max s", _at("autoscaling.{}.responseSeconds.max"), ".0f"),
    ("under-provisioned, % of time", _at("autoscaling.{}.underTimeshare"), ".1f"),
    ("over-provisioned, % of time", _at("autoscaling.{}.overTimeshare"), ".1f"),
    ("missing replicas, % of demand", _at("autoscaling.{}.underAccuracy"), ".1f"),
    ("idle replicas, % of demand", _at("autoscaling.{}.overAccuracy"), ".1f"),
    ("rescales", _at("autoscaling.{}.rescales"), ".0f"),
    ("replicas, peak", _at("autoscaling.{}.supplyPeak"), ".0f"),
    ("nodes, peak", _at("autoscaling.{}.nodesPeak"), ".0f"),
    ("requests lost, %", _at("requests.{}.lostShare", 100), ".2f"),
)


Family: TypeAlias = tuple[str, tuple[str, ...], list[list[str]]]
"""Title, columns, rows."""


def families(results: Sequence[Result]) -> list[Family]:
    """The three families of measures, a column a strategy; over several seeds the mean and the standard deviation."""
    by_strategy: dict[str, list[Result]] = {}
    for result in results:
        by_strategy.setdefault(result.scheduler, []).append(result)
    services = dict.fromkeys(name for result in results for name in result.metrics.get("autoscaling", {}))
    out = [
        _family("Placement quality", by_strategy, _PLACEMENT, ""),
        *(_family(f"Autoscaling response of {name}", by_strategy, _AUTOSCALING, name) for name in services),
    ]
    if any("recovery" in result.metrics for result in results):
        out.append(_recovery(by_strategy))
    return out


def _family(
    title: str, by_strategy: dict[str, list[Result]], measures: tuple[tuple[str, Read, str], ...], about: str
) -> Family:
    rows = []
    for name, read, form in measures:
        cells = [_cell([read(result, about) for result in runs], form) for runs in by_strategy.values()]
        if any(cells):
            rows.append([name, *cells])
    return title, ("", *by_strategy), rows


def _cell(values: Sequence[float | AtLeast | str | None], form: str) -> str:
    """The mean, and behind it the deviation over several runs; '>' where a run's number is a lower bound only."""
    words = [value for value in values if isinstance(value, str)]
    if words:
        return words[0]
    known = [value.value if isinstance(value, AtLeast) else value for value in values if value is not None]
    numbers = [value for value in known if not isinstance(value, str)]
    if not numbers:
        return ""
    mark = ">" if any(isinstance(value, AtLeast) for value in values) else ""
    mean = statistics.fmean(numbers)
    if len(numbers) < 2:
        return f"{mark}{mean:{form}}"
    return f"{mark}{mean:{form}} ±{statistics.stdev(numbers):{form}}"


def _recovery(by_strategy: dict[str, list[Result]]) -> Family:
    """Seconds from the fault until the last victim was there, by phase."""
    columns = ("fault", "at s", "strategy", "pods hit", "back", *PHASES, "requests lost")
    rows = []
    runs = [result for results in by_strategy.values() for result in results]
    for index in range(max(len(result.metrics.get("recovery", [])) for result in runs)):
        for result in runs:
            faults = result.metrics.get("recovery", [])
            if index >= len(faults):
                continue
            fault = faults[index]
            targets, phases = fault["targets"], fault["phases"]
            rows.append(
                [
                    f"{fault['fault']} {targets[0]}" + (f" +{len(targets) - 1}" if len(targets) > 1 else ""),
                    f"{fault['atSeconds']:.0f}",
                    result.scheduler if len(runs) == len(by_strategy) else _name(result),
                    str(fault["victims"]),
                    str(fault["replaced"] + fault["returned"] + fault["completed"]),
                    *(f"{phases[phase]['last']:.1f}" if phase in phases else "-" for phase in PHASES),
                    f"{sum(fault['requestsLost'].values()):.0f}",
                ]
            )
    return "Recovery latency: seconds from the fault to the last pod hit", columns, rows
