"""The summary and the figures of a report page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Protocol

from harness.experiment.result import Result
from harness.measure.catalogue import values_of
from harness.measure.registry import catalogue
from harness.measure.statistics import paired
from harness.model.errors import UserError
from harness.report.figure_data import FRAMES, Asked, RunData

CAPTIONS = {
    "comparison": "What strategies differ by from the first, on the same seeds: each seed, the mean and its interval.",
    "allocation": "Allocation of the scarcest resource, and the most that any scheduler can reach on average.",
    "waits": "How many pods have a node after so long. A curve that ends below 100 % has pods that never got one.",
    "replicas": "Replicas that are ready and that the autoscaler wants, against the least that meet the SLO.",
    "nodes": "How full each node is over time.",
    "gantt": "Each pod on its node.",
}
OF_ALL = ("comparison", "waits")
OF_FIRST = ("replicas", "nodes", "gantt")
"""Figures of one run: the page shows the first record's."""

MOST_PODS = 3000
"""Most pods on a Gantt chart; with more, browsers get slow."""


class Shown(Protocol):
    @property
    def result(self) -> Result: ...
    @property
    def folder(self) -> Path: ...


def summary(results: Sequence[Result]) -> list[str]:
    """A sentence about the primary measure of the first two strategies, and one where seeds are not the same."""
    by_strategy: dict[str, dict[int, Result]] = {}
    for result in results:
        if result.variables == results[0].variables:
            by_strategy.setdefault(result.scheduler, {})[result.seed] = result
    names = list(by_strategy)
    out: list[str] = []
    common = set.intersection(*(set(runs) for runs in by_strategy.values()))
    if any(set(runs) != common for runs in by_strategy.values()):
        told = "; ".join(f"{name} {', '.join(map(str, sorted(runs)))}" for name, runs in by_strategy.items())
        kept = f"Intervals are of the seeds that all have: {', '.join(map(str, sorted(common)))}." if common else ""
        text = f"The strategies did not run on the same seeds ({told}): means in tables are of unlike runs. {kept}"
        out.append(f'<div class="bad"><p>{escape(text)}</p></div>')
    out.append(f'<p class="summary">{escape(_sentence(by_strategy, names, sorted(common)))}</p>')
    return out


def _sentence(by_strategy: dict[str, dict[int, Result]], names: Sequence[str], seeds: Sequence[int]) -> str:
    some = next(iter(by_strategy[names[0]].values()))
    gpu = "gpu" in some.metrics.get("placement", {}).get("allocation", {})
    path = f"placement.allocation.{'gpu' if gpu else 'cpu'}"
    measure = catalogue([]).of(path)
    assert measure is not None
    runs = sum(len(found) for found in by_strategy.values())
    head = (
        f"{runs} {'run' if runs == 1 else 'runs'} of {len(names)} {'strategy' if len(names) == 1 else 'strategies'}. "
    )
    values = {name: [_number(by_strategy[name][seed], path) for seed in seeds] for name in names}
    if not seeds:
        return head + "No seed was run by all of them, so nothing is compared."
    means = {name: sum(found) / len(found) for name, found in values.items()}
    best = max(means, key=lambda name: means[name])
    text = f"Most {measure.title.partition(',')[0]} on average: {best}, {means[best]:.2f} %"
    others = [name for name in names if name != best]
    if not others:
        return f"{head}{measure.title.partition(',')[0].capitalize()}: {means[best]:.2f} % on average."
    parts = []
    for name in others:
        found = paired(values[name], values[best])
        interval = "" if found.low != found.low else f", 95 % interval {found.low:+.2f} to {found.high:+.2f}"
        parts.append(f"{found.mean:+.2f} over {name}{interval}")
    count = f"{len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}"
    few = " Too few seeds for an interval: at least 6." if len(seeds) < 6 else ""
    return f"{head}{text} ({'; '.join(parts)}; paired, {count}).{few}"


def _number(result: Result, path: str) -> float:
    measure = catalogue([]).of(path)
    assert measure is not None
    values = list(values_of(result.metrics, measure).values())
    return values[0].number if values else 0.0


def figures(records: Sequence[Shown]) -> list[str]:
    """Inline SVG, drawn by matplotlib; none if it is not installed."""
    from harness.report import figures as drawing

    try:
        drawing.matplotlib()
    except UserError:
        return []
    runs = [RunData(record.folder) for record in records]
    firsts = list({run.name: run for run in reversed(runs)}.values())[::-1]
    out = ["<h2>Figures</h2>"]
    for kind, caption in CAPTIONS.items():
        of = firsts[:1] if kind in OF_FIRST else runs if kind in OF_ALL else firsts
        if kind == "gantt" and len(of[0].pods) > MOST_PODS:
            continue
        if kind == "comparison" and len({run.result.seed for run in runs}) < 2:
            continue  # the tables are enough
        asked = (
            Asked()
            if kind == "comparison"
            else Asked(f"placement.allocation.{'gpu' if of[0].scarce[0] == 'gpu_milli' else 'cpu'}")
        )
        try:
            frame = FRAMES[kind](of, asked)
            drawn = drawing.draw(kind, frame, of, asked)
        except UserError:
            continue  # nothing of this kind happened
        about = f" ({of[0].name}, seed {of[0].result.seed})" if kind in OF_FIRST else _seeds(of)
        picture = drawing.inline_svg(drawn, f"{kind}/{of[0].folder}", escape(caption, quote=True))
        out.append(f"<figure>{picture}<figcaption>{escape(caption + about)}</figcaption></figure>")
    return out


def sweep_figures(records: Sequence[Shown]) -> list[str]:
    """Figures of the primary measure along each variable, inline; none without matplotlib, and none where too many
    other settings would share a figure."""
    from harness.report import figures as drawing

    try:
        drawing.matplotlib()
    except UserError:
        return []
    runs = [RunData(record.folder) for record in records]
    path = f"placement.allocation.{'gpu' if runs[0].scarce[0] == 'gpu_milli' else 'cpu'}"
    varied = {name: {run.result.variables.get(name) for run in runs} for run in runs for name in run.result.variables}
    out = []
    for name in (name for name, values in varied.items() if len(values) > 1):
        asked = Asked(path, name)
        try:
            drawn = drawing.draw("sweep", FRAMES["sweep"](runs, asked), runs, asked)
        except UserError:
            continue
        caption = f"The measure along {name}, with 95 % intervals; {_seeds(runs).strip(' ()')}."
        picture = drawing.inline_svg(drawn, f"sweep-{name}/{runs[0].folder}", escape(caption, quote=True))
        out.append(f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>")
    return out


def _seeds(runs: Sequence[RunData]) -> str:
    seeds = sorted({run.result.seed for run in runs})
    return f" (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})"
