"""Which pods a smaller number of replicas takes away first: each rule of Kubernetes by itself, and all in order."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from harness.controllers.runtime.deletion_order import first_to_go
from harness.engine.component import SECOND
from harness.model.core import ContainerStatus, Pod, PodSpec, PodStatus
from harness.model.meta import Condition, ObjectMeta
from harness.model.wire import Time

NOW = 10_000 * SECOND
COST = "controller.kubernetes.io/pod-deletion-cost"


def pod(
    name: str, *, node: str = "n", phase: str = "Running", ready_s: float | None = 1000, restarts: int = 0,
    age_s: float = 2000, cost: str | None = None,
) -> Pod:  # fmt: skip
    conditions: tuple[Condition, ...] = ()
    if ready_s is not None:
        ready = Condition(type="Ready", status="True", last_transition_time=Time(NOW - round(ready_s * SECOND)))
        conditions = (ready,)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            uid=name,
            creation_timestamp=Time(NOW - round(age_s * SECOND)),
            annotations={} if cost is None else {COST: cost},
        ),
        spec=PodSpec(node_name=node),
        status=PodStatus(
            phase=phase,
            conditions=conditions,
            container_statuses=(ContainerStatus(name="c", restart_count=restarts), ContainerStatus(name="d")),
        ),
    )


RULES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "not assigned": ({"node": ""}, {}),
    "pending": ({"phase": "Pending"}, {"phase": "Running"}),
    "pending before unknown": ({"phase": "Pending"}, {"phase": "Unknown"}),
    "unknown before running": ({"phase": "Unknown"}, {"phase": "Running"}),
    "a phase that nobody has told": ({"phase": ""}, {"phase": "Unknown"}),
    "a phase that nobody knows": ({"phase": "Odd"}, {"phase": "Running"}),
    "not ready": ({"ready_s": None}, {"ready_s": 1}),
    "cheap": ({"cost": "-1"}, {"cost": "0"}),
    "free before dear": ({}, {"cost": "1"}),
    "what is no number costs nothing": ({"cost": "-1"}, {"cost": "cheap"}),
    "and no more than that": ({"cost": "cheap"}, {"cost": "1"}),
    "on a crowded node": ({"node": "full"}, {"node": "n"}),
    "ready for less long": ({"ready_s": 100}, {"ready_s": 1000}),
    "ready since now": ({"ready_s": 0}, {"ready_s": 1}),
    "started again more often": ({"restarts": 3}, {"restarts": 2}),
    "young": ({"age_s": 1100}, {"age_s": 5000}),
}
"""What distinguishes the one that goes first from the one that stays."""
ON_NODE = {"n": 2, "full": 5}


@pytest.mark.parametrize("rule", RULES)
def test_one_rule(rule: str) -> None:
    goes, stays = RULES[rule]
    for first, second in (("a", "b"), ("b", "a")):  # whichever uid
        pods = [pod(first, **stays), pod(second, **goes)]
        assert [item.metadata.name for item in first_to_go(pods, 1, ON_NODE, NOW)] == [second]


def test_each_rule_comes_before_the_next() -> None:
    """A pod that goes by one rule goes first, whatever all later rules say for it."""
    order = ["not assigned", "pending", "not ready", "cheap", "on a crowded node", "ready for less long",
             "started again more often", "young"]  # fmt: skip
    for place, rule in enumerate(order):
        goes, stays = ({**RULES[rule][0]}, {**RULES[rule][1]})
        for later in order[place + 1 :]:
            for field, value in RULES[later][1].items():
                goes.setdefault(field, value)
            for field, value in RULES[later][0].items():
                if field not in RULES[rule][0] and field not in RULES[rule][1]:
                    stays.setdefault(field, value)
        pods = [pod("stays", **stays), pod("goes", **goes)]
        assert first_to_go(pods, 1, ON_NODE, NOW)[0].metadata.name == "goes", rule


def test_times_count_by_their_octave_and_then_the_uid() -> None:
    """Source: LogarithmicScaleDown: 20 s and 30 s are alike, 20 s and 40 s are not."""
    second = 2**30 / SECOND  # an octave in nanoseconds begins here
    alike = [pod("b", ready_s=16.2 * second), pod("a", ready_s=31 * second)]
    assert [item.metadata.name for item in first_to_go(alike, 2, ON_NODE, NOW)] == ["a", "b"]
    other = [pod("a", ready_s=33 * second), pod("b", ready_s=31 * second)]
    assert [item.metadata.name for item in first_to_go(other, 2, ON_NODE, NOW)] == ["b", "a"]


def test_as_many_as_asked_in_any_order_of_listing() -> None:
    pods = [pod(f"p{i}", ready_s=None if i % 3 else 50, cost=str(i % 2)) for i in range(12)]
    wanted = [item.metadata.name for item in first_to_go(pods, 5, ON_NODE, NOW)]
    assert len(wanted) == 5
    for seed in range(5):
        shuffled = pods[:]
        Random(seed).shuffle(shuffled)
        assert [item.metadata.name for item in first_to_go(shuffled, 5, ON_NODE, NOW)] == wanted
