"""The horizontal pod autoscaler against the examples and rules of Kubernetes' documentation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.autoscaling.horizontal.controller import HorizontalController
from harness.engine.component import MINUTE, SECOND, Effect, PatchStatus, Record, Timer, Update, Watch
from harness.model.core import (
    Container,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    ResourceRequirements,
)
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.objects import Deployment, HorizontalPodAutoscaler, PodMetrics
from harness.model.quantity import milli_quantity
from harness.model.wire import Time
from harness.model.workloads import (
    ContainerMetrics,
    CrossVersionObjectReference,
    DeploymentSpec,
    HorizontalPodAutoscalerSpec,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)

LABELS = {"app": "web"}
LATE = 60 * MINUTE  # nothing is starting any more


class Story:
    """A Deployment, its pods with their usage, and an autoscaler, told to the controller by hand."""

    def __init__(self, replicas: int, *, target: int = 50, least: int = 1, most: int = 100) -> None:
        self.controller = HorizontalController()
        self.now = LATE
        self.replicas = replicas
        self.scaler = HorizontalPodAutoscaler(
            metadata=ObjectMeta(name="web", namespace="default", uid="h", generation=1),
            spec=HorizontalPodAutoscalerSpec(
                scale_target_ref=CrossVersionObjectReference(kind="Deployment", name="web", api_version="apps/v1"),
                min_replicas=least,
                max_replicas=most,
                metrics=(
                    MetricSpec(
                        type="Resource",
                        resource=ResourceMetricSource(
                            name="cpu", target=MetricTarget(type="Utilization", average_utilization=target)
                        ),
                    ),
                ),
            ),
        )
        self._tell(self.scaler)
        self._deployment()

    def _tell(self, obj: Any) -> list[Effect]:
        return self.controller.step(self.now, [Watch("ADDED", obj)])

    def _deployment(self) -> None:
        self._tell(
            Deployment(
                metadata=ObjectMeta(name="web", namespace="default", resource_version="1"),
                spec=DeploymentSpec(
                    replicas=self.replicas,
                    selector=LabelSelector(match_labels=LABELS),
                    template=PodTemplateSpec(metadata=ObjectMeta(labels=LABELS)),
                ),
            )
        )

    def pods(
        self, *usages: int | None, ready: bool = True, started: int = 0, since: int = 0, request: int = 100
    ) -> None:
        """One a usage in milli-CPU; None: no metrics yet."""
        for number, usage in enumerate(usages):
            name = f"web-{ready}-{number}"
            self._tell(
                Pod(
                    metadata=ObjectMeta(name=name, namespace="default", labels=LABELS, uid=name),
                    spec=PodSpec(
                        containers=(
                            Container(
                                name="c", resources=ResourceRequirements(requests={"cpu": milli_quantity(request)})
                            ),
                        )
                    ),
                    status=PodStatus(
                        phase="Running",
                        start_time=Time(started),
                        conditions=(
                            Condition(
                                type="Ready", status="True" if ready else "False", last_transition_time=Time(since)
                            ),
                        ),
                    ),
                )
            )
            if usage is not None:
                self._tell(
                    PodMetrics(
                        metadata=ObjectMeta(name=name, namespace="default"),
                        containers=(ContainerMetrics(name="c", usage={"cpu": milli_quantity(usage)}),),
                    )
                )

    def sync(self, after_s: int = 15) -> int:
        """The next sync: how many replicas it leaves."""
        self.now = (self.now // (15 * SECOND) + after_s // 15) * 15 * SECOND
        token = self.controller._armed
        self.now = max(self.now, token)
        self.controller._armed = self.now
        self.effects = self.controller.step(self.now, [Timer(self.now)])
        for effect in self.effects:
            if isinstance(effect, Update):
                self.replicas = effect.obj.spec.replicas
                self._deployment()
            elif isinstance(effect, PatchStatus):
                self.scaler = effect.obj
                self._tell(self.scaler)
        return self.replicas

    def condition(self, kind: str) -> tuple[str, str]:
        item = next(item for item in self.scaler.status.conditions if item.type == kind)
        return item.status, item.reason


def test_usage_at_twice_the_target_doubles_the_replicas() -> None:
    """The documentation's example: current 200m, desired 100m, twice as many; 50m, half as many."""
    story = Story(2, target=100)
    story.pods(200, 200)
    assert story.sync() == 4
    assert any(
        isinstance(effect, Record)
        and effect.reason == "SuccessfulRescale"
        and effect.message.startswith("New size: 4;")
        for effect in story.effects
    )
    assert story.condition("AbleToScale") == ("True", "SucceededRescale")


