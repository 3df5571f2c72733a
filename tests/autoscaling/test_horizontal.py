"""The horizontal pod autoscaler against the examples and rules of Kubernetes' documentation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.autoscaling.horizontal.behavior import Memory, Recommendation, ScaleEvent, normalize
from harness.autoscaling.horizontal.controller import HorizontalController, replaced
from harness.engine.component import MINUTE, SECOND, Effect, Outcome, PatchStatus, Record, Timer, Update, Watch
from harness.experiment.run import Home, Run
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
from harness.model.pod_usage import CPU_PER_REQUEST
from harness.model.quantity import milli_quantity
from harness.model.wire import Time
from harness.model.workloads import (
    ContainerMetrics,
    ContainerResourceMetricSource,
    CrossVersionObjectReference,
    DeploymentSpec,
    ExternalMetricSource,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMetricSource,
    PodsMetricSource,
    ResourceMetricSource,
)
from harness.scheduling.registry import load
from tests.experiment.scenarios import loaded

LABELS = {"app": "web"}
SERVES = {CPU_PER_REQUEST: "1m"}  # its kubelet tells what it uses
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
                    metadata=ObjectMeta(name=name, namespace="default", labels=LABELS, uid=name, annotations=SERVES),
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
        for effect in self.effects:  # which grows
            if isinstance(effect, Update):
                self.replicas = effect.obj.spec.replicas
                self._deployment()
                self.effects += self.controller.step(self.now, [Outcome(effect, effect.obj)])
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
    assert story.sync() == 4, "without behavior: to twice as many, or four"


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


# -- behavior, metrics, silent nodes -----------------------------------------------------------------------------------


def rules(*policies: tuple[str, int, int], window: int | None = None, select: str | None = None) -> HPAScalingRules:
    return HPAScalingRules(
        policies=tuple(
            HPAScalingPolicy(type=kind, value=value, period_seconds=period) for kind, value, period in policies
        )
        or None,
        stabilization_window_seconds=window,
        select_policy=select,
    )


@pytest.mark.parametrize(
    # Worked by hand from calculateScaleUpLimitWithScalingRules and calculateScaleDownLimitWithBehaviors.
    ("up", "down", "current", "proposed", "expected"),
    [
        (None, None, 10, 100, 20),  # the defaults: 100 %, or 4 pods
        (None, None, 2, 100, 6),
        (rules(select="Disabled"), None, 10, 100, 10),
        (rules(("Pods", 2, 60)), None, 10, 100, 12),
        (rules(("Pods", 2, 60), ("Percent", 50, 60)), None, 10, 100, 15),
        (rules(("Pods", 2, 60), ("Percent", 50, 60), select="Min"), None, 10, 100, 12),
        (rules(("Percent", 1, 60)), None, 10, 100, 11),  # rounded up, or it would never scale
        (None, rules(window=0), 10, 1, 1),
        (None, rules(select="Disabled", window=0), 10, 1, 10),
        (None, rules(("Pods", 3, 60), window=0), 10, 1, 7),
        (None, rules(("Pods", 3, 60), ("Percent", 50, 60), window=0), 10, 1, 5),
        (None, rules(("Pods", 3, 60), ("Percent", 50, 60), window=0, select="Min"), 10, 1, 7),
        (None, rules(("Percent", 50, 60), window=0), 5, 1, 2),
    ],
)
def test_rates_by_behavior(
    up: HPAScalingRules | None, down: HPAScalingRules | None, current: int, proposed: int, expected: int
) -> None:
    behavior = HorizontalPodAutoscalerBehavior(scale_up=up, scale_down=down)
    assert normalize(10**12, Memory(), behavior, current, proposed, (1, 1000)).replicas == expected


def test_what_was_added_and_deleted_in_the_period_counts() -> None:
    behavior = HorizontalPodAutoscalerBehavior(scale_up=rules(("Pods", 4, 60)))
    now = 1000 * SECOND
    added = Memory(ups=[ScaleEvent(now - 30 * SECOND, 3), ScaleEvent(now - 90 * SECOND, 5)])
    assert normalize(now, added, behavior, 10, 100, (1, 1000)).replicas == 11
    both = Memory(ups=[ScaleEvent(now - 30 * SECOND, 3)], downs=[ScaleEvent(now - 20 * SECOND, 2)])
    assert normalize(now, both, behavior, 10, 100, (1, 1000)).replicas == 13


def test_a_window_for_scaling_up_takes_the_lowest_recommendation_in_it() -> None:
    behavior = HorizontalPodAutoscalerBehavior(scale_up=rules(window=60))
    memory = Memory()
    found = []
    for at, proposed in ((0, 10), (15, 14), (30, 12), (45, 20), (61, 20), (76, 20), (91, 20)):
        found.append(normalize((1000 + at) * SECOND, memory, behavior, 10, proposed, (1, 1000)))
    assert [item.replicas for item in found] == [10, 10, 10, 10, 12, 12, 20]
    assert found[1].able[1] == "ScaleUpStabilized"


def test_a_window_of_zero_scales_down_at_once() -> None:
    quick = HorizontalPodAutoscalerBehavior(scale_down=rules(window=0))
    memory = Memory(recommendations=[Recommendation(999 * SECOND, 30)])
    assert normalize(1000 * SECOND, memory, quick, 30, 3, (1, 100)).replicas == 3
    slow = normalize(1000 * SECOND, Memory(recommendations=[Recommendation(999 * SECOND, 30)]), None, 30, 3, (1, 100))
    assert (slow.replicas, slow.able[1]) == (30, "ScaleDownStabilized")


def metric(kind: str, name: str = "cpu", **target: Any) -> MetricSpec:
    """Of kinds besides Resource: one that nobody serves."""
    aim = MetricTarget(type="", **target)
    unserved = MetricIdentifier(name="cheese")
    five = MetricTarget(type="AverageValue", average_value=milli_quantity(5000))
    match kind:
        case "ContainerResource":
            inner = ContainerResourceMetricSource(name="cpu", container="other", target=five)
            return MetricSpec(type=kind, container_resource=inner)
        case "Pods":
            return MetricSpec(type=kind, pods=PodsMetricSource(metric=unserved, target=five))
        case "Object":
            described = CrossVersionObjectReference(kind="Service", name="s")
            source = ObjectMetricSource(described_object=described, metric=unserved, target=five)
            return MetricSpec(type=kind, object=source)
        case "External":
            return MetricSpec(type=kind, external=ExternalMetricSource(metric=unserved, target=five))
        case _:
            return MetricSpec(type=kind, resource=ResourceMetricSource(name=name, target=aim))


def with_metrics(story: Story, *metrics: MetricSpec) -> Story:
    story._tell(replaced(story.scaler, spec=replaced(story.scaler.spec, metrics=metrics)))
    return story


def test_average_value_is_a_target_of_its_own() -> None:
    story = with_metrics(Story(4), metric("Resource", average_value=milli_quantity(50)))
    story.pods(*[100] * 4, request=0)
    assert story.sync() == 8


def test_the_metric_that_asks_for_most_wins() -> None:
    cpu = metric("Resource", average_utilization=100)
    story = with_metrics(Story(4), cpu, metric("Resource", average_value=milli_quantity(50)))
    story.pods(*[75] * 4)
    assert story.sync() == 6


@pytest.mark.parametrize("kind", ["Pods", "External", "Object", "ContainerResource", "memory"])
def test_a_metric_that_fails_keeps_from_scaling_down_and_not_up(kind: str) -> None:
    other = metric("Resource", "memory", average_utilization=50) if kind == "memory" else metric(kind)
    cpu = metric("Resource", average_utilization=50)
    up = with_metrics(Story(4), other, cpu)
    up.pods(*[100] * 4)
    assert up.sync() == 8
    down = with_metrics(Story(4), other, cpu)
    down.pods(*[10] * 4)
    for _ in range(30):
        assert down.sync() == 4
    status, reason = down.condition("ScalingActive")
    assert status == "False"
    assert reason == f"FailedGet{'Resource' if kind == 'memory' else kind}Metric"


def test_tolerance_by_direction() -> None:
    wide = HPAScalingRules(tolerance=milli_quantity(600))
    story = Story(4, target=50)
    spec = replaced(story.scaler.spec, behavior=HorizontalPodAutoscalerBehavior(scale_up=wide))
    story._tell(replaced(story.scaler, spec=spec))
    story.pods(*[75] * 4)
    assert story.sync() == 4
    other = Story(4, target=50)
    other.pods(*[75] * 4)
    assert other.sync() == 6


def test_pods_of_a_silent_node_have_no_metrics() -> None:
    """Their last usage made the autoscaler scale up while the node was dead: they count as missing instead."""
    crash = {"at": "5m", "nodeCrash": {"select": {"names": ["n-0"]}}}
    shop = {
        "service": {
            "name": "shop",
            "replicas": 6,
            "cpu": 1,
            "cpuPerRequest": "10m",
            "load": {"constant": {"rps": 300}},
            "autoscaler": {"min": 2, "max": 30, "targetCpu": 50},
        }
    }
    group = {"group": {"name": "n", "count": 3, "cpu": 8, "memory": "16Gi"}}
    story = loaded(nodes=[group], duration="11m", workload=[shop], faults=[crash])
    run = Run(story, load("least-allocated")(), 1, Home())
    sizes: list[int] = []

    def write(kind: Any, change: str, obj: Any, old: Any, revision: int) -> None:
        if kind.kind == "Deployment":
            sizes.append(obj.spec.replicas)

    run.cluster.server.listeners.append(write)
    run.play()
    assert max(sizes) == 8
