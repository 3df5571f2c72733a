"""Verdicts on whole runs: two that are alike are told apart in one of twenty comparisons at most."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.experiment.compare import compare, question
from harness.experiment.result import Result
from harness.experiment.run import run_once
from harness.measure.shipped import shipped
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
    share, z = wrong / COMPARISONS, 1.96
    centre = (share + z * z / (2 * COMPARISONS)) / (1 + z * z / COMPARISONS)
    half = z * math.sqrt(share * (1 - share) / COMPARISONS + z * z / (4 * COMPARISONS**2)) / (1 + z * z / COMPARISONS)
    low, high = 100 * (centre - half), 100 * (centre + half)
    print(f"{seeds} seeds: different in {100 * share:.2f} %, 95 % interval {low:.2f} to {high:.2f} %")
    assert centre - half <= 0.05
    if seeds < 6:
        assert wrong == 0  # too few to say anything
