"""Results as tables on a terminal, or as plain aligned text where there is none."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from harness.experiment.compare import Row
from harness.experiment.result import Result
from harness.experiment.scenario import LoadedScenario
from harness.measure.accounting import DIMENSIONS
from harness.measure.catalogue import Catalogue, Measure, values_of
from harness.measure.recovery import PHASES
from harness.measure.registry import catalogue
from harness.measure.statistics import ALPHA, interval, least_seeds

LONGEST_VERDICT = 45
"""Characters: of a strategy's name and `is better`, not of a file's and `is better, but equivalent within 1 %`."""


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], words: Collection[str] = ("verdict",)
) -> None:
    """Numbers are aligned right; the first column and those in `words` left. Where room is short the verdict stays on
    one line, unless it is a long one: then the first column does, which names what the row is about. Without verdicts
    the strategy's name does."""
    rows = [list(map(str, row)) for row in rows]
    kept = next((name for name in ("verdict", "strategy") if name in columns), None)
    whole = None if kept is None else columns.index(kept)
    if whole is not None and any(len(row[whole]) > LONGEST_VERDICT for row in rows):
        whole = 0 if kept == "verdict" else None
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        left = index == 0 or column in words
        table.add_column(column, justify="left" if left else "right", overflow="fold", no_wrap=index == whole)
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=140)


FAULT_MEANS = (
    "A component of the cluster raised an exception, or did nothing about a write that was refused. It was started "
    "again and the cluster went on, but what it should have done meanwhile is missing from these figures."
)


def print_results(loaded: LoadedScenario, results: Sequence[Result]) -> None:
    """The three families of measures, one column per strategy; then what went wrong, and where the records are.

    With six or more seeds: the mean with its 95 % interval; with fewer, the mean with the standard deviation.
    """
    console = _console()
    meta = loaded.scenario.metadata
    console.print(f"{meta.name}: {meta.description}" if meta.description else meta.name)
    for table in families(results, catalogue(loaded.scenario.spec.measures)):
        print_table(*table)
    for result in results:
        _wrong(console, result)
        _end_state(console, result)
        _violations(console, result)
    _notes(console, results)
    for result in results:
        where = f"  {result.folder}" if result.folder is not None else ""
        console.print(f"{_name(result)}: digest {result.digest or '- (wall clock or deadline: no replay)'}{where}")


def _unknown_energy(result: Result) -> list[str]:
    why = result.metrics.get("energy", {}).get("saysNothing")
    return [] if why is None else [f"energy is not told: {why}"]


def print_failures(results: Sequence[Result], *, on_stderr: bool = False) -> None:
    """What went wrong in the runs of a comparison: the first run of each strategy, and how many more there are."""
    console = Console(highlight=False, markup=False, stderr=True) if on_stderr else _console()
    bad: dict[str, list[Result]] = {}
    for result in results:
        if not result.ok:
            bad.setdefault(result.scheduler, []).append(result)
    for name, runs in bad.items():
        _wrong(console, runs[0])
        if runs[0].end_state is not None and runs[0].end_state.findings:
            _end_state(console, runs[0])
        _violations(console, runs[0])
        if len(runs) > 1:
            console.print(f"  and in {len(runs) - 1} more of its runs something went wrong: {name}")
    if bad:
        console.print("What is compared above is what these runs came to all the same; exit code 1.")
    _notes(console, results)


def print_sweep(loaded: LoadedScenario, results: Sequence[Result]) -> None:
    """One row per strategy and value of the variables: means over seeds, with intervals as `print_results`."""
    meta = loaded.scenario.metadata
    _console().print(f"{meta.name}: {meta.description}" if meta.description else meta.name)
    print_table("", *sweep_rows(results, catalogue(loaded.scenario.spec.measures)))
    for result in results:
        _wrong(_console(), result)
        _violations(_console(), result)
    _notes(_console(), results)


def _notes(console: Console, results: Sequence[Result], most: int = 8) -> None:
    told = dict.fromkeys(text for result in results for text in [*result.notices, *_unknown_energy(result)])
    for text in list(told)[:most]:
        console.print(f"NOTE  {text}")
    if len(told) > most:
        console.print(f"NOTE  and {len(told) - most} more, which -o json has")


