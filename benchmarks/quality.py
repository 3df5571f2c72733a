"""Placement quality next to the proven bound: tables and plots from records of fill scenarios.

    podyard run fgd --vary list --seeds 42-51 --parallel 2 --no-journal
    python -m benchmarks.quality ../shared results/local/fgd --out results/reference/quality

One table a scenario, so that settings of information are never mixed. A cell is the mean over all arrivals at which
what has arrived rounds to that share of the cluster's GPUs; its bound is the mean of the proven most over the very same
arrivals (`harness.measure.bound.bound_curve`): nobody, not even a clairvoyant, can have allocated more. The gap is in
percent of the bound. Bounds are kept in bounds.csv and not computed again while they are there.
"""

from __future__ import annotations

import csv
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer

from benchmarks.ranked_lists import Lists
from harness.experiment.result import Result, from_record
from harness.measure.bound import Instance, Nodes, Pods, aggregate, arrivals, bound_curve
from harness.model.errors import UserError
from workloads.table import NodeTable, Workload

LOADS = (100, 130)
SHOWN = range(80, 131)
CLASSES = ("no GPU", "share", "whole", "several")


@dataclass(frozen=True, slots=True, eq=False)
class Proven:
    """`most` by percent arrived, in percent of the GPUs. `seconds`: measured, of the whole curve."""

    most: dict[int, float]
    seconds: float


def instance(pods: Workload, nodes: NodeTable) -> Instance:
    width = int(nodes.gpu_count.max())
    return aggregate(
        Nodes(
            np.array([nodes.cpu_milli, nodes.memory_bytes, nodes.pods]),
            np.where(np.arange(width) < nodes.gpu_count[:, None], 1000, 0),
            [nodes.gpu_model[row] for row in range(len(nodes))],
        ),
        Pods(
            np.array([pods.cpu_milli, pods.memory_bytes, np.ones(len(pods), dtype=np.int64)]),
            pods.gpu_count,
            pods.gpu_milli,
            [pods.gpu_models[row] for row in range(len(pods))],
        ),
    )


def prove(pods: Workload, nodes: NodeTable) -> Proven:
    """The most that any scheduler can have allocated after each arrival, by percent arrived."""
    began = time.perf_counter()
    made = instance(pods, nodes)
    curve = bound_curve(made, arrivals(made))
    seconds = time.perf_counter() - began
    whole = nodes.gpu_total_milli
    arrived = np.round(100 * np.cumsum(pods.gpu_count * pods.gpu_milli) / whole).astype(np.int64)
    return Proven({at: float(100 * curve.value[arrived == at].mean() / whole) for at in SHOWN}, seconds)


