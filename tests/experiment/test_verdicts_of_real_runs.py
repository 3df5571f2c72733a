"""Verdicts on whole runs: two that are alike are told apart in one of twenty comparisons at most."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.experiment.compare import compare, question
from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.measure.shipped import shipped
from harness.measure.statistics import detectable
from tests.experiment.scenarios import loaded

SEEDS = 60
COMPARISONS = 400


@pytest.fixture(scope="module")
def pool() -> dict[str, list[Result]]:
    spec = loaded(
        duration="10m",
        nodes=[{"openbLike": {"count": 6}}],
        workload=[{"openbLike": {"pods": 60, "load": 130, "longest": "4m"}}],
        events=False,
        bound=False,
    )
    names = {"random": "random", "other": "tests.experiment.lazy:OtherRandom"}
    return {arm: [run_once(spec, name, seed) for seed in range(SEEDS)] for arm, name in names.items()}


def wilson(found: int) -> tuple[float, float]:
    """The 95 % interval of a share of the comparisons."""
    share, z = found / COMPARISONS, 1.96
    centre = (share + z * z / (2 * COMPARISONS)) / (1 + z * z / COMPARISONS)
    half = z * math.sqrt(share * (1 - share) / COMPARISONS + z * z / (4 * COMPARISONS**2)) / (1 + z * z / COMPARISONS)
    return centre - half, centre + half


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_equal_strategies_are_told_apart_in_one_of_twenty_at_most(pool: dict[str, list[Result]], seeds: int) -> None:
    """400 comparisons, each of so many of the 60 seeds, drawn anew; and the 95 % interval of the share (Wilson)."""
    rng = np.random.default_rng(seeds)
    asked = question(shipped(), [result for results in pool.values() for result in results])
    wrong = 0
    for _ in range(COMPARISONS):
        chosen = set(rng.choice(SEEDS, seeds, replace=False).tolist())
        arms = {arm: [result for result in results if result.seed in chosen] for arm, results in pool.items()}
        wrong += any(row.primary and row.found.differs for row in compare(arms, asked))
    low, high = wilson(wrong)
    share = wrong / COMPARISONS
    print(f"{seeds} seeds: different in {share:.2%}, 95 % interval {low:.2%} to {high:.2%}")
    assert low <= 0.05
    if seeds < 6:
        assert wrong == 0  # too few to say anything


WAIT, LOW, HIGH = "placement.pendingSeconds.mean", 0.7, 0.9


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("seeds", [8, 12, 20])
def test_a_known_difference_is_found_as_often_as_promised(pool: dict[str, list[Result]], seeds: int) -> None:
    """What is said to be found with a chance of 80 % is added to the waits of one arm: it is, in 70 to 90 % of 400
    comparisons (their noise is that of real runs, which is not normal); and never the other way round."""
    rng = np.random.default_rng(seeds)
    base, other = ([result.metrics["placement"]["pendingSeconds"]["mean"] for result in arm] for arm in pool.values())
    apart = np.array(other) - np.array(base)
    effect = detectable(seeds, float(apart.std(ddof=1))) - float(apart.mean())
    asked = question(shipped(), pool["random"], (WAIT,))
    verdicts = []
    for _ in range(COMPARISONS):
        chosen = rng.integers(0, SEEDS, seeds).tolist()
        arms = {
            arm: [waiting(results[index], seed, effect * (arm == "other")) for seed, index in enumerate(chosen)]
            for arm, results in pool.items()
        }
        (row,) = compare(arms, asked)
        verdicts.append(row.verdict)
    found = sum(verdict.startswith("random is better") for verdict in verdicts)
    low, high = wilson(found)
    share = found / COMPARISONS
    print(f"{seeds} seeds: found in {share:.2%}, 95 % interval {low:.2%} to {high:.2%}; promised 80 %")
    assert LOW <= share <= HIGH
    assert not any(verdict.startswith("other is better") for verdict in verdicts)


def waiting(result: Result, seed: int, more: float) -> Result:
    """The same run as one of another seed, its pods waiting for longer."""
    placement = result.metrics["placement"]
    waits = {"mean": placement["pendingSeconds"]["mean"] + more}
    return replace(result, seed=seed, metrics={"placement": {**placement, "pendingSeconds": waits}})
