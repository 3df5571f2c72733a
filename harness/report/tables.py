"""Results as tables on a terminal, or as plain aligned text where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from harness.experiment.run import Result
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
    """The three families of measures, a row a run; then what went wrong, and where the records are."""
    console = _console()
    meta = loaded.scenario.metadata
    console.print(f"{meta.name}: {meta.description}" if meta.description else meta.name)
    print_table("Placement quality", *_placement(results))
    if any("autoscaling" in result.metrics for result in results):
        print_table("Autoscaling response", *_autoscaling(results))
    if any("recovery" in result.metrics for result in results):
        print_table("Recovery latency, seconds from the fault to the last victim", *_recovery(results))
    for result in results:
        for text in result.broken:
            console.print(f"INVARIANT BROKEN  {_name(result)}: {text}")
        for text in result.missed:
            console.print(f"GATE MISSED  {_name(result)}: {text}")
        _violations(console, result)
    for result in results:
        where = f"  {result.folder}" if result.folder is not None else ""
        console.print(f"{_name(result)}: digest {result.digest}{where}")


def _name(result: Result) -> str:
    return f"{result.scheduler}/{result.seed}"


def _violations(console: Console, result: Result) -> None:
    if not result.violations:
        return
    console.print(
        f"VIOLATIONS  {_name(result)}: the strategy misbehaved {len(result.violations)} times; the first ones:"
    )
    for at, kind, pod, reason in result.violations[:3]:
        console.print(f"  {at / 1e9:.3f}s {kind} {pod}: {reason}")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _placement(results: Sequence[Result]) -> tuple[tuple[str, ...], list[list[str]]]:
    resources = [
        name
        for name in ("cpu", "memory", "gpu")
        if any(name in result.metrics["placement"]["allocation"] for result in results)
    ]
    columns = (
        "strategy/seed",
        "placed",
        "never",
        *(f"{name} %" for name in resources),
        "bound %",
        "gap %",
        "frag %",
        "nodes",
        "wait p50 s",
        "wait p99 s",
        "us/decision",
    )
    rows = []
    for result in results:
        measured = result.metrics["placement"]
        bound = measured.get("bound") or {}
        share = None
        if bound and bound["allocated"]:
            mean = measured["allocation"].get(bound["resource"], 0.0)
            share = mean * bound["most"] / bound["allocated"]
        wait = measured["pendingSeconds"]
        rows.append(
            [
                _name(result),
                str(measured["podsBound"]),
                str(measured["podsNeverBound"]),
                *(_percent(measured["allocation"].get(name)) for name in resources),
                _percent(share),
                _percent(bound.get("gap")),
                _percent(measured.get("fragmentation", {}).get("shareOfIdle")),
                f"{measured['nodesUsed']:.1f}",
                f"{wait.get('p50', 0.0):.2f}",
                f"{wait.get('p99', 0.0):.2f}",
                f"{result.timing['decisionMicroseconds']:.0f}",
            ]
        )
    return columns, rows


def _autoscaling(results: Sequence[Result]) -> tuple[tuple[str, ...], list[list[str]]]:
    columns = (
        "strategy/seed",
        "service",
        "response mean s",
        "max s",
        "under % time",
        "over % time",
        "under acc %",
        "over acc %",
        "rescales",
        "replicas peak",
        "nodes peak",
        "lost %",
    )
    rows = []
    for result in results:
        requests = result.metrics.get("requests", {})
        for service, measured in result.metrics.get("autoscaling", {}).items():
            response = measured.get("responseSeconds", {})
            rows.append(
                [
                    _name(result),
                    service,
                    f"{response.get('mean', 0.0):.0f}",
                    f"{response.get('max', 0)}",
                    f"{measured['underTimeshare']:.1f}",
                    f"{measured['overTimeshare']:.1f}",
                    f"{measured['underAccuracy']:.1f}",
                    f"{measured['overAccuracy']:.1f}",
                    str(measured["rescales"]),
                    str(measured["supplyPeak"]),
                    str(measured.get("nodesPeak", "")),
                    _percent(requests.get(service, {}).get("lostShare")),
                ]
            )
    return columns, rows


def _recovery(results: Sequence[Result]) -> tuple[tuple[str, ...], list[list[str]]]:
    columns = ("strategy/seed", "fault", "at s", "victims", "back", *PHASES, "requests lost")
    rows = []
    for result in results:
        for fault in result.metrics.get("recovery", []):
            targets = fault["targets"]
            phases = fault["phases"]
            rows.append(
                [
                    _name(result),
                    f"{fault['fault']} {targets[0]}" + (f" +{len(targets) - 1}" if len(targets) > 1 else ""),
                    f"{fault['atSeconds']:.0f}",
                    str(fault["victims"]),
                    str(fault["replaced"] + fault["returned"] + fault["completed"]),
                    *(f"{phases[phase]['last']:.1f}" if phase in phases else "-" for phase in PHASES),
                    f"{sum(fault['requestsLost'].values()):.0f}",
                ]
            )
    return columns, rows
