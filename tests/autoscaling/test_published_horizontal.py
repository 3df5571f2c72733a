"""The autoscaler agrees with Kubernetes' own tests of it: one look each, from pods and samples to replicas, conditions
and events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.apiserver.kinds.autoscaling import complete_behavior
from harness.autoscaling.horizontal.behavior import (
    Memory,
    Recommendation,
    ScaleEvent,
    by_factor,
    by_rate,
    changed_within,
    down_limit,
    normalize,
    stabilized,
    store_scale_event,
    up_limit,
)
from harness.autoscaling.horizontal.metric_proposals import Utilization
from harness.autoscaling.horizontal.reconcile import Decision, Scale, not_rescaled, reconcile, rescaled
from harness.autoscaling.metrics_client import MetricError, PodMetric, Samples, container_samples, pod_samples
from harness.autoscaling.pod_index import PodIndex
from harness.engine.component import MINUTE, SECOND
from harness.model.constants import Constants
from harness.model.core import Container, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.objects import HorizontalPodAutoscaler, PodMetrics
from harness.model.quantity import milli_quantity
from harness.model.wire import Time
from harness.model.workloads import (
    ContainerMetrics,
    CrossVersionObjectReference,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)
from tests.autoscaling.published_horizontal import (
    FACTOR_ROWS,
    INVALID,
    RATE_ROWS,
    ROWS,
    STABILIZED_ROWS,
    STORED_ROWS,
    Rates,
    Row,
    Stabilized,
    Stored,
    on_external,
    rules,
    value,
)

NOW = 60 * MINUTE
CONSTANTS = Constants(
    hpa_tolerance=0.1,
    hpa_downscale_stabilization_ns=5 * MINUTE,
    hpa_cpu_initialization_period_ns=2 * MINUTE,
    hpa_initial_readiness_delay_ns=10 * SECOND,
)
LABELS = {"name": "test-pod"}
SELECTOR = LabelSelector(match_labels=LABELS)
STARTED = {"H": NOW, "c": NOW - 3 * MINUTE, "-": 0}
PHASES = {"R": "Running", "P": "Pending", "F": "Failed"}


class Cluster:
    """A row's pods and the metrics APIs, as `reconcile` looks at them."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self.index = PodIndex()
        for pod in self._pods():
            self.index.hear(pod, gone=False)
        self.metrics = self
        self.autoscalers_of = self.index.claimed_by

    def _pods(self) -> list[Pod]:
        row = self._row
        requests = row.requests or (1000,) * (row.replicas if row.there < 0 else row.there)
        return [
            Pod(
                metadata=ObjectMeta(
                    name=f"test-pod-{index}",
                    namespace="test",
                    labels=LABELS,
                    deletion_timestamp=Time(NOW) if row.deleted[index : index + 1] == "D" else None,
                ),
                spec=PodSpec(
                    containers=tuple(
                        Container(
                            name=name, resources=ResourceRequirements(requests={"cpu": milli_quantity(request // 2)})
                        )
                        for name in ("container1", "container2")
                    )
                ),
                status=PodStatus(
                    phase=PHASES[row.phase[index : index + 1] or "R"],
                    start_time=Time(started := STARTED[row.hot[index : index + 1] or "-"]),
                    conditions=(
                        Condition(
                            type="Ready",
                            status="False" if row.ready[index : index + 1] == "F" else "True",
                            last_transition_time=Time(started),
                        ),
                    ),
                ),
            )
            for index, request in enumerate(requests)
        ]

    def _broken(self) -> None:
        if self._row.broken:
            raise MetricError("something went wrong")

    def resource(self, name: str, pods: Sequence[Pod], container: str) -> Samples:
        self._broken()
        found = [
            PodMetrics(
                metadata=ObjectMeta(name=f"test-pod-{index}", namespace="test"),
                timestamp=Time(NOW),
                window="1m0s",
                containers=tuple(
                    ContainerMetrics(name=part, usage={"cpu": milli_quantity(level // 2)})
                    for part in ("container1", "container2")
                ),
            )
            for index, level in enumerate(self._row.levels)
        ]
        return container_samples(found, name, container) if container else pod_samples(found, name)

    def pods(self, *args: object) -> Samples | tuple[Pod, ...]:
        if len(args) == 2:
            return self.index.selected(*args)  # type: ignore[arg-type]
        self._broken()
        return {f"test-pod-{index}": PodMetric(level, NOW) for index, level in enumerate(self._row.levels)}

    def external(self, *_: object) -> list[int]:
        self._broken()
        return list(self._row.levels)

    def object(self, *_: Any) -> int:
        self._broken()
        return self._row.levels[0]


def scaler_of(row: Row) -> HorizontalPodAutoscaler:
    cpu = MetricTarget(type="Utilization", average_utilization=row.cpu or None)
    metrics = (MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=cpu)),)
    behavior = None
    if row.up is not None or row.down is not None:
        behavior = HorizontalPodAutoscalerBehavior(scale_up=row.up, scale_down=row.down)
    return HorizontalPodAutoscaler(
        metadata=ObjectMeta(name="test-hpa", namespace="test"),
        spec=HorizontalPodAutoscalerSpec(
            scale_target_ref=CrossVersionObjectReference(kind=row.kind, name="test-target", api_version="apps/v1"),
            min_replicas=row.bounds[0],
            max_replicas=row.bounds[1],
            metrics=(*(metrics if row.cpu or not row.metrics else ()), *row.metrics),
            behavior=behavior,
        ),
        status=HorizontalPodAutoscalerStatus(current_replicas=row.replicas, desired_replicas=row.replicas),
    )


def look(row: Row, cluster: Cluster | None = None, scale: Scale | str | None = None) -> tuple[Decision, list[str]]:
    """(what was decided, reasons of events)."""
    memory = Memory()
    if row.history is not None:
        memory.recommendations = [Recommendation(NOW - ago * SECOND, count) for count, ago in row.history]
        memory.recommendations = memory.recommendations or [Recommendation(0, 0)]
    scaler = scaler_of(row)
    if scale is None:
        scale = Scale(row.replicas, row.replicas if row.there < 0 else row.there, SELECTOR)
    decision = reconcile(NOW, scaler, scale, memory, cluster or Cluster(row), Utilization(), CONSTANTS)  # type: ignore[arg-type]
    events = decision.events
    if decision.rescale is not None:
        decision = rescaled(NOW, scaler, memory, decision)
        events += decision.events
    return decision, [reason for _, reason, _ in events]


def reasons(decision: Decision) -> dict[str, str]:
    return {item.type: item.reason for item in decision.status.conditions}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_published_rows(row: Row) -> None:
    decision, events = look(row)
    status = decision.status
    assert status.desired_replicas == row.expected
    assert ("SuccessfulRescale" in events) == (row.expected != row.replicas)
    expected = {
        "AbleToScale": row.able or "SucceededRescale",
        "ScalingActive": row.active,
        "ScalingLimited": row.limited,
    }
    assert reasons(decision) == {name: reason for name, reason in expected.items() if reason}
    if row.utilization >= 0:
        shown = (status.extra or {})["currentMetrics"][0]
        assert shown["resource"]["current"]["averageUtilization"] == row.utilization


def test_one_metric_empty() -> None:
    """TestScaleUpOneMetricEmpty and TestNoScaleDownOneMetricEmpty: one that fails lets the other scale up, not down."""

    class WithoutExternal(Cluster):
        def external(self, *_: object) -> list[int]:
            raise MetricError("something went wrong")

    broken = on_external(value(1000))
    up = Row("", (2, 6), 3, 4, 30, (broken,), (300, 400, 500), (1000,) * 3)
    decision, events = look(up, WithoutExternal(up))
    assert (decision.status.desired_replicas, events) == (4, ["FailedGetExternalMetric", "SuccessfulRescale"])
    down = Row("", (2, 6), 5, 5, 50, (broken,), (100, 300, 500, 250, 250), (1000,) * 5, history=())
    decision, events = look(down, WithoutExternal(down))
    assert decision.status.desired_replicas == 5
    assert events == ["FailedGetExternalMetric", "FailedComputeMetricsReplicas"]
    assert reasons(decision) == {"AbleToScale": "SucceededGetScale", "ScalingActive": "FailedGetExternalMetric"}


PLAIN = Row("", (2, 6), 3, 3, 30, (), (300, 500, 700), (1000,) * 3)


def test_failed_get_scale() -> None:
    decision, events = look(PLAIN, scale="something went wrong")
    assert (reasons(decision), events) == ({"AbleToScale": "FailedGetScale"}, ["FailedGetScale"])


def test_failed_update_scale() -> None:
    row = Row("", (1, 5), 3, 3, 100, (), (150, 150, 150), (100, 100, 100))
    scaler = scaler_of(row)
    decision = reconcile(NOW, scaler, Scale(3, 3, SELECTOR), Memory(), Cluster(row), Utilization(), CONSTANTS)  # type: ignore[arg-type]
    failed = not_rescaled(NOW, decision, "something went wrong")
    assert failed.status.desired_replicas == 3
    assert reasons(failed) == {
        "AbleToScale": "FailedUpdateScale",
        "ScalingActive": "ValidMetricFound",
        "ScalingLimited": "DesiredWithinRange",
    }
    why = "New size: 5; reason: cpu resource utilization (percentage of request) above target; error: "
    assert failed.events == (("Warning", "FailedRescale", f"{why}something went wrong"),)


@pytest.mark.parametrize("selector", [None, LabelSelector()])
def test_a_scale_without_a_selector(selector: LabelSelector | None) -> None:
    decision, events = look(PLAIN, scale=Scale(3, 3, selector))
    assert decision.status.desired_replicas == 3
    assert reasons(decision) == {"AbleToScale": "SucceededGetScale", "ScalingActive": "InvalidSelector"}
    assert events == ["SelectorRequired", "FailedComputeMetricsReplicas"]


@pytest.mark.parametrize(
    ("other", "also", "ambiguous"),
    [({"cheddar": "cheese"}, {}, False), (LABELS, {}, True), ({"cheddar": "cheese"}, {"cheddar": "cheese"}, True)],
    ids=["no overlap", "full overlap", "partial overlap"],
)
def test_ambiguous_selectors(other: dict[str, str], also: dict[str, str], ambiguous: bool) -> None:
    cluster = Cluster(PLAIN)
    for pod in cluster._pods():
        labelled = Pod(
            metadata=ObjectMeta(name=pod.metadata.name, namespace="test", labels={**LABELS, **also}),
            spec=pod.spec,
            status=pod.status,
        )
        cluster.index.hear(labelled, gone=False)
    cluster.index.claimed_by("test/test-hpa-2", LabelSelector(match_labels=other), [])
    decision, events = look(PLAIN, cluster)
    if not ambiguous:
        assert decision.status.desired_replicas == 5
        return
    assert decision.status.desired_replicas == 3
    assert reasons(decision) == {"AbleToScale": "SucceededGetScale", "ScalingActive": "AmbiguousSelector"}
    assert events == ["AmbiguousSelector", "FailedComputeMetricsReplicas"]
    (active,) = (item for item in decision.status.conditions if item.type == "ScalingActive")
    both = "[test/test-hpa test/test-hpa-2]"
    assert active.message == f"pods by selector name=test-pod are controlled by multiple HPAs: {both}"


def test_nothing_new_is_not_written() -> None:
    """TestAvoidUnnecessaryUpdates."""
    row = Row("", (2, 6), 2, 2, 80, (), (400, 500, 700), (1000,) * 3, hot="cHH", history=())
    first, _ = look(row)
    scaler = scaler_of(row)
    memory = Memory(recommendations=[Recommendation(0, 0)])
    again = reconcile(
        NOW + 15 * SECOND,
        HorizontalPodAutoscaler(metadata=scaler.metadata, spec=scaler.spec, status=first.status),
        Scale(2, 2, SELECTOR),
        memory,
        Cluster(row),  # type: ignore[arg-type]
        Utilization(),
        CONSTANTS,
    )
    assert again.rescale is None
    assert again.status == first.status
    assert reasons(again)["ScalingLimited"] == "TooFewReplicas"


# -- behavior ----------------------------------------------------------------------------------------------------------


def behavior_of(row: Rates) -> HorizontalPodAutoscalerBehavior:
    return complete_behavior(HorizontalPodAutoscalerBehavior(scale_up=row.up, scale_down=row.down))


def memory_of(row: Rates) -> Memory:
    return Memory(
        ups=[ScaleEvent(NOW - ago * SECOND, change) for ago, change in row.ups],
        downs=[ScaleEvent(NOW - ago * SECOND, change) for ago, change in row.downs],
    )


@pytest.mark.parametrize("row", RATE_ROWS, ids=lambda row: row.name)
def test_published_rates(row: Rates) -> None:
    found = by_rate(NOW, memory_of(row), behavior_of(row), row.current, row.proposed, row.bounds)
    assert found[:2] == (row.expected, row.condition)


@pytest.mark.parametrize("row", FACTOR_ROWS, ids=lambda row: row.name)
def test_published_bounds_without_behavior(row: Rates) -> None:
    assert by_factor(row.current, row.proposed, *row.bounds)[:2] == (row.expected, row.condition)


def test_published_limits() -> None:
    """TestCalculateScaleUpLimitWithScalingRules, TestCalculateScaleDownLimitWithBehaviors."""
    least = HPAScalingRules(
        stabilization_window_seconds=300,
        select_policy="Min",
        policies=(
            HPAScalingPolicy(type="Pods", value=2, period_seconds=60),
            HPAScalingPolicy(type="Percent", value=50, period_seconds=60),
        ),
    )
    assert up_limit(NOW, Memory(), least, 1) == 2
    assert down_limit(NOW, Memory(), least, 5) == 3


@pytest.mark.parametrize("row", STABILIZED_ROWS, ids=lambda row: row.name)
def test_published_stabilization(row: Stabilized) -> None:
    memory = Memory(recommendations=[Recommendation(NOW - ago * SECOND, count) for count, ago in row.history])
    if row.windows_s is None:
        found = normalize(NOW, memory, None, row.current, row.proposed, (0, 1000)).replicas
    else:
        up, down = row.windows_s
        found, _ = stabilized(NOW, memory, (up * SECOND, down * SECOND), row.current, row.proposed)
    assert found == row.expected
    left = tuple(item.replicas for item in memory.recommendations)
    if row.left is not None:
        assert (len(left) if isinstance(row.left, int) else left) == row.left


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("row", STORED_ROWS, ids=lambda row: row.name)
def test_published_scale_events(row: Stored, up: bool) -> None:
    memory = Memory()
    events = memory.ups if up else memory.downs
    events.extend(ScaleEvent(NOW - ago * SECOND, change) for change, ago in row.before)
    assert changed_within(NOW, 60, events) == row.within
    behavior = None
    if row.rules is not None:
        behavior = HorizontalPodAutoscalerBehavior(
            scale_up=row.rules if up else None, scale_down=None if up else row.rules
        )
    store_scale_event(NOW, memory, behavior, 10, 15 if up else 5)
    assert [(item.change, item.outdated) for item in events] == list(row.after)


def test_an_invalid_type_is_told_in_kubernetes_words() -> None:
    decision, events = look(Row("", (2, 6), 3, 3, metrics=(INVALID,), levels=(1,)))
    assert events == ["InvalidMetricSourceType", "FailedComputeMetricsReplicas"]
    (active,) = (item for item in decision.status.conditions if item.type == "ScalingActive")
    why = 'unknown metric source type "CheddarCheese"'
    assert active.message == f"the HPA was unable to compute the replica count: {why}"


def test_a_window_that_is_not_said_is_the_flag_s() -> None:
    behavior = HorizontalPodAutoscalerBehavior(scale_down=rules(5, 60, window_s=None))
    memory = Memory(recommendations=[Recommendation(NOW - 100 * SECOND, 9)])
    assert normalize(NOW, memory, behavior, 10, 3, (1, 100), 60 * SECOND).replicas == 5
    memory = Memory(recommendations=[Recommendation(NOW - 100 * SECOND, 9)])
    assert normalize(NOW, memory, behavior, 10, 3, (1, 100), 300 * SECOND).replicas == 9
