"""Properties of whole clusters: claims see what happens, generated scenarios are sound, planted bugs shrink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.planted_bugs import BUGS, LEAST, Search, sound
from harness.model.errors import UserError
from harness.scheduling.scoring import Scored
from harness.scheduling.strategy import Bind, ClusterView, Decision, PodBatch, PodView, Wait
from harness.simulation.generated import Fault, Node, Part, Service, Task
from harness.simulation.properties import (
    Moment,
    Scenario,
    a_node_is_down,
    all_ready,
    always,
    document,
    eventually,
    holds,
    nothing_waits_beside_room,
    scenarios,
    within,
)


def crowded(moment: Moment) -> bool:
    """Two pods on one node."""
    nodes = [pod.spec.node_name for pod in moment.pods.values() if pod.spec.node_name]
    return len(nodes) > len(set(nodes))


def small(*parts: Part) -> Scenario:
    return document(parts, 120)


def test_claims_that_hold() -> None:
    holds(
        small(Node(), Node()),
        "greedy",
        eventually(all_ready),
        within(30, all_ready),
        always(lambda now: not crowded(now)),
    )
    holds(small(Node(4), Node(4), Fault("podDeletion", at=60)), "greedy", within(30, all_ready))


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
        holds(small(Fault("nodeCrash")), "greedy", claim())


def test_what_is_due_after_the_end_is_not_held_against_a_run() -> None:
    holds(small(Fault("nodeCrash")), "greedy", within(500, all_ready, after=a_node_is_down))


def test_a_scenario_that_is_wrong_is_told() -> None:
    with pytest.raises(UserError, match=r"nodes\[0\].group.cpu"):
        holds(small(Node(-1)), "greedy")


def test_parts_read_as_calls_and_what_is_left_out_is_the_simplest() -> None:
    assert repr([Node(), Service(replicas=2), Task(lasts=9), Fault("nodeCrash", at=31)]) == (
        "[Node(), Service(replicas=2), Task(lasts=9), Fault(kind='nodeCrash', at=31)]"
    )
    assert document([]) == document([Node(), Service()])
    assert [list(source) for source in document([Task()])["spec"]["workload"]] == [["objects"]]
    late = document([Task(arrives=5), Task(arrives=6)])["spec"]
    assert (len(late["workload"]), len(late["faults"])) == (1, 1)  # a scenario begins with something


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(scenarios(duration_s=90))
def test_generated_scenarios_play_under_greedy(scenario: Scenario) -> None:
    holds(scenario, "greedy", always(lambda now: len(now.nodes) <= 5))


def test_what_waits_beside_room() -> None:
    holds(small(Node(1), Service(replicas=2)), "greedy", always(lambda now: not crowded(now)))
    holds(small(Node(1), Service(replicas=2)), "greedy", within(5, nothing_waits_beside_room))
    with pytest.raises(AssertionError, match="nothing_waits_beside_room was due 5 s after"):
        holds(small(Node(2), Service(replicas=2)), OneForEver, within(5, nothing_waits_beside_room))


def test_an_init_container_asks_for_room_too() -> None:
    """It was left out of the sum, and a pod that fits nowhere was told as one that waits for nothing."""
    first, main = (
        {"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}} for name, cpu in (("f", 3), ("m", 1))
    )
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "two-steps"}}
    pod["spec"] = {"containers": [main], "initContainers": [first]}
    crowd = small(Node(4), Task(cpu=2, lasts=300))
    crowd["spec"]["faults"] = [{"at": "5s", "apply": {"objects": [pod]}}]
    holds(
        crowd, "greedy", within(5, nothing_waits_beside_room), always(lambda now: now.seconds < 6 or len(now.pods) == 2)
    )


class OneForEver:
    """Places one pod and no more."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        placed = any(cluster.pods_on(node) for node in range(len(cluster.names)))
        for number, pod in enumerate(pods):
            fits = np.flatnonzero(cluster.feasible(pod)).tolist()
            yield Wait(pod, "no") if placed or number or not fits else Bind(pod, fits[0])


class OverTheTop:
    """Binds to the first node, whether it has room or not."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            yield Bind(pod, 0)


def raises(pod: PodView, cluster: ClusterView) -> np.ndarray:
    raise ZeroDivisionError("no zones")


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (OverTheTop, r"the strategy misbehaved at .* s: illegal bind default/s-0-\S+: n-0-0: Insufficient cpu"),
        (
            lambda: Scored(raises),
            r"the strategy misbehaved at .* s: raised default/s-0-\S+: ZeroDivisionError: no zones",
        ),
    ],
)
def test_a_strategy_that_misbehaves_holds_no_claim(strategy: Any, said: str) -> None:
    """It did, where the claim was about something else: what was illegal was refused, and tried again."""
    with pytest.raises(AssertionError, match=said):
        holds(small(Node(1), Service(replicas=2)), strategy, always(lambda _: True))


def test_what_a_check_may_see_of_other_kinds() -> None:
    def budgets(moment: Moment) -> bool:
        return len(moment.objects("PodDisruptionBudget")) == 1

    holds(small(Service(budget=True)), "greedy", eventually(budgets))


QUICK = ("two pods on one node",)


@pytest.mark.parametrize("bug", [pytest.param(bug, marks=() if bug in QUICK else pytest.mark.slow) for bug in LEAST])
def test_hypothesis_ends_at_the_least_scenario_that_shows_a_planted_bug(bug: str) -> None:
    """Whatever it begins with; `python -m benchmarks.planted_bugs` takes ten seeds of each."""
    least = document(LEAST[bug], BUGS[bug].drawn.get("duration_s", 120))
    seeds = range(2) if bug in QUICK else range(3)
    search = Search(BUGS[bug], {})
    assert [search.least(seed, examples=600)[0] for seed in seeds] == [least] * len(seeds)
    assert Search(sound(BUGS[bug]), {}).least(0, examples=20)[0] is None  # nothing planted, nothing found
