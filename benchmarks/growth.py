"""How cost grows with the cluster: pods/s, time a decision takes and memory, from 1000 to 100,000 nodes.

    python -m benchmarks.growth --nodes 1000,2000,5000,10000,20000,50000,100000 --out results/reference/growth

Each point is a process of its own: a cluster with every controller and a kubelet a node, in which pods (10 a node, as
SchedulingBasic's) are created in waves and run until the last of them is Running; the journal and the way of each pod
are kept in memory, as in a run that makes a record. Times are CPU time: the process has one thread and waits for
nothing. Written are growth.csv and, with matplotlib (the extra `[report]`), growth.svg.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.notes import fresh_peak, peak_mib
from benchmarks.rig import BOOT_NS, STRATEGIES, cluster, nodes, pods, running
from harness.cluster.workload_driver import WorkloadDriver
from harness.engine.component import SECOND
from harness.measure.journal import Journal
from harness.measure.pods import PodLives
from harness.scheduling.cycle.scheduler import Scheduler

PODS_PER_NODE = 10
WAVE = 10_000
"""Pods created at one instant; a scheduler that takes 1 ms a pod is done with a wave when the next one comes."""

COLUMNS = (
    "strategy",
    "nodes",
    "pods",
    "pods_per_second",
    "us_per_decision",
    "peak_mib",
    "boot_seconds",
    "seconds",
    "digest",
)


def waves(count: int, start: int) -> Iterator[tuple[int, Any]]:
    for i, pod in enumerate(pods(count)):
        yield start + i // WAVE * (WAVE // 1000) * SECOND, pod


def point(strategy: str, count: int) -> dict[str, Any]:
    """One size, in this process."""
    fresh_peak()
    started = time.process_time()
    made = cluster(nodes(count), strategy, clock=time.process_time)
    journal = Journal(lambda: made.server.now, (PodLives(),))
    made.server.listeners.append(journal.written)
    made.api.observers.append(journal.observed)
    booted = time.process_time()
    wanted = count * PODS_PER_NODE
    made.add(WorkloadDriver(waves(wanted, BOOT_NS)))
    made.run(BOOT_NS + wanted // 1000 * SECOND)
    while running(made) < wanted:
        made.run(made.now + SECOND)
    spent = time.process_time() - booted
    scheduler = made.components["default-scheduler"]
    assert isinstance(scheduler, Scheduler)
    tally = scheduler.tally
    return {
        "strategy": strategy,
        "nodes": count,
        "pods": wanted,
        "pods_per_second": round(wanted / spent),
        "us_per_decision": round(1e6 * tally.deciding_s / tally.decisions, 1),
        "peak_mib": round(peak_mib()),
        "boot_seconds": round(booted - started, 2),
        "seconds": round(spent, 2),
        "digest": journal.digest(),
    }


def apart(strategy: str, count: int) -> dict[str, Any]:
    """The same in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "benchmarks.growth", "--point", strategy, "--nodes", str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "growth", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt

    figures = (
        ("us_per_decision", "time a decision takes (µs)"),
        ("pods_per_second", "pods from create to Running (1/s)"),
        ("peak_mib", "memory, peak (MiB)"),
    )
    figure, axes = plt.subplots(1, len(figures), figsize=(13, 4))
    for axis, (column, label) in zip(axes, figures, strict=True):
        for strategy in dict.fromkeys(row["strategy"] for row in rows):
            mine = [row for row in rows if row["strategy"] == strategy]
            axis.plot([row["nodes"] for row in mine], [row[column] for row in mine], marker="o", label=strategy)
        axis.set_xscale("log")
        if column == "peak_mib":
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set_xlabel(f"nodes ({PODS_PER_NODE} pods each)")
        axis.set_ylabel(label)
        axis.grid(True, alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, Any]]:
    """Points of an earlier run."""
    with path.open(newline="") as file:
        return [
            {
                name: text if name == "strategy" else float(text) if "." in text else int(text)
                for name, text in row.items()
            }
            for row in csv.DictReader(file)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1000,2000,5000,10000,20000,50000,100000")
    parser.add_argument("--strategies", default="greedy,kube")
    parser.add_argument("--out", type=Path, default=Path("results/local/growth"))
    parser.add_argument("--keep", action="store_true", help="keep the points of growth.csv that are not measured anew")
    parser.add_argument("--point", choices=sorted(STRATEGIES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(size) for size in given.nodes.split(",")]
    if given.point:
        print(json.dumps(point(given.point, sizes[0])))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    table = given.out / "growth.csv"
    order = given.strategies.split(",")
    rows = {(row["strategy"], row["nodes"]): row for row in (read(table) if given.keep and table.exists() else ())}
    for size in sizes:
        for strategy in order:
            row = rows[strategy, size] = apart(strategy, size)
            print(", ".join(f"{name} {row[name]}" for name in COLUMNS), file=sys.stderr)
            write([rows[key] for key in sorted(rows)], table)
    try:
        plot([rows[key] for key in sorted(rows)], given.out / "growth.svg")
    except ImportError:
        print("no plot without matplotlib: install the extra [report]", file=sys.stderr)


if __name__ == "__main__":
    main()
