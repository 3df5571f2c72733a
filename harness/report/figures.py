"""Figures by matplotlib, for files and for the report. A figure draws a frame of figure_data.py and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.model.errors import UserError
from harness.report.figure_data import Asked, Runs, number_of
from harness.report.lanes import lanes
from harness.report.svg import time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE = "#1c2430", "#5d6b7c", "#d9dfe6"
COLOURS = ("#2563b0", "#d1690e", "#2b8a57", "#b3356a", "#6a51a8", "#0f8f9c", "#8a6d1f", "#5c6773")
"""The same as in the report's style sheet, which replaces them in dark mode."""

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "figure.dpi": 110,
    "savefig.dpi": 160,
}

WIDTH = 7.2
"""Default width in inches: the width of a page's text."""

VERDICT_WIDTH = 5
"""Inches; a narrower figure has no room for verdicts in words."""

MOST_WATERFALLS = 4
MOST_PANELS, PANELS_A_ROW = 24, 3
LEGEND_ROW = 0.16  # inches


def matplotlib() -> Any:
    """The package, without a display. Raises UserError where it is not installed."""
    try:
        import matplotlib as package
    except ImportError:
        raise UserError("figures need matplotlib", hint="pip install 'podyard[report]'") from None
    return package


def _width() -> float:
    """Of the figure that is drawn, in inches."""
    return float(matplotlib().rcParams["figure.figsize"][0])


def _figure(height: float, rows: int = 1) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_width(), height), layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    return figure, list(axes)


