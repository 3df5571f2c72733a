"""Training by direct policy search: weights are drawn, tried on generated lists, and the best ones draw the next.

CMA-ES with a diagonal covariance (Ros and Hansen 2008), by the package `cma`; each generation is tried on a few of the
lists, the same ones for all its candidates. A mean follows the lists of its last generations, so what counts is a
moving average of the means; what is kept is the one that did best on full-sized lists held out from the search.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from harness.model.errors import UserError
from harness.scheduling.strategy import Float64, Int64
from schedulers.ranked.features import KINDS, NAMES
from schedulers.ranked.lists import JITTER, LOAD_PERCENT, refuse_test_seed, training_list
from schedulers.ranked.model import LARGEST, Model

if TYPE_CHECKING:
    from schedulers.ranked.compiled import CompiledList

LOADS = ((130, 2), (100, 1))
"""(GPU milli that arrived, in percent of the GPUs; how much the allocation then counts)."""

CHECK_EVERY = 10
"""Generations between two looks at the lists held out."""

TRAIL = 0.1
"""What a new mean counts in the moving average."""

Progress = Callable[[int, float, float], None]
"""(generation, mean value of its candidates, value on the lists held out), GPU allocation in percent."""


@dataclass(frozen=True, slots=True)
class Training:
    """`lists`, `held_out`: seeds of generated lists, and the nodes of each. `batch`: lists of a generation."""

    lists: tuple[int, ...] = tuple(range(2000, 2060))
    held_out: tuple[int, ...] = tuple(range(3000, 3012))
    nodes: int = 400
    held_out_nodes: int = 1213
    batch: int = 10
    population: int = 16
    generations: int = 60
    spread: float = 0.08  # of each weight at first
    seed: int = 1


BEGINS_AT = (
    "the four measures of waste, memory's more than the others; CPU packed, memory spread: rounded from what earlier "
    "searches on lists 2000-2039 of this generator found, which began at equal weights of the four"
)


def start() -> Int64:
    """Weights that the search begins at, see BEGINS_AT."""
    weights = np.zeros((len(KINDS), len(NAMES)), dtype=np.int64)
    for name in ("fragmentation", "device_waste", "cpu_waste"):
        weights[:, NAMES.index(name)] = 1000
    weights[:, NAMES.index("memory_waste")] = 1700
    weights[:, NAMES.index("cpu_surplus")] = (700, 100, 100, 100, 100)
    weights[:, NAMES.index("cpu_free")] = (0, -700, -700, -700, -700)
    weights[:, NAMES.index("memory_free")] = (1200, 1000, 1000, 1000, 1000)
    return weights


def train(how: Training, progress: Progress | None = None) -> Model:
    """The same `how` gives the same weights. Raises UserError for lists that results are judged by.

    Needs the extra `learn`.
    """
    for seed in (*how.lists, *how.held_out):
        refuse_test_seed(seed)
    if both := sorted(set(how.lists) & set(how.held_out)):
        raise UserError("a list is both trained on and held out", found=both, expected="seeds in one of them only")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it found no matplotlib
            import cma

        from schedulers.ranked.compiled import CompiledList
    except ImportError as error:
        raise UserError(f"training needs {error.name}", hint="pip install 'podyard[learn]'") from None
    lists = [CompiledList.of(training_list(seed, how.nodes)) for seed in how.lists]
    held_out = [CompiledList.of(training_list(seed, how.held_out_nodes)) for seed in how.held_out]
    first = start()
    search = cma.CMAEvolutionStrategy(
        first.ravel() / 1000,
        how.spread,
        # Never ends by itself: what ends it is the number of generations. Seed 0 would mean the time of day.
        {"popsize": how.population, "seed": how.seed + 1, "CMA_diagonal": True, "verbose": -9, "tolflatfitness": 10**9},
    )
    rng = np.random.default_rng(how.seed)
    best, best_value = first, _value(first, held_out)
    begun, trail = best_value, first.ravel() / 1000
    for generation in range(how.generations):
        chosen = [lists[at] for at in rng.choice(len(lists), min(how.batch, len(lists)), replace=False)]
        drawn = search.ask()
        values = [_value(_whole(weights), chosen) for weights in drawn]
        search.tell(drawn, [-value for value in values])
        trail = (1 - TRAIL) * trail + TRAIL * np.asarray(search.mean)
        if (generation + 1) % CHECK_EVERY and generation + 1 < how.generations:
            continue
        average = _whole(trail)
        value = _value(average, held_out)
        if value > best_value:
            best, best_value = average, value
        if progress is not None:
            progress(generation + 1, float(np.mean(values)), value)
    card = {
        "method": "CMA-ES with diagonal covariance (package cma), pods of each kind weighted apart; kept is the "
        "moving average of the means that did best on the lists held out",
        "objective": "GPU allocation in percent, mean over the arrivals at a load of the cluster's GPUs; "
        + ", ".join(f"at {load} % counted {times} times" for load, times in LOADS),
        "trainingLists": f"openb_like generator, seeds {_ranges(how.lists)}; {how.nodes} nodes, arrivals up to "
        f"{LOAD_PERCENT} %, frequencies jittered by e^{JITTER}",
        "heldOut": f"openb_like generator, seeds {_ranges(how.held_out)}; {how.held_out_nodes} nodes, likewise",
        "beginsAt": BEGINS_AT,
        "features": list(NAMES),
        "neverSeen": "arrival orders and node ranks of the openb trace and of every list published with it, seeds "
        "below 2000, departures, other traces. The generator knows openb's marginals: how often each request occurs "
        "in the default list (before jitter), which models the list gpuspec25 names, and the node shapes",
        "population": how.population,
        "batch": how.batch,
        "generations": how.generations,
        "spread": how.spread,
        "seed": how.seed,
        "startedAt": round(begun, 4),
        "reached": round(best_value, 4),
        "packages": {name: version(name) for name in ("cma", "numba", "numpy")},
    }
    return Model(best, card)


def _whole(weights: Float64) -> Int64:
    bounded = np.clip(np.rint(np.asarray(weights) * 1000), -LARGEST, LARGEST)
    return bounded.astype(np.int64).reshape(len(KINDS), len(NAMES))


def _value(weights: Int64, lists: Sequence[CompiledList]) -> float:
    """Mean over the lists, of the loads as they count."""
    loads, times = zip(*LOADS, strict=True)
    values = np.array([made.allocated_percent(weights, loads) for made in lists])
    return float(np.average(values.mean(axis=0), weights=times))


def _ranges(seeds: Sequence[int]) -> str:
    """Seeds in a row as first-last."""
    ordered = sorted(set(seeds))
    firsts = [seed for seed in ordered if seed - 1 not in set(ordered)]
    lasts = [seed for seed in ordered if seed + 1 not in set(ordered)]
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in zip(firsts, lasts, strict=True))
