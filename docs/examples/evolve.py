"""A search over scoring functions: each candidate is a file, and `podyard evaluate` says what it is worth.

    python evolve.py --generations 3 --children 4

The best of a generation is the parent of the next. What writes candidates here is a random change of weights; a
language model takes its place by reading the same JSON: reason, violations and feedback say what to change.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

WEIGHTS = ("gpu_left", "cpu_left", "memory_left", "same_model_left", "whole_devices_left")

TEMPLATE = '''\
"""Written by evolve.py."""

import numpy as np

from harness.scheduling.strategy import CPU, MEMORY

WEIGHTS = {weights}


def score(pod, cluster):
    """The higher the better, one number per node: a weighted sum of what the pod would leave."""
    capacity = np.maximum(cluster.capacity, 1)
    left = (cluster.free - pod.requests[: len(cluster.resources), None]) / capacity
    gpus = np.maximum(cluster.gpu_capacity.sum(axis=1), 1)
    gpu_left = (cluster.gpu_free.sum(axis=1) - pod.gpu.total_milli) / gpus
    whole = (cluster.gpu_free == 1000).sum(axis=1) / np.maximum((cluster.gpu_capacity > 0).sum(axis=1), 1)
    scarce = np.array([(cluster.gpu_model == model).mean() for model in cluster.gpu_model])
    features = np.stack([gpu_left, left[CPU], left[MEMORY], scarce, whole])
    return np.array(list(WEIGHTS.values())) @ features
'''


def write(folder: Path, name: str, weights: dict[str, float]) -> Path:
    file = folder / f"{name}.py"
    file.write_text(TEMPLATE.format(weights=json.dumps(weights, indent=4)), encoding="utf-8")
    return file


def evaluate(files: list[Path], suite: str) -> list[dict]:
    """One call for a generation: the baseline is run once."""
    command = [sys.executable, "-m", "harness.cli", "evaluate", *map(str, files), "--suite", suite, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: some file has no score
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--generations", type=int, default=8)
    asked.add_argument("--children", type=int, default=6)
    asked.add_argument("--suite", default="gpu-small")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--folder", type=Path, default=Path("evolved"))
    given = asked.parse_args()
    given.folder.mkdir(exist_ok=True)
    rng = random.Random(given.seed)
    # One key for the whole search, so that scores of its generations are of the same seeds.
    os.environ.setdefault("PODYARD_EVALUATE_KEY", f"evolve/{given.seed}")
    parent = {name: rng.gauss(0, 1) for name in WEIGHTS}
    best = float("-inf")
    for generation in range(given.generations):
        sizes = [{name: value + rng.gauss(0, 0.5) for name, value in parent.items()} for _ in range(given.children)]
        candidates = [parent, *sizes] if generation == 0 else sizes
        files = [write(given.folder, f"g{generation}-{index}", weights) for index, weights in enumerate(candidates)]
        for weights, file, found in zip(candidates, files, evaluate(files, given.suite), strict=True):
            if found["score"] is None:
                print(f"{file.name}: {found['verdict']}: {found['reason']}")
            elif found["score"] > best:
                best, parent = found["score"], weights
                write(given.folder, "best", weights)
                print(f"{file.name}: {best:+.3f} ({found['low']:+.3f} .. {found['high']:+.3f})")
    print("best:", given.folder / "best.py")


if __name__ == "__main__":
    main()