def proven(path: Path, lists: Lists, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Proven]:
    """By (list, seed); those that `path` does not hold yet are computed and added to it."""
    known: dict[tuple[str, int], Proven] = {}
    if path.exists():
        for row in csv.DictReader(path.read_text().splitlines()):
            found = known.setdefault((row["list"], int(row["seed"])), Proven({}, float(row["seconds"])))
            found.most[int(row["arrived_percent"])] = float(row["most_percent"])
    for name, seed in sorted(set(keys) - set(known)):
        _, pods, nodes = lists.load(name, seed)
        known[name, seed] = prove(pods, nodes)
        print(f"bound of {name}, seed {seed}: {known[name, seed].seconds:.1f} s", flush=True)
        rows = [
            (n, s, at, f"{most:.4f}", f"{item.seconds:.1f}")
            for (n, s), item in sorted(known.items())
            for at, most in sorted(item.most.items())
        ]
        write(path, ("list", "seed", "arrived_percent", "most_percent", "seconds"), rows)
    return known


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one record says: `cells` allocated by percent arrived, shares at the end, pods placed by class."""

    result: Result
    cells: dict[int, float]
    classes: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.result.variables.get("list", "default")


def read(folder: Path) -> list[Seen]:
    """Raises UserError where there is no record of a fill."""
    out = []
    for path in sorted(folder.rglob("record.json")):
        result = from_record(path.parent)
        if "filling" not in result.metrics:
            continue
        if not result.ok:
            raise UserError("this run broke an invariant, or its strategy misbehaved", file=path)
        cells = {int(at): cell["allocated"] for at, cell in result.metrics["filling"].items() if int(at) in SHOWN}
        out.append(Seen(result, cells, _classes(pl.read_parquet(path.parent / "pods.parquet"))))
    if not out:
        raise UserError("there is no record of a fill here", file=folder, hint="podyard run fgd --vary list")
    return out


def _classes(pods: Any) -> tuple[int, ...]:
    """Pods that were placed and stayed: one that was moved counts where it went."""
    gpu = pods.filter((pl.col("bound_ns") >= 0) & (pl.col("gone_ns") < 0))["gpu_milli"]
    counts = ((gpu == 0).sum(), ((gpu > 0) & (gpu < 1000)).sum(), (gpu == 1000).sum(), (gpu > 1000).sum())
    return tuple(map(int, counts))


HEAD = (
    "list",
    "strategy",
    "seeds",
    *(f"{what}_{at}" for at in LOADS for what in ("gpu", "sd", "most", "gap")),
    "cpu_end",
    "memory_end",
    "gpu_end",
    "pods",
    *(name.replace(" ", "_") for name in CLASSES),
    "decision_us",
    "bound_s",
)


def table(seen: Sequence[Seen], bounds: dict[tuple[str, int], Proven]) -> list[list[str]]:
    """A row a list and strategy: means over seeds; `gap` in percent of the bound, over the same seeds."""
    groups: dict[tuple[str, str], list[Seen]] = {}
    for item in seen:
        groups.setdefault((item.name, item.result.scheduler), []).append(item)
    rows = []
    for (name, strategy), runs in sorted(groups.items()):
        row = [name, strategy, str(len(runs))]
        for at in LOADS:
            reached = [run.cells[at] for run in runs]
            most = [bounds[name, run.result.seed].most[at] for run in runs]
            over = [(r, m) for r, m in zip(reached, most, strict=True) if r > m + 0.01]  # cells are rounded to 0.01
            assert not over, f"{name} {strategy}: {over} is more than what was proven to be the most"
            gaps = [100 * (m - r) / m for r, m in zip(reached, most, strict=True)]
            spread = statistics.stdev(reached) if len(reached) > 1 else math.nan
            row += [f"{statistics.fmean(v):.3f}" for v in (reached,)]
            row += [f"{spread:.3f}" if len(reached) > 1 else "", f"{statistics.fmean(most):.3f}"]
            row += [f"{statistics.fmean(gaps):.3f}"]
        ends = [run.result.metrics["placement"]["allocationAtEnd"] for run in runs]
        row += [f"{100 * statistics.fmean(end[kind] for end in ends):.2f}" for kind in ("cpu", "memory", "gpu")]
        placed = [run.classes for run in runs]
        row.append(f"{statistics.fmean(map(sum, placed)):.1f}")
        row += [f"{statistics.fmean(counts):.1f}" for counts in zip(*placed, strict=True)]
        row.append(f"{statistics.median(run.result.timing['decisionMicroseconds'] for run in runs):.0f}")
        row.append(f"{max(bounds[name, run.result.seed].seconds for run in runs):.1f}")
        rows.append(row)
    return rows


def write(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(head)
        out.writerows(rows)


def plot(path: Path, title: str, seen: Sequence[Seen], bounds: dict[tuple[str, int], Proven]) -> None:
    """Left: gap at 130 % by list and strategy. Right: allocation over load of the first list, and what was proven."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "podyard"  # the same picture gives the same file
    from matplotlib import pyplot

    names = list(dict.fromkeys(sorted(item.name for item in seen)))
    strategies = sorted({item.result.scheduler for item in seen})
    colours = dict(zip(strategies, matplotlib.colormaps["tab20"](range(20)), strict=False))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(15, 6.5), width_ratios=(2, 1))
    for strategy in strategies:
        xs, ys = [], []
        for index, name in enumerate(names):
            gaps = [
                100 * (1 - item.cells[130] / bounds[name, item.result.seed].most[130])
                for item in seen
                if item.name == name and item.result.scheduler == strategy
            ]
            if gaps:
                xs.append(index)
                ys.append(statistics.fmean(gaps))
        left.plot(xs, ys, "o-", label=strategy, color=colours[strategy], linewidth=0.6, markersize=5)
    left.set_xticks(range(len(names)), names, rotation=30, ha="right")
    left.set_ylabel("gap to the proven bound at 130 % load, % of it")
    left.set_ylim(bottom=0)
    left.grid(axis="y", alpha=0.3)
    left.legend(fontsize=8, ncols=2)
    first = "default" if "default" in names else names[0]
    for strategy in strategies:
        runs = [item for item in seen if item.name == first and item.result.scheduler == strategy]
        if runs:
            ys = [statistics.fmean(run.cells[at] for run in runs if at in run.cells) for at in SHOWN]
            right.plot(list(SHOWN), ys, color=colours[strategy], linewidth=1)
    most = [statistics.fmean(item.most[at] for (name, _), item in bounds.items() if name == first) for at in SHOWN]
    right.plot(list(SHOWN), most, "k--", linewidth=1.2, label="proven most")
    right.set_xlabel("GPU asked for, % of the cluster")
    right.set_ylabel(f"GPU allocated, % ({first})")
    right.grid(alpha=0.3)
    right.legend(fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(
    shared: Annotated[Path, typer.Argument(help="Holds traces/openb/ and fgd/arrivals/.")],
    records: Annotated[list[Path], typer.Argument(help="Folders of records, one a scenario.")],
    out: Annotated[Path, typer.Option(help="Where tables, plots and bounds go.")],
    seeds: Annotated[str, typer.Option(help="Of the records those of these seeds, as 42-44.")] = "42-51",
) -> None:
    """A table and a plot for each scenario."""
    out.mkdir(parents=True, exist_ok=True)
    lists = Lists(shared)
    for folder in records:
        first, _, last = seeds.partition("-")
        chosen = range(int(first), int(last or first) + 1)
        seen = [item for item in read(folder) if item.result.seed in chosen]
        bounds = proven(out / "bounds.csv", lists, [(item.name, item.result.seed) for item in seen])
        scenario = seen[0].result.scenario
        write(out / f"{scenario}.csv", HEAD, table(seen, bounds))
        plot(out / f"{scenario}.svg", scenario, seen, bounds)
        print(out / f"{scenario}.csv")


if __name__ == "__main__":
    typer.run(main)
