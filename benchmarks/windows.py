"""Windows of the queue, and migrations, on the lists of the FGD experiment: how much more, and what is possible.

    python -m benchmarks.windows window FOLDER --seeds 42-51 --out results/reference/windows
    python -m benchmarks.windows migration FOLDER --seeds 42-51 --out results/reference/windows

FOLDER as in `benchmarks.ranked_lists`. Every strategy knows the original pod list. GPU allocation at a load is the
published cell (mean over the arrivals there, in percent of the GPUs); an arrival of a window counts with what was
allocated before the window, its last one with what the window brought. Everything else is what stands at the end.

`window` hands over 64 pods at a time, and in the end offers what was left out once more: as nothing departs and nobody
leaves out a pod that fits, later tries cannot bring anything, and `retried` (pods placed by them) shows it. `fgd`
decides pod by pod in the order of the queue, whatever the window.

Two bounds stand beside it, for the end and in the same percent. `bound`: of any scheduler. `bound_keeping`: of any that
places all arrivals before the first one that this run left out, as one must that leaves out no pod that fits; moving
pods does not lift it. Both hold for clairvoyant schedulers with any number of migrations. (What holds for fewer first
arrivals holds for more, so they are rounded down to hundreds.)

`migration` lets `fgd` and `binpack`'s warm start move running pods for those that fit nowhere, under one budget after
another, until one was never short: a greater one would decide the same, bit by bit, so its row is the same row.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import typer

from benchmarks.ranked_lists import LOADS, Lists, interval
from harness.measure.bound import Instance, Nodes, Pods, aggregate, upper_bound
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import fill
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import CPU, MEMORY, Bind, PodView
from schedulers.binpack import BinPack, Migrating
from schedulers.fgd import FGD
from schedulers.ranked import Ranked
from schedulers.ranked.features import KINDS, kind_of
from workloads.manifests import to_nodes, to_pods

WINDOW = 64
BUDGETS_PERCENT = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

LOOSENED = (0, 100, 200, 300)
"""Where the solver does not close the second bound, it is that of so many first arrivals fewer, which holds as well."""

Row: TypeAlias = dict[str, float]

app = typer.Typer(add_completion=False, help=__doc__)
Folder = Annotated[Path, typer.Argument(help="Holds traces/openb/ and fgd/arrivals/.")]
Seeds = Annotated[str, typer.Option(help="As 42-51.")]
Names = Annotated[str, typer.Option("--lists", help="Separated by commas.")]
Out = Annotated[Path, typer.Option(help="Folder for the table, and the plot.")]


class Arrivals:
    """One list under one seed: the cluster, and who comes."""

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        original, arriving, nodes = Lists(folder).load(name, seed)
        self.empty = Snapshot()
        for node in to_nodes(nodes):
            self.empty.add_node(**node_columns(node))
        self.history = [self.empty.classes.view(pod) for _, pod in to_pods(original)]
        self.pods = [self.empty.classes.view(pod) for _, pod in to_pods(arriving)]
        self.gpu_milli = nodes.gpu_total_milli
        self.instance = _instance(self.empty, self.pods)
        self.bound = self.percent(upper_bound(self.instance).value)
        self._keeping = {0: self.bound}

    def percent(self, milli: float) -> float:
        return 100 * milli / self.gpu_milli

    def bound_keeping(self, first: int) -> float:
        """Of schedulers that place the first arrivals, so many."""
        first -= first % 100
        for fewer in LOOSENED:
            found = self._bound_placing(max(first - fewer, 0))
            if found < self.bound:
                return found
        return self.bound

    def _bound_placing(self, first: int) -> float:
        if first not in self._keeping:
            kept = np.zeros_like(self.instance.pod_count)
            np.add.at(kept, self.instance.pod_class[:first], 1)
            self._keeping[first] = self.percent(upper_bound(self.instance.placing(kept)).value)
        return self._keeping[first]

    def run(self, strategy: FGD | Ranked | BinPack | Migrating, window: int = WINDOW) -> Row:
        """What `strategy` makes of it. Raises AssertionError for a decision that is not legal."""
        strategy.fit(self.history)
        on = self.empty.copy()
        arrived = np.cumsum([pod.gpu.total_milli for pod in self.pods])
        allocated = np.zeros(len(self.pods))
        milli = 0

        def after(last: int, binds: tuple[Bind, ...]) -> None:
            nonlocal milli
            milli = int((on.gpu_capacity - on.gpu_free).sum())
            allocated[last] = milli

        began = time.process_time()
        done = fill(strategy, on, self.pods, seed=0, window=window, after=after, retry=True)
        seconds = time.process_time() - began
        assert not done.violations, done.violations[0]
        standing = np.round(self.percent(1.0) * np.maximum.accumulate(allocated), 2)
        at_load = np.round(100 * arrived / self.gpu_milli)
        free = 100 * (1 - on.free.sum(axis=1) / on.capacity.sum(axis=1))
        kinds = [kind_of(pod) for pod in self.pods if on.where(pod.key) is not None]
        first = done.left_out[0] if done.left_out else len(self.pods)
        end = self.percent(float((on.gpu_capacity - on.gpu_free).sum()))
        keeping = self.bound_keeping(first)
        return {
            **{f"gpu@{load}": float(standing[at_load == load].mean()) for load in LOADS},
            "gpu": end,
            "cpu": float(free[CPU]),
            "memory": float(free[MEMORY]),
            "pods": len(kinds),
            **{f"pods:{kind}": kinds.count(at) for at, kind in enumerate(KINDS)},
            "first_left_out": first,
            "retried": done.retried,
            "migrations": done.evictions,
            "bound": self.bound,
            "gap": self.bound - end,
            "bound_keeping": keeping,
            "gap_keeping": keeping - end,
            "cpu_seconds": round(seconds, 1),
        }


def _instance(on: Snapshot, pods: Sequence[PodView]) -> Instance:
    models = [on.gpu_models[model] if model >= 0 else "" for model in on.gpu_model.tolist()]
    return aggregate(
        Nodes(np.array(on.capacity), np.array(on.gpu_capacity), models),
        Pods(
            np.array([pod.requests for pod in pods]).T,
            np.array([pod.gpu.count for pod in pods]),
            np.array([pod.gpu.milli for pod in pods]),
            [pod.gpu.models for pod in pods],
        ),
    )


class Table:
    """Rows as they come, in a CSV file; then means over the seeds and paired differences to the base of each.

    `keys`: names of what tells rows of one list and seed apart.
    """

    def __init__(self, path: Path, *keys: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.keys = keys
        self.rows: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
        self._file = path.open("w", newline="")
        self._csv: Any = csv.writer(self._file, lineterminator="\n")

    def add(self, name: str, seed: int, what: tuple[str, ...], row: Row) -> None:
        if not self.rows:
            self._csv.writerow(["list", "seed", *self.keys, *row])
        self.rows.setdefault((name, what), []).append(row)
        self._csv.writerow([name, seed, *what, *(_short(value) for value in row.values())])
        self._file.flush()
        said = f"{row['gpu@130']:.2f} at 130 %, {row['pods']} pods, bound {row['bound_keeping']:.2f}"
        print(f"{name} {seed} {' '.join(what)}: {said}, {row['cpu_seconds']} s", file=sys.stderr)

    def finish(self, base: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
        """The means, as rows with the seed "mean"; on stdout what each gains over its `base`."""
        print(",".join(["list", *self.keys, "gpu@130", "gain", "low", "high"]))
        for (name, what), rows in self.rows.items():
            means = {at: float(np.mean([row[at] for row in rows])) for at in rows[0]}
            self._csv.writerow([name, "mean", *what, *(_short(value) for value in means.values())])
            shown = (means["gpu@130"], *self.gain(name, what, base(what), "gpu@130"))
            print(",".join([name, *what, *(f"{value:.3f}" for value in shown)]))
        self._file.close()

    def gain(self, name: str, what: tuple[str, ...], base: tuple[str, ...], column: str) -> tuple[float, float, float]:
        """Mean and 95 % interval of the paired differences."""
        pairs = zip(self.rows[name, what], self.rows[name, base], strict=True)
        return interval([row[column] - before[column] for row, before in pairs])


def _short(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


@app.command()
def window(folder: Folder, out: Out, seeds: Seeds = "42-51", lists: Names = "default") -> None:
    """window.csv: FGD one by one, and each strategy with windows of 64 and retries."""
    made: dict[str, tuple[Callable[[], FGD | Ranked | BinPack | Migrating], int]] = {
        "fgd, one by one": (FGD, 1),
        "fgd": (FGD, WINDOW),
        "ranked": (Ranked, WINDOW),
        "binpack, warm start": (lambda: BinPack(neighbourhoods=0), WINDOW),
        "binpack": (BinPack, WINDOW),
    }
    table = Table(out / "window.csv", "strategy")
    for name in lists.split(","):
        for seed in _seeds(seeds):
            arrivals = Arrivals(folder, name, seed)
            for what, (make, size) in made.items():
                table.add(name, seed, (what,), arrivals.run(make(), size))
    table.finish(lambda _: ("fgd",))


BASES: dict[str, Callable[[float], BinPack | Migrating]] = {
    "fgd": lambda part: Migrating(FGD(), migrations=part, move_bare_pods=True),
    "binpack": lambda part: BinPack(neighbourhoods=0, migrations=part, move_bare_pods=True),
}


@app.command()
def migration(folder: Folder, out: Out, seeds: Seeds = "42-51", lists: Names = "default") -> None:
    """migration.csv and migration.svg: one budget after another, in percent of the pods bound."""
    table = Table(out / "migration.csv", "strategy", "budget_percent")
    for name in lists.split(","):
        for seed in _seeds(seeds):
            arrivals = Arrivals(folder, name, seed)
            for base, make in BASES.items():
                strategy, row = None, None
                for percent in BUDGETS_PERCENT:
                    if strategy is None or row is None or strategy.short_of_budget:
                        strategy = make(percent / 100)
                        row = arrivals.run(strategy)
                    table.add(name, seed, (base, f"{percent:g}"), row)
    table.finish(lambda what: (what[0], "0"))
    plot(table, out / "migration.svg")


def plot(table: Table, path: Path) -> None:
    """Gain over no migration by budget, and the room up to the bound, mean over seeds with the 95 % interval."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "migration"  # or every picture has other ids
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, base in dict.fromkeys((name, what[0]) for name, what in table.rows):
        budgets = [what for key, what in table.rows if (key, what[0]) == (name, base)]
        gains = [table.gain(name, what, (base, "0"), "gpu") for what in budgets]
        at = [float(percent) for _, percent in budgets]
        mean = [gain[0] for gain in gains]
        spread = [[gain[0] - gain[1] for gain in gains], [gain[2] - gain[0] for gain in gains]]
        label = f"{name}, {base}"
        (line, *_) = axes.errorbar(at, mean, yerr=np.nan_to_num(spread), marker="o", capsize=3, label=label)
        room = float(np.mean([row["gap_keeping"] for row in table.rows[name, (base, "0")]]))
        axes.axhline(room, linestyle="--", color=line.get_color(), label=f"{label}: the most that any moves can bring")
    axes.set_xlabel("migrations allowed, % of the pods bound")
    axes.set_ylabel("GPU allocated in the end, points gained")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    app()