def test_within_a_tenth_of_the_target_nothing_happens() -> None:
    story = Story(10, target=100)
    story.pods(*[109] * 10)
    assert story.sync() == 10
    story = Story(10, target=100)
    story.pods(*[112] * 10)
    assert story.sync() == 12


def test_scaling_up_is_limited_to_twice_as_many_or_four_more() -> None:
    story = Story(10, target=10)
    story.pods(*[100] * 10)
    assert story.sync() == 20
    assert story.condition("ScalingLimited") == ("True", "ScaleUpLimit")
    story = Story(1, target=10)
    story.pods(100)
    assert story.sync() == 5


def test_the_maximum_and_the_minimum_hold() -> None:
    story = Story(10, target=10, most=12)
    story.pods(*[100] * 10)
    assert story.sync() == 12
    assert story.condition("ScalingLimited") == ("True", "TooManyReplicas")
    story = Story(2, least=4)
    story.pods(50, 50)
    assert story.sync() == 4


def test_scaling_down_waits_until_five_minutes_agree() -> None:
    story = Story(10, target=100)
    story.pods(*[100] * 10)
    assert story.sync() == 10
    story.pods(*[20] * 10)
    for _ in range(19):
        assert story.sync() == 10
    story.sync()
    assert story.sync() == 2


def test_pods_without_metrics_dampen_scaling_up_as_if_they_used_nothing() -> None:
    story = Story(4, target=50)
    story.pods(100, 100, None, None)
    # 2 pods at 200 % of target; with the two silent ones at nothing it is 100 %: stay.
    assert story.sync() == 4


def test_pods_without_metrics_dampen_scaling_down_as_if_they_used_their_request() -> None:
    story = Story(4, target=50)
    story.pods(10, 10, None, None)
    # (10 + 10 + 100 + 100) / 400 = 55 %: more than the target, another direction: stay.
    assert story.sync() == 4


def test_pods_that_are_starting_do_not_count_for_scaling_up() -> None:
    story = Story(4, target=50)
    story.pods(100, 100)
    story.pods(100, 100, ready=False, started=LATE - MINUTE, since=LATE - MINUTE)
    assert story.sync() == 4


def test_without_any_metric_it_says_so_and_does_nothing() -> None:
    story = Story(3)
    story.pods(None, None, None)
    assert story.sync() == 3
    assert story.condition("ScalingActive") == ("False", "FailedGetResourceMetric")


def test_zero_replicas_switch_it_off() -> None:
    story = Story(0)
    assert story.sync() == 0
    assert story.condition("ScalingActive") == ("False", "ScalingDisabled")


def test_a_target_that_is_not_there_is_told() -> None:
    story = Story(1)
    gone = story.controller._targets.popitem()
    assert gone
    story.sync()
    assert story.condition("AbleToScale") == ("False", "FailedGetScale")


@given(
    usages=st.lists(st.one_of(st.none(), st.integers(0, 400)), min_size=1, max_size=12),
    target=st.integers(10, 100),
    least=st.integers(1, 5),
    room=st.integers(0, 20),
    syncs=st.integers(1, 30),
)
@settings(deadline=None)
def test_it_never_leaves_its_bounds(usages: list[int | None], target: int, least: int, room: int, syncs: int) -> None:
    story = Story(len(usages), target=target, least=least, most=least + room)
    story.pods(*usages)
    for _ in range(syncs):
        before = story.replicas
        after = story.sync()
        if after != before:
            assert least <= after <= least + room
            assert after <= max(2 * before, before + 4) or before < least


@pytest.mark.parametrize("usage", [60, 75, 90])
def test_a_steady_load_settles(usage: int) -> None:
    """The total stays what it is; replicas go to where utilisation is at the target, and stay there."""
    total = 10 * usage
    story = Story(10, target=50)
    for _ in range(40):
        story.pods(*[total // story.replicas] * story.replicas)
        story.sync()
    assert abs(total / story.replicas / 50 - 1) <= 0.25
