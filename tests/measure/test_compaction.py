"""Cell compaction finds the boundary between what fits and what does not, the same one for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.bound import Nodes, Pods, aggregate, nodes_needed
from harness.measure.compaction import Compaction, cell_compaction

Sizes = list[int]


class FirstFit:
    """Packs pods of one resource onto the nodes that are left, and keeps what it was asked."""

    def __init__(self, nodes: Sizes, pods: Sizes) -> None:
        self._nodes, self._pods = nodes, pods
        self.asked: dict[tuple[int, ...], bool] = {}

    def __call__(self, kept: np.ndarray) -> bool:
        free = [self._nodes[node] for node in kept.tolist()]
        fitted = True
        for pod in sorted(self._pods, reverse=True):
            place = next((i for i, room in enumerate(free) if room >= pod), None)
            fitted = fitted and place is not None
            if place is not None:
                free[place] -= pod
        self.asked[tuple(kept.tolist())] = fitted
        return fitted


loads = st.tuples(
    st.lists(st.integers(2, 12), min_size=1, max_size=12), st.lists(st.integers(1, 9), min_size=1, max_size=20)
)


@given(loads, st.integers(0, 2**32))
def test_what_is_kept_fits_and_one_node_fewer_was_tried(load: tuple[Sizes, Sizes], seed: int) -> None:
    nodes, pods = load
    fits = FirstFit(nodes, pods)
    found = cell_compaction(len(nodes), fits, seed=seed, trials=3)
    assert found.fits_at_all == fits.asked[tuple(range(len(nodes)))]
    for kept in found.kept:
        assert any(fitted and len(asked) == kept for asked, fitted in fits.asked.items())
        assert kept == 1 or any(not fitted and len(asked) == kept - 1 for asked, fitted in fits.asked.items())


@given(loads, st.integers(0, 2**32))
def test_no_order_of_removal_goes_below_the_proven_number_of_nodes(load: tuple[Sizes, Sizes], seed: int) -> None:
    nodes, pods = load
    found = cell_compaction(len(nodes), FirstFit(nodes, pods), seed=seed, trials=2)
    instance = aggregate(
        Nodes(np.array([nodes]), np.zeros((len(nodes), 0), np.int64), [""] * len(nodes)),
        Pods(np.array([pods]), np.zeros(len(pods), np.int64), np.zeros(len(pods), np.int64), [()] * len(pods)),
    )
    if found.fits_at_all:
        assert nodes_needed(instance).value <= min(found.kept)


def test_equal_seeds_give_equal_orders_and_more_trials_keep_the_first() -> None:
    nodes, pods = [3, 9, 4, 8, 5, 7, 6, 2] * 4, [2, 3, 4] * 12
    three, again, five = (
        cell_compaction(len(nodes), FirstFit(nodes, pods), seed=7, trials=trials) for trials in (3, 3, 5)
    )
    other = cell_compaction(len(nodes), FirstFit(nodes, pods), seed=8, trials=3)
    assert three == again
    assert five.kept[:3] == three.kept
    assert other.kept != three.kept


def test_the_load_is_packed_a_logarithmic_number_of_times() -> None:
    found = cell_compaction(1000, lambda kept: len(kept) >= 640, seed=1, trials=4)
    assert found.kept == (640,) * 4
    assert found.probes <= 1 + 4 * 10
    assert found.removable == 360


def test_the_percentile_is_the_size_that_suffices_in_nine_of_ten_orders() -> None:
    assert Compaction(100, tuple(range(41, 51)), 1).percentile_90 == 49
    assert Compaction(100, tuple(range(40, 51)), 1).percentile_90 == 49
    assert Compaction(100, (44,), 1).percentile_90 == 44


def test_a_load_that_does_not_fit_at_all_is_told() -> None:
    found = cell_compaction(2, FirstFit([4, 4], [5]), seed=0)
    assert not found.fits_at_all
    with pytest.raises(ValueError, match="does not fit on all 2 nodes"):
        _ = found.percentile_90