def sweep_rows(results: Sequence[Result], known: Catalogue) -> tuple[Sequence[str], list[list[str]]]:
    """Columns, and a row for each setting of the variables and strategy. What nobody compares, as what is allocated at
    the end, is left out where it is 0 in all runs: all tasks have ended."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault((*result.variables.values(), result.scheduler), []).append(result)
    nothing = {m.path: (None,) if m.compared else (None, 0) for m in known.in_table("sweep")}
    measures = [m for m in known.in_table("sweep") if any(_read(r, m, "") not in nothing[m.path] for r in results)]
    columns = (*results[0].variables, "strategy", "runs", *(m.title.strip() for m in measures)) if results else ("",)
    rows = [
        [*key, str(len(runs)), *(_cell([_read(run, m, "") for run in runs], m.digits) for m in measures)]
        for key, runs in groups.items()
    ]
    return columns, rows


def print_comparison(loaded: LoadedScenario, rows: Sequence[Row]) -> None:
    """One table per arm that was compared with the base: primary measures first, then exploratory ones."""
    console = _console()
    meta = loaded.scenario.metadata
    console.print(f"{meta.name}: {meta.description}" if meta.description else meta.name)
    for other in dict.fromkeys(row.other for row in rows):
        mine = [row for row in rows if row.other == other]
        variables = list(mine[0].variables)
        seeds = sorted({row.found.n for row in mine})
        many = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        for kind, some in (
            ("decided", [r for r in mine if r.primary]),
            ("exploratory", [r for r in mine if not r.primary]),
        ):
            if not some:
                continue
            columns = (*variables, "", mine[0].base, other, "difference", "95 % interval", "p", "verdict")
            cells = [[*(row.variables[name] for name in variables), *_compared(row)] for row in some]
            print_table(f"{other} against {mine[0].base}, {many} seeds, paired: {kind}", columns, cells)
    advice = dict.fromkeys(f"{row.measure.title.strip()}: {row.advice}" for row in rows if row.primary and row.advice)
    if advice:
        console.print("No difference found, with a chance of 80 %:")
        for text in advice:
            console.print(f"  {text}")
    if any(row.looked for row in rows):
        console.print(
            "Looked at before the last seed: p of what is decided counts every look (each spends its share of the "
            "5 %), its interval holds at all looks together. An arm's seeds are those after which it was stopped."
        )
    tests = sorted({"exact sign-flip test" if row.found.exact else "Student's t" for row in rows})
    console.print(
        f"Tests: {', '.join(tests)} on the paired differences. What is decided holds together at 5 % (Holm); "
        "exploratory ones stand each for itself. '>': it had no end in some runs and ranks last."
    )


def _compared(row: Row) -> list[str]:
    found = row.found
    marks = [">" if count else "" for count in row.censored]
    blank = math.isnan(found.mean)
    low, high = (0.0, 0.0) if found.equal else (found.low, found.high)  # but for the last bits of a sum
    return [
        row.measure.title.strip(),
        "" if blank else marks[0] + _figure(found.base),
        "" if blank else marks[1] + _figure(found.other),
        "" if blank else f"{found.mean:+.4g}",
        "" if math.isnan(found.low) else f"{low:+.4g} .. {high:+.4g}",
        "" if blank else f"{found.p:.2g}",
        row._verdict(),
    ]


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"


def _name(result: Result) -> str:
    return f"{result.scheduler}/{result.seed}"


def _wrong(console: Console, result: Result) -> None:
    for kind, text in result.wrong():
        console.print(f"{kind}  {_name(result)}: {text}")
    if result.component_faults:
        console.print(f"  {FAULT_MEANS}")


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
    """A number that is only a lower bound: something had not ended when the run was over."""

    value: float


Read: TypeAlias = float | AtLeast | str | None
"""A number of a run, or why there is none; None if the measure does not apply to it."""


def _read(result: Result, measure: Measure, about: str) -> Read:
    """`about`: the value of the star in the measure's path, as a service."""
    found = values_of(result.metrics, measure)
    value = found.get((about,) if about else ())
    if value is not None:
        return AtLeast(value.number) if value.at_least else value.number
    if measure.path == "energy.kwh" and "saysNothing" in result.metrics.get("energy", {}):
        return "no power model"
    if measure.path.startswith("placement.bound."):
        bound = result.metrics["placement"].get("bound")
        if bound:
            return "says nothing" if "saysNothing" in bound else "pools vary"
    return None


Family: TypeAlias = tuple[str, tuple[str, ...], list[list[str]]]
"""Title, columns, rows."""


