"""Min-cost flow against networks worked out by hand, with the cost models of Firmament's code."""

from __future__ import annotations

import pytest

from harness.model.errors import UserError
from harness.scheduling.strategy import PodView
from schedulers.flow import min_cost_flow
from tests.schedulers.jobs_over_time import Machine
from tests.schedulers.test_published_policies import cluster, placed, pod


def test_all_at_once_where_one_after_the_other_leaves_one_out() -> None:
    """Two CPUs on n0 with 8 GiB, two on n1 with 2. `small` (2 CPUs, 1 GiB) goes to either, `large` (2, 4) to n0 alone.

    Alone, `small` would go to n0 (by rank, as both are idle and cost 0). A flow has one unit each to the sink, and
    leaving `large` unscheduled costs 2,560,000: so `small` goes to n1.
    """
    on = cluster((2, 8), (2, 2))
    assert placed(min_cost_flow(), on, [pod(on, "small", 2, 1), pod(on, "large", 2, 4)]) == [
        "small -> n1",
        "large -> n0",
    ]
    on = cluster((2, 8), (2, 2))
    assert placed(min_cost_flow(), on, [pod(on, "small", 2, 1)]) == ["small -> n0"]


def test_copies_on_a_machine_cost_its_use_ahead_of_each() -> None:
    """Pods of 1 CPU and 1 GiB; n0 has 4 of each, n1 2 of each. Copies cost 0, 500, 1000, 1500 on n0 and 0, 1000 on n1
    (a quarter, or half, of CPU and of memory each). The least sum for three is 0 + 0 + 500: two on n0, one on n1.
    """
    on = cluster((4, 4), (2, 2))
    found = placed(min_cost_flow(), on, [pod(on, f"p{at}", 1, 1) for at in range(3)])
    assert sorted(text.partition(" -> ")[2] for text in found) == ["n0", "n0", "n1"]


def test_each_resource_costs_whole_thousandths() -> None:
    """n0 has 3 CPUs and 3 GiB, of which x has 2 each: 666 + 666 = 1332, not int(666.7 + 666.7). n1 has 1000 CPUs and
    GiB, of which y has 333 CPUs and 1000 GiB less one: 333 + 999 = 1332, too. Cost is alike, and the rank decides.
    """
    on = cluster((3, 3), (1000, 1000))
    on.assume(pod(on, "x", 2, 2), 0)
    on.assume(pod(on, "y", 333, 999), 1)
    assert placed(min_cost_flow(), on, [pod(on, "p", 1, 1)]) == ["p -> n0"]


def test_a_class_is_spread_as_far_as_its_use_says() -> None:
    """n0 has 10 CPUs and GiB, of which 5 are in use, n1 4 and none. Copies of (1, 1) cost 1000, 1200, 1400, .. on n0
    and 0, 500, 1000, 1500 on n1. The least sum of four is 0 + 500 + 1000 + 1000; a fifth costs 1200 on n0.
    """
    on = cluster((10, 10), (4, 4))
    on.assume(pod(on, "x", 5, 5), 0)
    found = placed(min_cost_flow(), on, [pod(on, f"p{at}", 1, 1) for at in range(5)])
    assert sorted(text.partition(" -> ")[2] for text in found) == ["n0"] * 2 + ["n1"] * 3


def test_octopus_balances_the_number_of_pods() -> None:
    """The same, by pods: copies cost 0, 1, 2, 3 on n0 and 0, 1 on n1. Four pods: two each, 2 in all, where cpu-mem
    would have 0 + 500 + 1000 + 0 or 0 + 500 + 0 + 1000, the same sum."""
    on = cluster((4, 4), (2, 2))
    found = placed(min_cost_flow(model="octopus"), on, [pod(on, f"p{at}", 1, 1) for at in range(4)])
    assert sorted(text.partition(" -> ")[2] for text in found) == ["n0", "n0", "n1", "n1"]


def test_who_has_waited_longest_goes_first() -> None:
    """Room for one. Unscheduled costs 2,560,000 and the seconds of waiting: the older goes, though it comes last."""
    on = cluster((1, 1))
    on.now_ns = 100 * 10**9
    young = pod(on, "young", 1, 1)
    young = PodView(young.key, young.cls, created_ns=90 * 10**9)
    old = PodView("default/old", young.cls, created_ns=10 * 10**9)
    assert placed(min_cost_flow(), on, [young, old]) == ["old -> n0"]


def test_mixed_classes_share_a_machine_in_further_solutions() -> None:
    """One node of 4 CPUs: one of 3 CPUs and one of 1 fit together, although two of the larger class would not."""
    on = cluster((4, 8))
    assert sorted(placed(min_cost_flow(), on, [pod(on, "wide", 3, 1), pod(on, "slim", 1, 1)])) == [
        "slim -> n0",
        "wide -> n0",
    ]


def test_a_gang_goes_together_or_waits() -> None:
    """Three nodes of one CPU. `a` takes two of them; the gang of two waits for it, and the single `c` goes before."""
    started = Machine(3).job("a", 2, 10).job("b", 2, 10).job("c", 1, 30).starts(min_cost_flow())
    assert started == {"a": 0.0, "c": 0.0, "b": 10.0}


def test_a_cost_model_that_is_none() -> None:
    with pytest.raises(UserError, match="no such cost model"):
        min_cost_flow(model="quincy")
