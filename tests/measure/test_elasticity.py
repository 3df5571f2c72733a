"""Autoscaling: demand and supply of replicas, shortages and what ended them, nodes and money."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from harness.measure.elasticity import Elasticity, Target
from harness.measure.node_hours import Prices
from harness.measure.queue_model import QueueModel
from harness.measure.queueing import most_in_time
from harness.model.meta import ObjectMeta
from harness.model.workloads import (
    CrossVersionObjectReference,
    Endpoint,
    EndpointConditions,
    EndpointSlice,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus,
    TargetRef,
)
from tests.measure.nodes import node
from workloads.generators.load import step

S = 10**9


STEP_LOAD = step(100 * S, 10_000, 100_000)
"""10 requests/s, and 100 from 100 s on."""


def endpoints(count: int) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="web-1", namespace="d", labels={"kubernetes.io/service-name": "web"}),
        endpoints=tuple(
            Endpoint(conditions=EndpointConditions(ready=True), target_ref=TargetRef(uid=str(i))) for i in range(count)
        ),
    )


def test_shortage_and_excess_over_time() -> None:
    # One at a time, 100 ms each, 90 % within 454.5 ms: P(R <= t) = 1 - exp(-(10 - rate) t) allows for 4.9338 a second.
    model = QueueModel(0.1, 1, 10_000, 60.0, 0.4545, 0.9)
    assert most_in_time(model) == pytest.approx(10 - math.log(10) / 0.4545, rel=1e-3)
    target = Target("d/web", STEP_LOAD, model)
    assert [target.demand(t * S) for t in (0, 99, 100)] == [3, 3, 21]
    seen = Elasticity((target,))
    seen.write(0, "EndpointSlice", "ADDED", endpoints(3), None)
    seen.write(130 * S, "EndpointSlice", "MODIFIED", endpoints(11), None)
    seen.write(150 * S, "EndpointSlice", "MODIFIED", endpoints(25), None)
    measured = seen.metrics(200 * S)["d/web"]
    assert measured["responseSeconds"] == {"episodes": 1, "mean": 50.0, "max": 50}
    assert measured["underTimeshare"] == pytest.approx(25.0)
    assert measured["overTimeshare"] == pytest.approx(25.0)
    assert measured["underAccuracy"] == pytest.approx(100 * (30 * 18 / 21 + 20 * 10 / 21) / 200)
    assert measured["overAccuracy"] == pytest.approx(100 * (50 * 4 / 21) / 200)
    assert measured["podHours"] == pytest.approx((130 * 3 + 20 * 11 + 50 * 25) / 3600)


def test_a_shortage_without_an_end_is_a_lower_bound_and_none_is_none() -> None:
    target = Target("d/web", STEP_LOAD, QueueModel(0.1, 1, 10_000, 60.0, 0.4545, 0.9))
    seen = Elasticity((target,))
    seen.write(0, "EndpointSlice", "ADDED", endpoints(5), None)
    assert seen.metrics(90 * S)["d/web"]["responseSeconds"] == {"episodes": 0, "mean": 0.0, "max": 0}
    short = seen.metrics(160 * S)["d/web"]["responseSeconds"]
    assert short == {"episodes": 1, "mean": 60.0, "max": 60, "atLeast": ["mean", "max"]}


def test_every_autoscaler_and_every_pool_is_told_of() -> None:
    """An HPA that came as a manifest, of a Deployment whose load nobody knows, and a pool: supply without demand."""
    seen = Elasticity(())
    assert not seen.seen
    target = CrossVersionObjectReference(kind="Deployment", name="api", api_version="apps/v1")
    for at, current, wanted in ((10, 2, 2), (30, 2, 5), (40, 5, 5)):
        status = HorizontalPodAutoscalerStatus(current_replicas=current, desired_replicas=wanted)
        spec = HorizontalPodAutoscalerSpec(scale_target_ref=target, max_replicas=9)
        scaler = HorizontalPodAutoscaler(metadata=ObjectMeta(name="h", namespace="d"), spec=spec, status=status)
        seen.write(at * S, "HorizontalPodAutoscaler", "MODIFIED", scaler, None)
    pooled = replace(node("burst-0"), metadata=ObjectMeta(name="burst-0", labels={"podyard.dev/pool": "burst"}))
    seen.write(20 * S, "Node", "ADDED", pooled, None)
    seen.write(80 * S, "Node", "DELETED", pooled, None)
    measured = seen.metrics(100 * S)
    assert seen.seen
    hours = {"nodesPeak": 1, "nodeHours": pytest.approx(60 / 3600)}
    assert measured["d/api"] == {
        "supplyPeak": 5,
        "podHours": pytest.approx((30 * 2 + 60 * 5) / 3600),
        "rescales": 1,
        **hours,
    }
    assert measured["pool burst"] == hours


def test_money_is_node_hours_times_prices_and_a_lower_bound_where_a_node_has_none() -> None:
    def write(seen: Elasticity, at: int, change: str, name: str, labels: dict[str, str]) -> None:
        seen.write(at * S, "Node", change, replace(node(name), metadata=ObjectMeta(name=name, labels=labels)), None)

    target = Target("d/web", STEP_LOAD, QueueModel(0.1, 1, 10_000, 60.0, 0.4545, 0.9))
    for other, bound in (("a-1", []), ("stranger", ["cost"])):
        seen = Elasticity((target,), ["burst"], Prices({"burst": 3.6}, {"a-0": 36.0, "a-1": 72.0}))
        seen.write(0, "EndpointSlice", "ADDED", endpoints(3), None)
        write(seen, 0, "ADDED", "gateway", {"node-role.kubernetes.io/gateway": ""})  # nobody rents it
        write(seen, 0, "ADDED", "a-0", {})
        write(seen, 100, "ADDED", other, {})
        write(seen, 150, "ADDED", "burst-0", {"podyard.dev/pool": "burst"})
        write(seen, 200, "DELETED", "burst-0", {})
        measured = seen.metrics(300 * S)
        assert measured["pool burst"] == {
            "nodesPeak": 1,
            "nodeHours": pytest.approx(50 / 3600),
            "cost": pytest.approx(0.05),
        }
        assert measured["d/web"]["nodesPeak"] == 3
        assert measured["d/web"]["cost"] == pytest.approx(3 + 0.05 + (4 if not bound else 0))
        assert measured["d/web"].get("atLeast", []) == bound
    assert "cost" not in Elasticity((target,)).metrics(10 * S)["d/web"]


def test_who_serves_late_pays_for_its_nodes_meanwhile() -> None:
    """Node-hours began with the first replica: what began half a minute late was cheaper by as much."""
    hours = []
    for late in (0, 25):
        seen = Elasticity((Target("d/web", STEP_LOAD, QueueModel(0.1, 1, 10_000, 60.0, 0.4545, 0.9)),))
        seen.write(0, "Node", "ADDED", node("a"), None)
        seen.write(late * S, "EndpointSlice", "ADDED", endpoints(3), None)
        hours.append(seen.metrics(300 * S)["d/web"]["nodeHours"])
    assert hours == [pytest.approx(300 / 3600)] * 2


def test_instability_is_the_time_in_which_supply_runs_against_demand() -> None:
    """Demand rises at 100 s, from when on supply falls for a while; over a minute each."""
    target = Target("d/web", STEP_LOAD, QueueModel(0.1, 1, 10_000, 60.0, 0.4545, 0.9))
    seen = Elasticity((target,))
    seen.write(0, "EndpointSlice", "ADDED", endpoints(9), None)
    seen.write(120 * S, "EndpointSlice", "MODIFIED", endpoints(5), None)
    assert seen.metrics(200 * S)["d/web"]["instability"] == pytest.approx(100 * 40 / 200)


def hpa(current: int, wanted: int) -> HorizontalPodAutoscaler:
    target = CrossVersionObjectReference(kind="Deployment", name="web", api_version="apps/v1")
    return HorizontalPodAutoscaler(
        metadata=ObjectMeta(name="h", namespace="d"),
        spec=HorizontalPodAutoscalerSpec(scale_target_ref=target, max_replicas=9),
        status=HorizontalPodAutoscalerStatus(current_replicas=current, desired_replicas=wanted),
    )


def test_the_first_rescale_counts_and_only_more_of_something_ends_a_shortage() -> None:
    """Whoever changed its mind at its first look had changed nothing; a smaller number was a decision for more, a node
    that was given back one that was asked for."""
    seen = Elasticity((Target("d/web", STEP_LOAD, QueueModel(0.1, 1, 10_000, 60.0, 0.4545, 0.9)),))
    seen.write(0, "EndpointSlice", "ADDED", endpoints(3), None)
    for at, current, wanted in ((10, 3, 4), (110, 4, 3), (120, 3, 5), (130, 5, 5)):
        seen.write(at * S, "HorizontalPodAutoscaler", "MODIFIED", hpa(current, wanted), None)
    seen.observe(105 * S, "cluster-autoscaler", "autoscaling", ("burst", "down", 1))
    measured = seen.metrics(200 * S)["d/web"]
    assert measured["rescales"] == 3
    assert measured["longest"] == {
        "atSeconds": 100.0, "decidedSeconds": 20.0, "readySeconds": 100.0, "atLeast": ["readySeconds"],
    }  # fmt: skip
    assert measured["responseSeconds"]["max"] == 100  # no longer, and no less, than the same shortage
