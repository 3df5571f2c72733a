"""What the cluster autoscaler waits for: the backoff of pools and its end, minimums, delays; and how it says so.

Sources: clusterstate/clusterstate.go updateScaleRequests, processors/nodes/pre_filtering_processor.go,
core/scaledown/unneeded/nodes.go, core/static_autoscaler.go isScaleDownInCooldown (1.34).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.autoscaling.cluster.expander import waste
from harness.autoscaling.policy import ScaleUpOption
from harness.experiment.run import Home, Run
from harness.model.core import Node, NodeStatus
from harness.model.errors import UserError
from harness.model.quantity import bytes_quantity, milli_quantity
from harness.scheduling.registry import load
from tests.autoscaling.pooled import SMALL, Play, Played, deployment, job, nodes_of
from tests.experiment.scenarios import loaded


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def run(objects: list[dict[str, Any]], flags: str = "", **spec: Any) -> Played:
        return Played(tmp_path, objects, flags, **{"nodes": nodes_of(1), "duration": "20m", **spec})

    return run


def scaled(at: str, replicas: int) -> dict[str, Any]:
    return {"at": at, "scale": {"name": "w", "replicas": replicas}}


def refused(at: str, lasts: str, does: str = "quota") -> dict[str, Any]:
    return {"at": at, "providerOutage": {"pools": ["p"], "does": does, "for": lasts}}


def failures(played: Played) -> list[float]:
    """At which seconds a scale-up failed."""
    found = played.run.cluster.server.listed("Event")
    return sorted(item.first_timestamp / 1e9 for item in found if item.reason == "FailedToScaleUpGroup")


def test_a_scale_up_that_ends_well_resets_the_backoff(play: Play) -> None:
    """Two failures, so that the backoff is ten minutes; then a node comes. The next failure is backed off for five."""
    faults = [refused("0s", "6m"), refused("29m", "6m"), scaled("30m", 2)]
    played = play([deployment("w", 1, cpu=3)], faults=faults, duration="40m")
    first, second = (played.came[name] for name in ("p-0", "p-1"))
    assert first == pytest.approx(11.5 + 300 + 600 + 45, abs=1)
    assert second == pytest.approx(1811.5 + 300 + 45, abs=1)


def test_a_scale_up_that_comes_to_nothing_does_not(play: Play) -> None:
    """No machine of it comes: 5 and 10 minutes."""
    played = play([deployment("w", 1, cpu=3)], faults=[refused("0s", "6m", "outOfStock")], duration="17m")
    (came,) = (at for name, at in played.came.items() if name.startswith("p-"))
    assert came == pytest.approx(21.5 + 300 + 10 + 600 + 45, abs=21)


def test_nodes_of_a_pool_at_its_minimum_are_no_candidates(play: Play) -> None:
    """They stand idle without the soft taint that would keep pods away; the others' simulation may count on them."""
    pools = [{**SMALL, "min": 2, "cpu": 2}, {**SMALL, "name": "q"}]
    played = play([job(1, 3, "900s")], pools=pools, duration="15m")
    assert played.nodes == ["p-0", "p-1", "q-0"]
    assert [played.why(name) for name in ("p-0", "p-1")] == ["NodeGroupMinSizeReached"] * 2
    assert all(not node.spec.taints for node in played.run.cluster.server.listed("Node"))


def test_the_time_of_a_node_begins_when_its_pool_is_above_its_minimum(play: Play) -> None:
    """One node is idle from the beginning; when another is there, neither has been unneeded before."""
    played = play([job(2, 3, "300s")], pools=[{**SMALL, "min": 1}], duration="20m")
    assert len(played.went) == 1
    (gone,) = played.went.values()
    assert gone == pytest.approx(360 + 600, abs=30)


def test_a_node_that_is_not_needed_says_since_when(play: Play) -> None:
    played = play([job(1, 3)], duration="900s")
    assert played.why("p-0") == "NotUnneededLongEnough: since 361 s"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("scale-down-delay-after-add=30m", "ScaleDownInCooldown: scale-down-delay-after-add"),
        (
            "scale-down-unneeded-time=1m&scale-down-delay-after-add=1m&scale-down-delay-after-delete=30m"
            "&max-scale-down-parallelism=1",
            "ScaleDownInCooldown: scale-down-delay-after-delete",
        ),
    ],
)
def test_the_delay_that_keeps_a_node_is_named(play: Play, flags: str, why: str) -> None:
    played = play([job(2, 3)], flags, duration="1000s")
    assert {played.why(name) for name in played.nodes} == {why}


def test_a_limit_of_all_nodes_is_told_to_who_asks(play: Play) -> None:
    """CA's own event has no word for it while the nodes are coming."""
    played = play([job(4, 3)], "max-nodes-total=3", duration="50s")
    known: Any = next(item for item in played.run.cluster.components.values() if hasattr(item, "reasons_against"))
    pending = [pod.metadata.key for pod in played.run.cluster.server.listed("Pod") if not pod.spec.node_name]
    reasons = {reason for key in pending for reason in known.reasons_against(key).get("p", ())}
    assert reasons == {"max total nodes in cluster reached"}


def test_waste_is_of_the_capacity() -> None:
    """Source: expander/waste/waste.go resourcesForNode."""

    def amounts(cpu: int) -> dict[str, Any]:
        return {"cpu": milli_quantity(cpu), "memory": bytes_quantity(1 << 30)}

    template = Node(status=NodeStatus(capacity=amounts(4000), allocatable=amounts(2000)))
    assert waste(ScaleUpOption("p", template, 1, (), None)) == 2.0


def test_a_flag_of_old_is_told_its_name_of_today() -> None:
    spec = {"duration": "1m", "pools": [SMALL], "workload": [{"objects": [job(1)]}]}
    with pytest.raises(UserError, match="max-scale-down-parallelism"):
        Run(loaded(**spec, autoscaler="cluster-autoscaler?max-empty-bulk-delete=3"), load("kube")(), 1, Home())