def families(results: Sequence[Result], known: Catalogue) -> list[Family]:
    """The three families of measures, one column per strategy; over several seeds the mean with its interval, or the
    standard deviation where there are too few for one."""
    by_strategy: dict[str, list[Result]] = {}
    for result in results:
        by_strategy.setdefault(result.scheduler, []).append(result)
    services = dict.fromkeys(name for result in results for name in result.metrics.get("autoscaling", {}))
    placement = _family("Placement quality", by_strategy, known, "placement", "")
    placement[2].append(
        [
            "a decision, us (measured)",
            *(_cell([run.timing["decisionMicroseconds"] for run in runs], 0) for runs in by_strategy.values()),
        ]
    )
    out = [
        placement,
        *(_family(f"Autoscaling response of {name}", by_strategy, known, "autoscaling", name) for name in services),
    ]
    scalers = dict.fromkeys(name for result in results for name in result.metrics.get("vertical", {}))
    out += [_family(f"Vertical autoscaling by {name}", by_strategy, known, "vertical", name) for name in scalers]
    plain = dict.fromkeys(
        name for result in results for name in result.metrics.get("requests", {}) if name not in services
    )
    out += [_family(f"Requests of {name}", by_strategy, known, "requests", name) for name in plain]
    if any("jobs" in result.metrics for result in results):
        out.append(_family("Jobs over time", by_strategy, known, "jobs", ""))
    out += [
        _accounts(dimension, family, by_strategy, known)
        for dimension, family in DIMENSIONS.items()
        if any(result.metrics.get(family) for result in results)
    ]
    extra = _family("Other measures", by_strategy, known, "extra", "")
    if extra[2]:
        out.append(extra)
    if any("recovery" in result.metrics for result in results):
        out.append(_recovery(by_strategy))
        out += [family for family in (_outages(by_strategy), _actions(by_strategy)) if family[2]]
    timers = _timers(by_strategy)
    return [*out, timers] if timers[2] else out


def _family(title: str, by_strategy: dict[str, list[Result]], known: Catalogue, table: str, about: str) -> Family:
    rows = []
    measures = known.in_table(table) if table != "extra" else [m for m in known if m.path.startswith("extra.")]
    for measure in measures:
        cells = [
            _cell([_read(result, measure, about) for result in runs], measure.digits) for runs in by_strategy.values()
        ]
        if any(cells):
            rows.append([measure.title, *cells])
    return title, ("", *by_strategy), rows


MOST_ACCOUNTS = 12
"""Most users, queues or classes in a table."""


def _accounts(dimension: str, family: str, by_strategy: dict[str, list[Result]], known: Catalogue) -> Family:
    """One row per value and strategy: those with the largest dominant shares."""
    held: dict[str, float] = {}
    for results in by_strategy.values():
        for result in results:
            for name, value in result.metrics.get(family, {}).items():
                held[name] = held.get(name, 0.0) + value.get("dominantShare", 0.0)
    largest = sorted(held, key=lambda name: (-held[name], name))
    rows, columns = [], []
    for measure in known.in_table(family):
        cells = [
            _cell([_read(run, measure, name) for run in results], measure.digits)
            for name in largest[:MOST_ACCOUNTS]
            for results in by_strategy.values()
        ]
        if any(cells):
            columns.append(measure.title.removeprefix(f"{dimension}'s "))
            rows.append(cells)
    left = [[name, strategy] for name in largest[:MOST_ACCOUNTS] for strategy in by_strategy]
    more = len(largest) - MOST_ACCOUNTS
    title = f"By {dimension}" + (
        f": the {MOST_ACCOUNTS} of the largest shares; {more} more are in the record" if more > 0 else ""
    )
    return title, (dimension, "strategy", *columns), [[*head, *cells] for head, *cells in zip(left, *rows, strict=True)]


def _cell(values: Sequence[Read], digits: int) -> str:
    """The mean over several runs, and behind it its 95 % interval, or the deviation where there are too few; '>'
    where a run's number is a lower bound only, of which there is no interval."""
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
        return f"{mark}{mean:z.{digits}f}"
    if len(numbers) >= least_seeds(ALPHA) and not mark:
        low, high = interval(np.array(numbers, dtype=np.float64), ALPHA)
        return f"{mean:z.{digits}f} [{low:z.{digits}f}, {high:z.{digits}f}]"
    return f"{mark}{mean:z.{digits}f} ±{statistics.stdev(numbers):.{digits}f}"


def _recovery(by_strategy: dict[str, list[Result]]) -> Family:
    """Seconds from the fault until the last pod that it hit had passed each phase."""
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
                    " ".join([fault["fault"], *targets[:1], *([f"+{len(targets) - 1}"] if len(targets) > 1 else [])]),
                    f"{fault['atSeconds']:.0f}",
                    result.scheduler if len(runs) == len(by_strategy) else _name(result),
                    "none" if "hitNothing" in fault else str(fault["victims"]),
                    str(fault["back"] if "back" in fault else _back(fault)),
                    *(_last(phases.get(phase)) for phase in PHASES),
                    f"{sum(fault['requestsLost'].values()):.0f}",
                ]
            )
    return "Recovery latency: seconds from the fault to the last pod hit", columns, rows


