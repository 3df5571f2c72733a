"""Tests that are exact at few seeds, intervals that are the tests turned round, and power that is kept."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.measure.statistics import (
    ALPHA,
    EXACT_MOST,
    Paired,
    detectable,
    holm,
    least_seeds,
    one_sided,
    paired,
    power,
    seeds_needed,
    two_sided,
)

DIFFERENCES = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=8)


@given(DIFFERENCES)
def test_p_is_the_share_of_sign_flips_that_are_as_extreme(differences: list[float]) -> None:
    seen = sum(differences)
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    assert two_sided(np.array(differences)) == sum(abs(s) >= abs(seen) for s in sums) / len(sums)
    assert one_sided(np.array(differences)) == sum(s >= seen for s in sums) / len(sums)


@given(st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=9))
@example([2.0] * 6)
def test_the_interval_is_the_test_turned_round(differences: list[float]) -> None:
    """What lies outside is rejected; what lies inside is not, but for values that tie with a subset's mean."""
    found = paired([0.0] * len(differences), differences)
    assert found.low <= found.high
    width = max(found.high - found.low, 1.0)
    for shift in (found.low - width * 1e-3, found.high + width * 1e-3):
        assert two_sided(np.array(differences) - shift) <= ALPHA
    if found.high - found.low > 1e-6 * width:
        middle = (found.low + found.high) / 2
        assert two_sided(np.array(differences) - middle) > ALPHA


def test_a_constant_difference_is_no_proof_at_three_seeds_and_one_at_ten() -> None:
    three, ten = paired([1.0] * 3, [3.0] * 3), paired([1.0] * 10, [3.0] * 10)
    assert three.p == 0.25
    assert three.too_few
    assert math.isnan(three.low)
    assert ten.p == 2 / 1024
    assert (ten.low, ten.high) == (2.0, 2.0)
    assert paired([1.0] * 30, [3.0] * 30).p == pytest.approx(2**-29)


def test_ties_weigh_nothing() -> None:
    """Nine equal seeds and one that differs are no proof; ten equal ones are equal."""
    assert paired([1.0] * 10, [1.0] * 9 + [9.0]).p == 1.0
    same = paired([1.0] * 10, [1.0] * 10)
    assert same.equal
    assert same.p == 1.0


def test_so_many_seeds_it_takes_at_least() -> None:
    assert [least_seeds(level) for level in (0.05, 0.025, 0.01, 0.05 / 6)] == [6, 7, 8, 8]
    for level in (0.05, 0.01):
        n = least_seeds(level)
        assert two_sided(np.ones(n)) <= level < two_sided(np.ones(n - 1))


@pytest.mark.parametrize("n", [6, 10, EXACT_MOST, 25])
def test_equal_arms_are_told_apart_in_one_of_twenty_at_most(n: int) -> None:
    """Also where differences are lopsided in size: a mixture of small and large ones."""
    rng = np.random.default_rng(n)
    wrong = covered = 0
    for _ in range(600):
        differences = rng.standard_normal(n) * rng.choice([1.0, 6.0], n)
        found = paired([0.0] * n, differences.tolist())
        wrong += found.p <= ALPHA
        covered += found.low <= 0 <= found.high
    assert wrong / 600 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)
    assert covered / 600 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize(("n", "level"), [(6, 0.05), (8, 0.05), (10, 0.05), (10, 0.05 / 6), (12, 0.05), (25, 0.01)])
def test_a_difference_is_found_as_often_as_promised(n: int, level: float) -> None:
    effect = detectable(n, 2.0, level)
    rng = np.random.default_rng(n)
    found = sum(two_sided(rng.normal(effect, 2.0, n)) <= level for _ in range(800)) / 800
    assert found == pytest.approx(0.8, abs=0.045)


def test_more_seeds_find_smaller_differences_and_the_number_is_the_least() -> None:
    assert detectable(8, 1.0) > detectable(12, 1.0) > detectable(40, 1.0)
    n = seeds_needed(0.5, 1.0)
    assert n is not None
    assert power(0.5, 1.0, n, ALPHA) >= 0.8 > power(0.5, 1.0, n - 1, ALPHA)
    assert seeds_needed(1e-6, 1.0) is None
    assert seeds_needed(0.0, 1.0) is None


def with_p(p: float, outside: float = 1.0) -> Paired:
    return Paired(10, 0, 1, 1, 0, 2, p, 1.0, outside=outside)


def test_holm_steps_down_and_stops() -> None:
    found = holm([with_p(p) for p in (0.04, 0.011, 0.2, 0.012)])
    assert [item.differs for item in found] == [False, True, False, True]  # 0.05/4, 0.05/3, then 0.04 > 0.025
    assert {item.level for item in found} == {0.05 / 4}
    same = holm([with_p(1, 0.01), with_p(1, 0.04)])
    assert [item.equivalent for item in same] == [True, True]


def test_equivalence_is_shown_not_assumed() -> None:
    """Few seeds, or loud ones, prove no equivalence; quiet ones within the margin do."""
    rng = np.random.default_rng(5)
    base = [100.0] * 10
    quiet = [100 + x for x in rng.normal(0, 0.2, 10)]
    loud = [100 + x for x in rng.normal(0, 5.0, 10)]
    assert paired(base, quiet, margin=1.0).outside <= 0.05
    assert paired(base, loud, margin=1.0).outside > 0.05
    assert paired(base[:3], quiet[:3], margin=1.0).outside > 0.05
    assert paired(base, quiet).outside == 1.0
    beyond = [101.5 + x for x in rng.normal(0, 0.1, 10)]
    assert paired(base, beyond, margin=1.0).outside > 0.9


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
@pytest.mark.parametrize("n", [8, 20])
def test_what_is_no_number_proves_nothing(value: float, n: int) -> None:
    """Compared with NaN nothing is as extreme, which an exact test would call p = 0."""
    with pytest.raises(ValueError, match="no number"):
        paired([1.0] * n, [2.0] * (n - 1) + [value])


@pytest.mark.parametrize("n", [8, 10, 20])
def test_a_family_of_three_is_wrong_in_one_of_twenty_and_so_are_equivalences(n: int) -> None:
    """Three measures of the same runs, which go together; and a difference that is just as large as the margin."""
    rng = np.random.default_rng(n)
    different = equivalent = 0
    for _ in range(500):
        family = rng.standard_normal((3, n)) + rng.standard_normal(n) / 2
        different += any(item.differs for item in holm([paired([0.0] * n, row.tolist()) for row in family]))
        at_margin = rng.normal(1.0, 0.8, n)
        equivalent += holm([paired([0.0] * n, at_margin.tolist(), margin=1.0)])[0].equivalent
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)
    assert different / 500 <= most
    assert equivalent / 500 <= most


@pytest.mark.parametrize(("n", "most"), [(8, 0.2), (30, 0.16)])
def test_what_leans_to_one_side_errs_as_often_as_is_said(n: int, most: float) -> None:
    """Equal means of arms that are not alike: the README says how often they are told apart."""
    rng = np.random.default_rng(n)
    tries = 600
    lopsided = rng.lognormal(0, 1, (tries, n)) - math.exp(0.5)
    wrong = sum(paired([0.0] * n, row.tolist()).p <= 0.05 for row in lopsided)
    assert 0.05 < wrong / tries < most
