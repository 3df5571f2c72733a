"""A pod's queue as it is reckoned, next to an event-by-event simulation of the same: latencies and losses by load.

    python -m benchmarks.queueing --out results/reference/queueing

Each cell of the table is simulated in ten runs, each from an empty pod on, of which the first fifth does not count.
Two standard errors of the runs' mean stand beside each difference: what the simulation itself is uncertain by. Near
capacity lines wander for thousands of requests, and runs of 30,000 tell little: with `--noise 1.5` the runs of a cell
that is uncertain by more than 1.5 % are made again, with other random numbers, as much longer as it takes to come below
that, and MOST_LONGER times at most.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.notes import FULL
from harness.measure.queue_model import QueueModel
from harness.measure.queueing import outcome, quantile
from harness.measure.service_time import ServiceTime
from tests.measure.queue_simulation import draw, serve

SHAPES = {
    "exponential": ServiceTime(),
    "deterministic": ServiceTime("deterministic"),
    "gamma 0.1": ServiceTime("gamma", 0.1),
    "gamma 0.5": ServiceTime("gamma", 0.5),
    "gamma 2": ServiceTime("gamma", 2.0),
    "lognormal 0.5": ServiceTime("lognormal", 0.5),
    "lognormal 1.5": ServiceTime("lognormal", 1.5),
    "lognormal 3": ServiceTime("lognormal", 3.0),
    "samples 1 1 2 6": ServiceTime("samples", samples=(1.0, 1.0, 2.0, 6.0)),
}
LOADS = (0.3, 0.5, 0.7, 0.9, 1.0, 1.1, 1.3, 1.5)
WORKERS = (1, 2, 8)
LIMITS = (5, 50)
REQUESTS = 3_000_000 if FULL else 300_000
RUNS = 10
MOST_LONGER = 40
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
SERVICE_S, TIMEOUT_S = 0.005, 0.06


def simulated(model: QueueModel, rate_rps: float, requests: int, seed: int) -> dict[str, float]:
    """One run; `lost` is the share of all requests that found the line full or were given up by their client."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate_rps, requests))
    services = draw(model.service_time, requests, rng) * model.service_s
    warm = requests // 5
    found, blocked = serve(model, arrivals.tolist(), services.tolist(), warm)
    latencies = np.array(found)
    lost = (blocked + int((latencies > model.timeout_s).sum())) / (requests - warm)
    return {**{name: float(np.quantile(latencies, share)) for name, share in SHARES.items()}, "lost": lost}


# size: a cell, how it is simulated, and how surely.
def cell(
    shape: str, workers: int, limit: int, load: float, requests: int, most_noise: float = math.inf
) -> dict[str, Any]:
    """Differences in per cent: of latencies relative, of losses of all requests. `most_noise`: in per cent, above which
    it is simulated for longer."""
    model = QueueModel(SERVICE_S, workers, limit, TIMEOUT_S, TIMEOUT_S, 0.9, SHAPES[shape])
    rate = load * model.capacity_rps
    runs = [simulated(model, rate, requests // RUNS, 1000 * seed + workers + limit) for seed in range(RUNS)]
    noise = max(uncertainty(runs, name) for name in (*SHARES, "lost"))
    if noise > most_noise:
        requests *= min(MOST_LONGER, math.ceil(1.2 * (noise / most_noise) ** 2))
        seeds = range(RUNS, 2 * RUNS)
        runs = [simulated(model, rate, requests // RUNS, 1000 * seed + workers + limit) for seed in seeds]
    reckoned = outcome(model, rate)
    ours = {name: quantile(model, reckoned.tail, share) for name, share in SHARES.items()}
    ours["lost"] = reckoned.blocked + reckoned.late
    out: dict[str, Any] = {"service time": shape, "workers": workers, "queueLimit": limit, "load": load}
    if most_noise < math.inf:
        out["requests"] = requests
    for name, value in ours.items():
        mean = float(np.mean([run[name] for run in runs]))
        whole = 1.0 if name == "lost" else mean
        out[name] = f"{value:.5f}"
        out[f"{name} simulated"] = f"{mean:.5f}"
        out[f"{name} off %"] = f"{100 * (value - mean) / whole:.2f}"
        out[f"{name} noise %"] = f"{uncertainty(runs, name):.2f}"
    return out


def uncertainty(runs: list[dict[str, float]], name: str) -> float:
    """Two standard errors of the mean of runs, in per cent: of latencies relative, of losses of all requests."""
    values = [run[name] for run in runs]
    whole = 1.0 if name == "lost" else float(np.mean(values))
    return 200 * float(np.std(values, ddof=1)) / math.sqrt(len(values)) / whole


def beyond(row: dict[str, Any], within: float = 2.0) -> list[str]:
    """What is further off than that, the simulation's own noise set aside."""
    names = (*SHARES, "lost")
    return [name for name in names if abs(float(row[f"{name} off %"])) > within + float(row[f"{name} noise %"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each cell")
    parser.add_argument("--noise", type=float, default=math.inf, help="per cent: less sure cells are run for longer")
    chosen = parser.parse_args()
    rows = []
    for shape, workers, limit, load in product(SHAPES, WORKERS, LIMITS, LOADS):
        rows.append(cell(shape, workers, limit, load, chosen.requests, chosen.noise))
        if far := beyond(rows[-1]):
            print(f"{shape}, {workers} workers, limit {limit}, load {load}: {', '.join(far)}", file=sys.stderr)
    chosen.out.mkdir(parents=True, exist_ok=True)
    with (chosen.out / "queueing.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    worst = {name: max(abs(float(row[f"{name} off %"])) for row in rows) for name in (*SHARES, "lost")}
    print(
        f"{len(rows)} cells, {sum(map(bool, map(beyond, rows)))} beyond 2 % and the noise; largest differences: {worst}"
    )


if __name__ == "__main__":
    main()
