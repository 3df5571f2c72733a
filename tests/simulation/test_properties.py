"""Properties of whole clusters: claims see what happens, generated scenarios are sound, planted bugs shrink."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from harness.model.errors import UserError
from harness.simulation.properties import (
    Claim,
    Moment,
    Scenario,
    a_node_is_down,
    all_ready,
    always,
    document,
    eventually,
    holds,
    scenarios,
    within,
)

SERVICE = {"replicas": 1, "cpu": 1, "budget": False}


def crowded(moment: Moment) -> bool:
    """Two pods on one node."""
    nodes = [pod.spec.node_name for pod in moment.pods.values() if pod.spec.node_name]
    return len(nodes) > len(set(nodes))


def small(faults: list[tuple[str, int, int]], nodes: int = 2) -> Scenario:
    return document([{"cpu": 4}] * nodes, [SERVICE], [], faults, 120)


def test_claims_that_hold() -> None:
    holds(small([]), "greedy", eventually(all_ready), within(30, all_ready), always(lambda now: not crowded(now)))
    holds(small([("podDeletion", 0, 60)]), "greedy", within(30, all_ready))


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (lambda: always(lambda now: not now.pods), "does not hold at"),
        (lambda: eventually(crowded), "crowded did not hold once in 120 s"),
        (lambda: within(20, all_ready, after=a_node_is_down), "all_ready was due 20 s after"),
    ],
)
def test_claims_that_are_broken_say_when(claim: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        holds(small([("nodeCrash", 0, 30)], nodes=1), "greedy", claim())


def test_what_is_due_after_the_end_is_not_held_against_a_run() -> None:
    holds(small([("nodeCrash", 0, 30)], nodes=1), "greedy", within(500, all_ready, after=a_node_is_down))


def test_a_scenario_that_is_wrong_is_told() -> None:
    with pytest.raises(UserError, match="workload is missing"):
        holds(document([{"cpu": 1}], [], [], [], 60), "greedy")


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(scenarios(duration_s=90))
def test_generated_scenarios_play_under_greedy(scenario: Scenario) -> None:
    holds(scenario, "greedy", always(lambda now: len(now.nodes) <= 5))


PLANTED: dict[str, tuple[Any, Scenario]] = {
    # Binds everything to where something is: two replicas are one loss.
    "two pods on one node": (
        lambda: always(lambda now: not crowded(now)),
        document([{"cpu": 2}], [{**SERVICE, "replicas": 2}], [], [], 120),
    ),
    # Tolerations of 300 s: a crash is not made good in 20 s.
    "slow to evict": (
        lambda: within(20, all_ready, after=a_node_is_down),
        document([{"cpu": 1}], [SERVICE], [], [("nodeCrash", 0, 30)], 120),
    ),
}


def broken(scenario: Scenario, claim: Claim) -> bool:
    try:
        holds(scenario, "greedy", claim)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("bug", PLANTED)
def test_the_least_scenario_shows_each_planted_bug(bug: str) -> None:
    claim, least = PLANTED[bug]
    assert broken(least, claim())