def _back(fault: Mapping[str, Any]) -> int:
    """For a record that was made before this was a measure."""
    return int(fault["replaced"] + fault["returned"] + fault["completed"] + fault.get("removed", 0))


def _actions(by_strategy: dict[str, list[Result]]) -> Family:
    """What was done to the cluster on purpose, in steps."""
    columns = ("action", "at s", "strategy", "outcome", "takes s", "evictions refused", "why")
    runs = [result for results in by_strategy.values() for result in results]
    rows = []
    for index in range(max(len(result.metrics.get("recovery", [])) for result in runs)):
        for result in runs:
            faults = result.metrics.get("recovery", [])
            if index >= len(faults) or "action" not in faults[index]:
                continue
            fault, action = faults[index], faults[index]["action"]
            targets = fault["targets"]
            more = f" +{len(targets) - 1}" if len(targets) > 1 else ""
            rows.append(
                [
                    " ".join([fault["fault"], *targets[:1]]) + more,
                    f"{fault['atSeconds']:.0f}",
                    result.scheduler if len(runs) == len(by_strategy) else _name(result),
                    action["outcome"],
                    f"{'>' if action.get('atLeast') else ''}{action['seconds']:.1f}",
                    str(action["evictionsRefused"]),
                    action.get("why") or "; ".join(action.get("refusedBecause", ())) or "-",
                ]
            )
    return "Actions: what was done in steps", columns, rows


def _outages(by_strategy: dict[str, list[Result]]) -> Family:
    """Faults of the control plane: what waited for it, and how long."""
    columns = ("fault", "at s", "strategy", "away", "without decisions", "backlog", "catch-up")
    runs = [result for results in by_strategy.values() for result in results]
    rows = []
    for index in range(max(len(result.metrics.get("recovery", [])) for result in runs)):
        for result in runs:
            faults = result.metrics.get("recovery", [])
            if index >= len(faults) or "outage" not in faults[index]:
                continue
            fault, outage = faults[index], faults[index]["outage"]
            marks = dict.fromkeys(outage.get("atLeast", ()), ">")
            rows.append(
                [
                    " ".join([fault["fault"], *fault["targets"][:1]]),
                    f"{fault['atSeconds']:.0f}",
                    result.scheduler if len(runs) == len(by_strategy) else _name(result),
                    f"{outage['seconds']:.1f}",
                    f"{marks.get('withoutDecisions', '')}{outage['withoutDecisions']:.1f}",
                    str(outage["backlog"]),
                    f"{marks.get('catchUp', '')}{outage['catchUp']:.1f}",
                ]
            )
    return "Outages of the control plane: seconds", columns, rows


def _timers(by_strategy: dict[str, list[Result]]) -> Family:
    """What recoveries, and all scale-ups together, waited for most."""
    columns = ("", "strategy", "total, s", "median, s", "dominant timer", "its share, %")
    runs = [result for results in by_strategy.values() for result in results]
    several = len(runs) != len(by_strategy)
    found: list[tuple[int, list[str]]] = []
    for result in runs:
        falls, who = result.metrics.get("waterfalls", {}), _name(result) if several else result.scheduler
        for index, fall in enumerate(falls.get("recoveries", [])):
            if "totalSeconds" in fall:
                fault = result.metrics["recovery"][index]
                what = " ".join([fault["fault"], *fault["targets"][:1]])
                total = f"{'>' if fall.get('atLeast') else ''}{fall['totalSeconds']:.1f}"
                found.append((index, [what, who, total, "", *_dominant(fall)]))
        ups = falls.get("scaleUps")
        if ups:
            spread = ups["totalSeconds"]
            mark = ">" if spread.get("censored") else ""
            row = [f"{ups['count']} scale-ups", who, f"{mark}{spread['max']:.1f}", f"{spread['p50']:.1f}"]
            found.append((1 << 30, [*row, *_dominant(ups)]))
    found.sort(key=lambda item: item[0])
    return (
        "What it waited for: from a fault, or the load, to the first request of the last pod",
        columns,
        [row for _, row in found],
    )


def _dominant(fall: dict[str, Any]) -> list[str]:
    share = fall.get("dominantShare")
    return [fall.get("dominantTimer", ""), "" if share is None else f"{100 * share:.0f}"]


def _last(phase: dict[str, Any] | None) -> str:
    if phase is None:
        return "-"
    return f"{'>' if 'last' in phase.get('atLeast', ()) else ''}{phase['last']:.1f}"
