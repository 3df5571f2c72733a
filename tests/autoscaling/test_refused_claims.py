"""A provider that has no machine for a NodeClaim, answers with errors, delivers late or never; and what is bought then.

Source of what is right: kubernetes-sigs/karpenter 1.14 lifecycle/{launch,liveness}.go, karpenter-provider-aws 1.14
pkg/cache/cache.go (an offering that was not to be had is left alone for three minutes) and instance.go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.engine.component import SECOND
from harness.experiment.dry_run import dry_run
from harness.experiment.run import Home, Run, run_once
from harness.experiment.scenario import read_scenario
from harness.model.errors import UserError
from harness.model.meta import condition
from harness.scheduling.registry import load
from tests.autoscaling.just_in_time import Story, amd64, deployment, node_pool, on

EITHER = [on("karpenter.sh/capacity-type", "on-demand", "spot"), amd64()]
SMALL = [*EITHER, on("node.kubernetes.io/instance-type", "s.small")]


def outage(does: str = "outOfStock", lasts: str = "5m", at: str = "0s", **more: Any) -> dict[str, Any]:
    return {"at": at, "providerOutage": {"does": does, "for": lasts, **more}}


def played(
    tmp_path: Path, *faults: dict[str, Any], asked: Any = EITHER, until: str = "3m", pods: int = 1, **pool: Any
) -> Story:
    objects = node_pool(requirements=asked, **pool), deployment("w", pods, cpu="1500m")
    return Story(tmp_path, *objects, until=until, faults=list(faults))


def told(story: Story, reason: str) -> list[tuple[float, str]]:
    found = [event for event in story.cluster.server.objects("Event").values() if event.reason == reason]
    return sorted(((event.first_timestamp or 0) / 1e9, event.message) for event in found)


def came(story: Story) -> list[float]:
    return sorted((node.metadata.creation_timestamp or 0) / 1e9 for node in story.nodes().values())


def test_without_spot_the_next_claim_is_on_demand(tmp_path: Path) -> None:
    """A request names one capacity type; the pods ask again ten seconds after they asked, and spot is known to be out
    by then."""
    story = played(tmp_path, outage(capacityTypes=["spot"]), asked=SMALL)
    ((at, text),) = told(story, "InsufficientCapacityError")
    assert at == pytest.approx(1.6, abs=0.1)
    start = "event: insufficient capacity, with fleet error(s), InsufficientInstanceCapacity: spot s.small in "
    assert start in text
    assert text.count("InsufficientInstanceCapacity") == 3  # a zone each
    assert story.capacity_types() == {"on-demand": 1}
    assert came(story) == [pytest.approx(11.6 + 45, abs=0.1)]


def test_of_one_request_the_cheapest_that_there_is_comes_at_once(tmp_path: Path) -> None:
    """Two of three zones are out: the third delivers within the same request, and nobody is told."""
    story = played(tmp_path, outage(zones=["a", "b"]), asked=SMALL)
    assert (story.values(), story.capacity_types()) == ({"c": 1}, {"spot": 1})
    assert came(story) == [pytest.approx(1.6 + 45, abs=0.1)]
    assert told(story, "InsufficientCapacityError") == []
    (claim,) = story.claims().values()
    assert claim.metadata.labels["topology.kubernetes.io/zone"] == "c"


def test_another_type_comes_where_one_is_out_of_stock(tmp_path: Path) -> None:
    story = played(tmp_path, outage(instanceTypes=["s.small"]))
    assert story.types() == {"s.medium": 1}


@pytest.mark.parametrize(("does", "code"), [("outOfStock", "InsufficientInstanceCapacity"), ("quota", "VcpuLimitExceeded")])  # fmt: skip  # noqa: E501
def test_what_was_not_to_be_had_is_left_alone_for_three_minutes(tmp_path: Path, does: str, code: str) -> None:
    """The machines are there again after 20 s; the cache forgets at 190 s, and the pods ask every ten seconds."""
    asked = [on("karpenter.sh/capacity-type", "on-demand"), on("node.kubernetes.io/instance-type", "s.small")]
    story = played(tmp_path, outage(does, "20s"), asked=asked, until="6m")
    ((at, text),) = told(story, "InsufficientCapacityError")
    assert code in text
    ((_, of_pool),) = told(story, "NoCompatibleInstanceTypes")
    assert of_pool == "NodePool requirements filtered out all compatible available instance types"
    words = [text for _, text in told(story, "FailedScheduling")]
    assert "Failed to schedule pod, nodepool requirements filtered out all available instance types" in words
    assert came(story) == [pytest.approx(191.6 + 45, abs=0.1)]
    result = story.run.result("greedy")
    assert result.ok, list(result.wrong())
    assert result.metrics["autoscaling"]["pool p"]["refused"] == 1
    assert at < 2


def test_a_dearer_spot_machine_is_not_bought_where_on_demand_is_cheaper(tmp_path: Path) -> None:
    """Spot costs 40 %: without small and medium spot, a large one costs 0.16 and a small one on demand 0.1."""
    story = played(tmp_path, outage(capacityTypes=["spot"], instanceTypes=["s.small", "s.medium"]))
    assert (story.types(), story.capacity_types()) == ({"s.small": 1}, {"on-demand": 1})


def test_an_api_that_fails_is_asked_again(tmp_path: Path) -> None:
    """After 1, 2, 4, .. 60 s. Source: lifecycle/controller.go."""
    story = played(tmp_path, outage("error", "100s"), asked=SMALL, until="60s")
    (claim,) = story.claims().values()
    launched = condition(claim.status.conditions, "Launched")
    assert launched is not None
    assert (launched.status, launched.reason) == ("Unknown", "InternalError")
    assert launched.message == "Error creating fleet request: An internal error has occurred"
    story.go(180)
    assert list(story.claims()) == [claim.metadata.name]
    assert came(story) == [pytest.approx(1.6 + 1 + 2 + 4 + 8 + 16 + 32 + 60 + 45, abs=1)]


def test_a_claim_that_cannot_be_launched_for_five_minutes_is_given_up(tmp_path: Path) -> None:
    story = played(tmp_path, outage("error", "400s"), asked=SMALL, until="9m")
    (claim,) = story.claims().values()
    assert (claim.metadata.creation_timestamp or 0) / 1e9 == pytest.approx(304 + 8, abs=10)
    assert len(came(story)) == 1


def test_a_machine_that_never_registers_is_given_up_after_fifteen_minutes(tmp_path: Path) -> None:
    story = played(tmp_path, outage("silent", "30s"), asked=SMALL, until="17m")
    assert came(story) == [pytest.approx(1.6 + 900 + 45, abs=12)]


def test_a_late_machine(tmp_path: Path) -> None:
    story = played(tmp_path, outage("late", "30s", lateBy="2m"), asked=SMALL, until="4m")
    assert came(story) == [pytest.approx(1.6 + 45 + 120, abs=0.1)]


def test_other_nodepools_are_not_hit(tmp_path: Path) -> None:
    story = Story(
        tmp_path,
        node_pool("p", SMALL, weight=10),
        node_pool("q", SMALL),
        deployment("w", 1, cpu="1500m"),
        until="3m",
        faults=[outage("error", "5m", pools=["p"])],
    )
    story.go(400)
    assert story.values("karpenter.sh/nodepool") == {
        "p": 1
    }  # an error is no want of machines: the heavier is waited for.
    assert story.values("karpenter.sh/nodepool") == {"p": 1}


def test_a_restart_forgets_what_was_not_to_be_had_and_the_provider_does_not(tmp_path: Path) -> None:
    story = played(tmp_path, outage(lasts="30s"), asked=SMALL, until="15s")
    assert len(told(story, "InsufficientCapacityError")) == 2  # spot, on demand
    story.cluster._control_plane.restart(story.cluster.now, "just-in-time", 2 * SECOND)
    story.go(10)
    assert len(told(story, "InsufficientCapacityError")) == 3  # asked for again, and the provider is out still


def test_a_spot_machine_that_is_taken_back_is_replaced_by_another_offering(tmp_path: Path) -> None:
    """Source: karpenter-provider-aws 1.14 pkg/controllers/interruption/utils.go markUnavailableOfferings."""
    asked = [on("karpenter.sh/capacity-type", "spot"), on("node.kubernetes.io/instance-type", "s.small")]
    story = played(tmp_path, asked=asked, until="2m")
    (before,) = story.values()
    reclaim = {"at": "2m", "spotReclaim": {"select": {"count": 1, "labels": {"karpenter.sh/nodepool": "p"}}, "onNotice": "deleteNodeClaim"}}  # fmt: skip  # noqa: E501
    (after,) = played(tmp_path, reclaim, asked=asked, until="6m").values()
    assert after != before


def test_the_dry_run_says_what_there_was_no_machine_of(tmp_path: Path) -> None:
    played(tmp_path, outage(lasts="10m"), asked=SMALL, until="2m")
    found = dry_run(read_scenario(tmp_path / "s-0.yaml"), "greedy", 0).to_data()
    reasons = [item["reason"] for item in found["happened"] if item["kind"] == "event"]
    assert reasons.count("InsufficientCapacityError") == 2
    assert [item for item in found["happened"] if item["kind"] == "scaleUp"] == []
    (waiting,) = found["waiting"]
    first, *unavailable = waiting["pools"]["p"]
    assert first == "NodePool requirements filtered out all compatible available instance types"
    assert len(unavailable) == 5
    assert unavailable[0] == "no machines: spot s.small in a, not asked for again before 190 s"


def test_the_waterfall_names_the_provider(tmp_path: Path) -> None:
    story = played(tmp_path, outage(lasts="20s"), asked=SMALL, until="6m")
    found = run_once(read_scenario(tmp_path / "s-0.yaml"), "greedy", 0).metrics["waterfalls"]["scaleUps"]
    assert found["dominantTimer"] == "machines of the provider"
    assert story.run.end_ns / 1e9 == 360


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"pools": ["x"]}, "there is no such pool"),
        ({"zones": ["z"]}, "there is no such machine in any pool"),
        ({"instanceTypes": ["m5.large"]}, "there is no such machine in any pool"),
        ({"capacityTypes": ["reserved"]}, "capacityTypes"),
    ],
)
def test_an_outage_of_nothing_is_told_before_the_run(tmp_path: Path, fault: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as error:
        played(tmp_path, outage(**fault), asked=SMALL)
    assert words in str(error.value)
    assert "spec.faults[0]" in str(error.value)


def test_a_run_with_refusals_is_the_same_again(tmp_path: Path) -> None:
    story = played(tmp_path, outage(lasts="20s"), outage("late", "40s", "10s"), asked=EITHER, until="5m", pods=4)
    again = Run(read_scenario(tmp_path / "s-0.yaml"), load("greedy")(), 0, Home())
    again.play()
    assert again.result("greedy").digest == story.run.result("greedy").digest
