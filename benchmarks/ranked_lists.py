"""`ranked` against FGD on the arrival lists of the FGD experiment, one pod at a time: paired, with intervals.

    python -m benchmarks.ranked_lists FOLDER --lists default --seeds 42-51

FOLDER holds `traces/openb/` and `fgd/arrivals/` (orders and node ranks by list and seed). A list without such files
is drawn by the same protocol: `--seeds 2000-2004`. Both strategies know the original pod list, as the published FGD
does. GPU allocation is the published cell: the mean over arrivals at the load, in percent of the GPUs, of the
allocation rounded to two decimals. CPU, memory and pods placed are those at the end, and so is what is left idle, in
percent of the GPUs: on nodes with less CPU than any pod with GPUs asked for, else whole devices, else parts of one.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.stats import t as student

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import fill
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import CPU, MEMORY, Bind, Float64
from schedulers.fgd import FGD
from schedulers.ranked import Ranked
from schedulers.ranked.features import KINDS, kind_of
from workloads.manifests import to_nodes, to_pods
from workloads.readers.fgd import arrive, draw_order, draw_ranks, ranked
from workloads.table import NodeTable, Workload
from workloads.trace import read, read_nodes

LOADS = (100, 130)
IDLE = ("no-cpu", "device", "part")
MEASURES = (
    *(f"gpu@{load}" for load in LOADS),
    "cpu",
    "memory",
    "pods",
    *(f"pods:{kind}" for kind in KINDS),
    *(f"idle:{why}" for why in IDLE),
)


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    root: Path

    def load(self, name: str, seed: int) -> tuple[Workload, Workload, NodeTable]:
        """(original pods, arrivals, nodes in tie-break order)."""
        pods = read(self.root / f"traces/openb/openb_pod_list_{name}.csv", options={"mode": "fill"}).workload
        nodes, _ = read_nodes(self.root / "traces/openb/openb_node_list_gpu_node.csv")
        order = self.root / f"fgd/arrivals/{name}_{seed}_pods.txt.gz"
        if order.exists():
            return pods, arrive(pods, order), ranked(nodes, self.root / f"fgd/arrivals/{name}_{seed}_noderank.txt.gz")
        rng = np.random.default_rng(seed)
        return pods, draw_order(pods, nodes.gpu_total_milli, rng), draw_ranks(nodes, rng)


def measured(strategy: FGD | Ranked, original: Workload, arrivals: Workload, nodes: NodeTable) -> tuple[Float64, float]:
    """MEASURES of one run, and decisions per second of CPU time."""
    on = Snapshot()
    for node in to_nodes(nodes):
        on.add_node(**node_columns(node))
    strategy.fit([on.classes.view(pod) for _, pod in to_pods(original)])
    pods = [on.classes.view(pod) for _, pod in to_pods(arrivals)]
    load = np.cumsum([pod.gpu.total_milli for pod in pods])
    allocated = np.zeros(len(pods), dtype=np.int64)

    def after(last: int, binds: tuple[Bind, ...]) -> None:
        allocated[last] = sum(bind.pod.gpu.total_milli for bind in binds)

    began = time.process_time()  # one thread; other processes do not count
    done = fill(strategy, on, pods, seed=0, after=after)
    seconds = time.process_time() - began
    assert not done.violations, done.violations[0]
    whole = nodes.gpu_total_milli
    percent = np.round(100 * np.cumsum(allocated) / whole, 2)
    arrived = np.round(100 * load / whole)
    gpu = [float(percent[arrived == at].mean()) for at in LOADS]
    free = 100 * (1 - on.free.sum(axis=1) / on.capacity.sum(axis=1))
    placed = [kind_of(pod) for pod, node in zip(pods, done.node, strict=True) if node >= 0]
    kinds = [placed.count(kind) for kind in range(len(KINDS))]
    least = min(pod.cls.amounts[CPU] for pod in pods if pod.gpu.count)
    idle, enough = on.gpu_free, on.free[CPU] >= least
    no_cpu, kept = idle[~enough].sum(), idle[enough]
    devices = kept[kept == DEVICE_MILLI].sum()
    left = 100 * np.array([no_cpu, devices, kept.sum() - devices]) / whole
    return np.array([*gpu, free[CPU], free[MEMORY], len(placed), *kinds, *left]), len(pods) / seconds


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % interval (Student's t)."""
    values = np.array(differences)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return mean, mean - half, mean + half


def main(
    folder: Annotated[Path, typer.Argument(help="Holds traces/openb/ and fgd/arrivals/.")],
    lists: Annotated[str, typer.Option(help="Separated by commas.")] = "default",
    seeds: Annotated[str, typer.Option(help="As 42-51.")] = "42-51",
    model: Annotated[str, typer.Option(help="Weights other than the shipped ones.")] = "",
) -> None:
    """One row a list and measure on stdout, as CSV: both means, the paired difference, its interval."""
    first, _, last = seeds.partition("-")
    chosen = range(int(first), int(last or first) + 1)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["list", "seeds", "measure", "fgd", "ranked", "difference", "low", "high"])
    for name in lists.split(","):
        rows: list[Float64] = []
        for seed in chosen:
            loaded = Lists(folder).load(name, seed)
            fgd, _ = measured(FGD(), *loaded)
            ours, speed = measured(Ranked(model), *loaded)
            rows.append(np.array([fgd, ours]))
            gain = f"{fgd[1]:.2f} -> {ours[1]:.2f}"
            print(f"{name} {seed}: GPU at 130 % {gain}, {speed:.0f} decisions/s", file=sys.stderr)
        table = np.array(rows)
        for at, measure in enumerate(MEASURES):
            fgd_mean, our_mean = table[:, :, at].mean(axis=0)
            shown = (fgd_mean, our_mean, *interval((table[:, 1, at] - table[:, 0, at]).tolist()))
            out.writerow([name, seeds, measure, *(f"{value:.3f}" for value in shown)])


if __name__ == "__main__":
    typer.run(main)