def _grid(height: float, rows: int, columns: int) -> tuple[Figure, Sequence[Axes]]:
    """Panels that share their axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_width(), height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    return figure, list(axes.flat)


def _time_axis(axes: Axes, until_s: float) -> float:
    """Labels the x axis; seconds in its unit."""
    unit, name = time_unit(until_s)
    axes.set_xlabel({"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}[name])
    axes.set_xlim(0, until_s / unit)
    return unit


def _faults(axes: Axes, runs: Runs, unit: float) -> None:
    for index, (at, what) in enumerate(dict.fromkeys(item for run in runs for item in run.faults)):
        axes.axvline(at / unit, color=COLOURS[3], linewidth=0.9, linestyle=(0, (3, 2)))
        place: Any = {"xy": (at / unit, 1), "xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(what, xytext=(3, -9 - 9 * (index % 2)), fontsize=7, color=COLOURS[3], bbox=_PLATE, **place)


_PLATE = {"facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
"""Behind labels that lie on curves."""


def _legend(axes: Axes, columns: int) -> None:
    """Above the axes, in as many columns as fit: a legend that is wider than the figure would squeeze the axes."""
    _, labels = axes.get_legend_handles_labels()
    columns = min(columns, _legend_columns(labels))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, fontsize=8, borderaxespad=0.2)
    figure: Any = axes.figure
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * (math.ceil(len(labels) / max(columns, 1)) - 1))


def _legend_columns(labels: Sequence[str]) -> int:
    """At a font size of 8 points; 40 points are taken by a line's sample and the gap to the next column. A legend fills
    its columns one after the other, and each is as wide as its longest label."""
    for columns in range(min(4, len(labels)), 1, -1):
        rows = math.ceil(len(labels) / columns)
        widths = [max(map(len, labels[at : at + rows])) for at in range(0, len(labels), rows)]
        if sum(40 + 4.6 * width for width in widths) <= _width() * 72 * 0.9:
            return columns
    return 1


def allocation(frame: Any, runs: Runs, asked: Asked) -> Figure:
    figure, (axes, *_) = _figure(2.9)
    until = max(run.until_s for run in runs)
    unit = _time_axis(axes, until)
    names = frame["run"].unique(maintain_order=True).to_list()
    for index, name in enumerate(names):
        mine = frame.filter(frame["run"] == name)
        colour = COLOURS[index % len(COLOURS)]
        for number, seed in enumerate(mine["seed"].unique(maintain_order=True)):
            one = mine.filter(mine["seed"] == seed)
            label = name if not number else None
            axes.step(one["seconds"] / unit, one["allocated"], where="post", color=colour, linewidth=1.1, label=label)
            if one["mean"][0] is not None:
                axes.axhline(one["mean"][0], color=colour, linewidth=0.8, linestyle=(0, (1, 2)))
    bounds = frame.group_by("seed").agg(_most()).sort("seed")
    for index, most in enumerate(value for value in bounds["proven_most"] if value is not None):
        label = "proven most (mean over the run; dotted: what was reached)" if not index else None
        axes.axhline(most, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), label=label)
    axes.set_ylabel(f"{frame['resource'][0]} allocated")
    axes.set_ylim(bottom=0)
    _faults(axes, runs, unit)
    _legend(axes, len(names) + 1)
    return figure


def _most() -> Any:
    import polars as pl

    return pl.col("proven_most").max()


def waits(frame: Any, runs: Runs, asked: Asked) -> Figure:
    figure, (axes, *_) = _figure(2.9)
    names = frame["run"].unique(maintain_order=True).to_list()
    for index, name in enumerate(names):
        mine = frame.filter(frame["run"] == name)
        ended = np.sort(mine.filter(mine["bound"])["wait_seconds"].to_numpy())
        share = np.arange(1, len(ended) + 1) / max(len(mine), 1)
        x = np.concatenate(([1e-2], np.maximum(ended, 1e-2), [max(mine["wait_seconds"].max(), 1e-2)]))
        y = np.concatenate(([0.0], share, [share[-1] if len(share) else 0.0]))
        axes.step(x, 100 * y, where="post", color=COLOURS[index % len(COLOURS)], linewidth=1.3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("seconds from its creation to its node")
    axes.set_ylabel("% of pods that have a node")
    axes.set_ylim(0, 102)
    axes.set_xlim(left=1e-2)
    _legend(axes, len(names))
    return figure


def nodes(frame: Any, runs: Runs, asked: Asked) -> Figure:
    names = frame["node"].unique(maintain_order=True).to_list()
    shares = frame["share"].to_numpy().reshape(len(names), -1)
    figure, (axes, *_) = _figure(min(1.3 + 0.13 * len(names), 7.5))
    until = runs[0].until_s
    unit = _time_axis(axes, until)
    image = axes.imshow(
        100 * shares, aspect="auto", cmap="viridis", vmin=0, vmax=100, extent=(0, until / unit, len(names), 0)
    )
    axes.grid(False)
    step = max(1, math.ceil(len(names) / 40))
    axes.set_yticks(np.arange(0, len(names), step) + 0.5, names[::step], fontsize=6)
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03)
    bar.set_label(f"{frame['resource'][0]} held, % of the node's")
    bar.outline.set_visible(False)
    axes.set_title(f"{runs[0].name}, seed {runs[0].result.seed}")
    return figure


def gantt(frame: Any, runs: Runs, asked: Asked) -> Figure:
    by_node = _lanes(frame)
    shown = list(by_node)
    height = sum(by_node[node][0] for node in shown)
    figure, (axes, *_) = _figure(min(1.4 + 0.045 * height, 9.0))
    unit = _time_axis(axes, runs[0].until_s)
    owners = frame["owner"].unique(maintain_order=True).to_list()
    base, ticks = 0, []
    for node in shown:
        count, placed = by_node[node]
        for lane, begin, end, owner in placed:
            colour = COLOURS[owners.index(owner) % len(COLOURS)]
            span = [(begin / unit, max(end - begin, 0) / unit)]
            axes.broken_barh(span, (base + lane + 0.08, 0.84), color=colour, linewidth=0)
        ticks.append(base + count / 2)
        base += count
        axes.axhline(base, color=RULE, linewidth=0.5)
    axes.grid(False)
    axes.set_ylim(base, 0)
    step = max(1, math.ceil(len(shown) / 40))
    axes.set_yticks(ticks[::step], shown[::step], fontsize=6)
    for index, owner in enumerate(owners[:8]):
        axes.plot([], [], color=COLOURS[index], linewidth=5, label=owner)
    _faults(axes, runs[:1], unit)
    _legend(axes, len(owners))
    return figure


def _lanes(frame: Any) -> dict[str, tuple[int, list[tuple[int, float, float, Any]]]]:
    by_node: dict[str, list[tuple[float, float, Any]]] = {}
    for node, *span in frame.select("node", "from_seconds", "to_seconds", "owner").iter_rows():
        by_node.setdefault(node, []).append((span[0], span[1], span[2]))
    return {node: lanes(spans) for node, spans in sorted(by_node.items())}


def replicas(frame: Any, runs: Runs, asked: Asked) -> Figure:
    services = frame["service"].unique(maintain_order=True).to_list()
    figure, all_axes = _figure(0.4 + 2.5 * len(services), len(services))
    styles = {"demand": (INK, (0, (5, 3)), 1.1), "desired": (COLOURS[1], "-", 1.0), "ready": (COLOURS[0], "-", 1.4)}
    for axes, service in zip(all_axes, services, strict=True):
        unit = _time_axis(axes, runs[0].until_s)
        for line, (colour, dashes, width) in styles.items():
            mine = frame.filter((frame["service"] == service) & (frame["line"] == line))
            if mine.is_empty():
                continue
            x = np.append(mine["seconds"].to_numpy(), runs[0].until_s) / unit
            y = np.append(mine["replicas"].to_numpy(), mine["replicas"][-1])
            label = {"demand": "demand: the least that meet the SLO", "desired": "desired by the autoscaler"}.get(
                line, line
            )
            axes.step(x, y, where="post", color=colour, linestyle=dashes, linewidth=width, label=label)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(f"replicas of {service}")
        _faults(axes, runs[:1], unit)
        _legend(axes, 3)
    return figure


def waterfall(frame: Any, runs: Runs, asked: Asked) -> Figure:
    titles = frame["what"].unique(maintain_order=True).to_list()[:MOST_WATERFALLS]
    parts = [frame.filter(frame["what"] == title) for title in titles]
    figure, all_axes = _figure(sum(0.7 + 0.17 * len(part) for part in parts), len(parts))
    grid: Any = all_axes[0].get_gridspec()
    grid.set_height_ratios([2 + len(part) for part in parts])
    for axes, title, part in zip(all_axes, titles, parts, strict=True):
        timers = part["timer"].unique(maintain_order=True).to_list()
        until = part["to_seconds"].max()
        for row, (_, begin, end, timer) in enumerate(
            part.select("hop", "from_seconds", "to_seconds", "timer").iter_rows()
        ):
            colour = COLOURS[timers.index(timer) % len(COLOURS)]
            axes.barh(row, max(end - begin, until / 500), left=begin, height=0.75, color=colour)
            axes.annotate(
                f"{end - begin:.3g} s", (end, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=6.5
            )
        axes.set_yticks(range(len(part)), part["hop"].to_list(), fontsize=7)
        axes.invert_yaxis()
        axes.set_xlim(0, until * 1.12)
        axes.set_title(title, fontsize=9)
        axes.grid(axis="y", visible=False)
    all_axes[-1].set_xlabel("seconds after it happened")
    return figure


def sweep(frame: Any, runs: Runs, asked: Asked) -> Figure:
    """One panel for each setting of the other variables, all with the same axes, and one line for each strategy."""
    values = frame["value"].unique(maintain_order=True).to_list()
    plain = [number_of(value) for value in values]
    numeric = all(value is not None for value in plain)
    place = dict(zip(values, plain if numeric else range(len(values)), strict=True))
    panels = frame["others"].unique(maintain_order=True).to_list()
    if len(panels) > MOST_PANELS:
        raise UserError(
            "too many settings of the other variables for one figure",
            found=len(panels),
            expected=f"{MOST_PANELS} at most",
            hint="name the folders of fewer records, or draw the rows of -o csv",
        )
    columns = 2 if len(panels) == 4 else min(len(panels), PANELS_A_ROW)
    rows = math.ceil(len(panels) / columns)
    figure, grid = _grid(2.9 if rows == 1 else 2.2 * rows, rows, columns)
    strategies = frame["strategy"].unique(maintain_order=True).to_list()
    for axes, others in zip(grid, panels, strict=False):
        mine = frame.filter(frame["others"] == others)
        _sweep_panel(axes, mine, place, strategies)
        if not numeric:
            axes.set_xticks(range(len(values)), values)
        axes.set_title(others, fontsize=8, color=SOFT)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[max(len(panels) - columns, 0) : len(panels)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel(frame["variable"][0], fontsize=9, color=SOFT)
    figure.supylabel(_measure(asked.path), fontsize=9, color=SOFT)
    seeds = sorted(set(frame["seeds"].to_list()))
    many = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    figure.suptitle(f"mean and 95 % interval, {many} seeds", x=0.99, ha="right", fontsize=7, color=SOFT)
    handles, labels = grid[0].get_legend_handles_labels()
    columns = _legend_columns(labels)
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=8)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * math.ceil(len(labels) / columns))
    return figure


def _sweep_panel(axes: Axes, frame: Any, place: dict[str, Any], strategies: Sequence[str]) -> None:
    """A line and its band for each strategy."""
    for index, strategy in enumerate(strategies):
        mine = frame.filter(frame["strategy"] == strategy)
        points = sorted(
            (place[value], mean, low, high)
            for value, mean, low, high in mine.select("value", "mean", "low", "high").iter_rows()
        )
        colour = COLOURS[index % len(COLOURS)]
        x, mean = [p[0] for p in points], [p[1] for p in points]
        axes.plot(x, mean, color=colour, marker="o", markersize=3.5, linewidth=1.3, label=strategy)
        sure = [p for p in points if p[2] is not None]
        if sure:
            axes.fill_between(
                [p[0] for p in sure], [p[2] for p in sure], [p[3] for p in sure], color=colour, alpha=0.15, linewidth=0
            )


def comparison(frame: Any, runs: Runs, asked: Asked) -> Figure:
    """A panel for each measure, a line for each strategy: the difference on each seed, their mean and its interval."""
    import polars as pl

    measures = frame["path"].unique(maintain_order=True).to_list()
    if len(measures) > MOST_PANELS:
        what, hint = "too many measures for one figure", "--measure PATH, or draw the rows of -o csv"
        raise UserError(what, found=len(measures), expected=f"{MOST_PANELS} at most", hint=hint)
    others = frame.select("other", "variables").unique(maintain_order=True).rows()
    figure, grid = _figure(0.35 + len(measures) * (0.62 + 0.26 * len(others)), len(measures))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(frame["other"].unique(maintain_order=True))}
    for axes, path in zip(grid, measures, strict=True):
        mine = frame.filter(pl.col("path") == path)
        axes.axvline(0, color=INK, linewidth=0.8)
        for at, (other, chosen) in enumerate(others):
            seeds = mine.filter((pl.col("other") == other) & (pl.col("variables") == chosen))
            if seeds.is_empty():
                continue
            mean, low, high, verdict = seeds.select("mean", "low", "high", "verdict").row(0)
            axes.scatter(seeds["difference"], [at] * len(seeds), s=9, color=SOFT, alpha=0.45, linewidths=0)
            if low is not None:
                axes.plot([low, high], [at, at], color=colours[other], linewidth=2.2, solid_capstyle="butt")
            axes.plot([mean], [at], color=colours[other], marker="D", markersize=4.5)
            if _width() >= VERDICT_WIDTH:
                place: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
                axes.annotate(
                    verdict, (1, at), xytext=(6, -2.5), fontsize=7, color=SOFT, annotation_clip=False, **place
                )
        axes.set_yticks(range(len(others)), [f"{other} {chosen}".strip() for other, chosen in others])
        axes.set_ylim(len(others) - 0.5, -0.5)
        axes.set_title(mine["measure"][0], fontsize=8, color=INK)
        if not any(mine["difference"]):
            axes.set_xticks([0])
    bounds = sorted(set(frame.group_by("path", "other", "variables").len()["len"].to_list()))
    many = f"{bounds[0]}" if len(bounds) == 1 else f"{bounds[0]} to {bounds[-1]}"
    text = f"minus {frame['base'][0]}, paired by seed: mean and 95 % interval, {many} seeds"
    figure.supxlabel(text, fontsize=8 if _width() >= VERDICT_WIDTH else 6.5, color=SOFT)
    return figure


def _measure(path: str) -> str:
    from harness.measure.registry import catalogue

    found = catalogue([]).of(path)
    return path if found is None else found.title.strip()


FIGURES: dict[str, Callable[[Any, Runs, Asked], Any]] = {
    "allocation": allocation,
    "waits": waits,
    "nodes": nodes,
    "gantt": gantt,
    "replicas": replicas,
    "waterfall": waterfall,
    "sweep": sweep,
    "comparison": comparison,
}


def draw(kind: str, frame: Any, runs: Runs, asked: Asked, width: float = WIDTH) -> Any:
    """A matplotlib Figure, `width` inches wide. Raises UserError for a frame without rows, and without matplotlib."""
    if frame.is_empty():
        raise UserError("there is nothing to draw", file=runs[0].folder, found=f"no rows of {kind}")
    with matplotlib().rc_context({**STYLE, "figure.figsize": (width, width / 2)}):
        return FIGURES[kind](frame, runs, asked)


def save(figure: Any, form: str, salt: str = "podyard") -> bytes:
    """`form`: svg, pdf or png. The same bytes each time: no date, and identifiers from `salt`."""
    out = BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}[form]
    with matplotlib().rc_context({**STYLE, "svg.hashsalt": salt}):
        figure.savefig(out, format=form, metadata=metadata)
    return out.getvalue()


def inline_svg(figure: Any, salt: str, label: str) -> str:
    """For an HTML page: colours as variables of its style sheet, fonts and size its own."""
    text = save(figure, "svg", salt).decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL).replace(
        "xlink:href", "href"
    )
    head, _, body = text.partition(">")
    box = head[head.index("viewBox") :].split('"')[1]
    for name, colour in (("ink", INK), ("soft", SOFT), ("rule", RULE), *((f"c{i}", c) for i, c in enumerate(COLOURS))):
        body = body.replace(colour, f"var(--{name})")
    body = body.replace("#ffffff", "var(--page)")
    return f'<svg viewBox="{box}" role="img" aria-label="{label}" class="figure">{body}'
