"""Which pods the vertical pod autoscaler's updater evicts; and the three parts together in a cluster.

Source of the figures: kubernetes/autoscaler vertical-pod-autoscaler/pkg/updater (1.8) priority/
priority_processor_test.go, update_priority_calculator_test.go, scaling_direction_pod_eviction_admission_test.go,
restriction/pods_eviction_restriction_test.go. Rows about resizing in place are left out: it is not modelled.
"""

from __future__ import annotations

from dataclasses import replace as replace_settings
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from harness.autoscaling.vertical.eviction_limits import EvictionLimits
from harness.autoscaling.vertical.recommender import VerticalRecommender
from harness.autoscaling.vertical.settings import UpdaterSettings
from harness.autoscaling.vertical.update_priority import Priority, admits, is_due, pods_to_update, priority_of
from harness.autoscaling.vertical.updater import VerticalUpdater
from harness.engine.component import (
    HOUR,
    MINUTE,
    SECOND,
    Effect,
    Event,
    EvictPod,
    Outcome,
    Record,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.experiment.run import Home, Run
from harness.experiment.scenario import from_data
from harness.model.core import (
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from harness.model.meta import LabelSelector, ObjectMeta, OwnerReference
from harness.model.objects import ReplicaSet
from harness.model.status import ApiError
from harness.model.vertical import (
    ContainerResourcePolicy,
    EvictionRequirement,
    PodResourcePolicy,
    PodUpdatePolicy,
    RecommendedPodResources,
    VerticalPodAutoscaler,
    VerticalPodAutoscalerSpec,
    VerticalPodAutoscalerStatus,
)
from harness.model.wire import Time
from harness.model.workloads import CrossVersionObjectReference, ReplicaSetSpec
from harness.scheduling.registry import load
from tests.autoscaling.test_vertical_admission import amounts, item

SETTINGS = UpdaterSettings()


def pod(*requests: str, name: str = "p", started_h: float = 0, phase: str = "Running", **meta: Any) -> Pod:
    """Containers a, b, .. by what they ask for."""
    containers = tuple(
        Container(name="abc"[index], resources=ResourceRequirements(requests=amounts(text)))
        for index, text in enumerate(requests)
    )
    ref = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="web", uid="r", controller=True)
    return Pod(
        metadata=ObjectMeta(
            name=name, namespace="default", uid=name, labels={"app": "web"}, owner_references=(ref,), **meta
        ),
        spec=PodSpec(containers=containers),
        status=PodStatus(phase=phase, start_time=Time(round(started_h * HOUR))),
    )


def recommended(*items: Any) -> RecommendedPodResources:
    return RecommendedPodResources(container_recommendations=items)


def vpa(*items: Any, update: PodUpdatePolicy | None = None, **policy: Any) -> VerticalPodAutoscaler:
    own = PodResourcePolicy(container_policies=(ContainerResourcePolicy(**policy),)) if policy else None
    return VerticalPodAutoscaler(
        metadata=ObjectMeta(name="v", namespace="default", uid="v"),
        spec=VerticalPodAutoscalerSpec(
            target_ref=CrossVersionObjectReference(kind="ReplicaSet", name="web", api_version="apps/v1"),
            update_policy=update,
            resource_policy=own,
        ),
        status=VerticalPodAutoscalerStatus(recommendation=recommended(*items)),
    )


# -- priorities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "items", "expected"),
    [
        (("2",), (item("10"),), Priority(False, True, 4.0)),
        (("4",), (item("2"),), Priority(False, False, 0.5)),
        (("2",), (item("2"),), Priority(False, False, 0.0)),
        (("10m",), (item("900m"),), Priority(False, True, 89.0)),
        (("4",), (item("10", "6", "14"),), Priority(True, True, 1.5)),
        (("8",), (item("2", "1", "3"),), Priority(True, False, 0.75)),
        (("3 10M",), (item("6 20M"),), Priority(False, True, 2.0)),
        (("4 10M",), (item("2 20M"),), Priority(False, True, 1.5)),
        (("4 20M",), (item("2 10M"),), Priority(False, False, 1.0)),
        (("4 20M",), (item("2 10M", "1 5M", "3 30M"),), Priority(True, False, 1.0)),
        (("1", "2"), (item("4"), item("8", name="b")), Priority(False, True, 3.0)),
        (("3", "7"), (item("1"), item("2", name="b")), Priority(False, False, 0.7)),
        (("1", "2"), (item("4", "1"), item("8", "3", "10", name="b")), Priority(True, True, 3.0)),
        (("6 10M", "4 30M"), (item("8 20M"), item("7 30M", name="b")), Priority(False, True, 0.75)),
        (("5 10",), (), Priority(False, False, 0.0)),
        (("- 10M",), (item("1"),), Priority(True, True, 999.0)),
    ],
)
def test_priority(asks: tuple[str, ...], items: tuple[Any, ...], expected: Priority) -> None:
    assert priority_of(pod(*asks), recommended(*items)) == expected


@pytest.mark.parametrize(("observed", "diff"), [(None, 9), ("a", 9), ("", 0), ("abcd;';", 9)])
def test_containers_that_admission_did_not_see(observed: str | None, diff: float) -> None:
    annotations = {} if observed is None else {"vpaObservedContainers": observed}
    assert priority_of(pod("1", annotations=annotations), recommended(item("10"))).diff == diff


def test_order_of_updates() -> None:
    """Those that grow first, then the farthest off."""
    late = 24 * HOUR
    pods = [pod(asks, name=f"p{index}") for index, asks in enumerate(("2", "4", "1", "3"))]
    found = pods_to_update(late, vpa(item("10")), pods, SETTINGS, ())
    assert [one.metadata.name for one in found] == ["p2", "p0", "p3", "p1"]
    pods = [pod(asks, name=f"p{index}") for index, asks in enumerate(("4", "8", "10"))]
    found = pods_to_update(late, vpa(item("5")), pods, SETTINGS, ())
    assert [one.metadata.name for one in found] == ["p0", "p2", "p1"]


@pytest.mark.parametrize(
    ("hours", "priority", "due"),
    [
        (24, Priority(False, False, 0.0), False),
        (13, Priority(False, True, 0.25), False),
        (13, Priority(False, True, 4.0), True),
        (13, Priority(True, False, 0.25), True),
        (11, Priority(False, True, 0.25), False),
        (11, Priority(False, True, 4.0), False),
        (11, Priority(True, False, 0.9), True),
    ],
)
def test_when_an_update_is_due(hours: int, priority: Priority, due: bool) -> None:
    settings = replace_settings(SETTINGS, update_threshold=0.5)
    assert is_due(hours * HOUR, vpa(item("5")), pod("4"), priority, settings) == due


def killed(ran_min: int, **meta: Any) -> Pod:
    """Killed for its memory three minutes ago, after so many minutes."""
    now = 11 * HOUR
    ended = ContainerStateTerminated(
        exit_code=137,
        reason="OOMKilled",
        started_at=Time(now - (3 + ran_min) * MINUTE),
        finished_at=Time(now - 3 * MINUTE),
    )
    status = ContainerStatus(name="a", last_state=ContainerState(terminated=ended))
    made = pod("4", **meta)
    return replace(made, status=replace(made.status, container_statuses=(status,)))


@pytest.mark.parametrize(
    ("one", "diff", "policy", "due"),
    [
        (killed(2), 0.25, {}, True),
        (killed(2), 0.0, {}, False),
        (killed(57), 0.25, {}, False),
        (killed(2, annotations={"vpaObservedContainers": "a"}), 0.25, {}, True),
        (killed(2, annotations={"vpaObservedContainers": ""}), 0.25, {}, False),
        (killed(2), 0.25, {"container_name": "a", "mode": "Auto"}, True),
        (killed(2), 0.25, {"container_name": "a", "mode": "Off"}, False),
        (killed(2), 0.25, {"container_name": "*", "mode": "Off"}, False),
    ],
)
def test_pods_that_died_quickly(one: Pod, diff: float, policy: dict[str, Any], due: bool) -> None:
    settings = replace_settings(SETTINGS, update_threshold=0.5)
    assert is_due(11 * HOUR, vpa(item("5"), **policy), one, Priority(False, True, diff), settings) == due


@pytest.mark.parametrize(
    ("asks", "target", "requirements", "admitted"),
    [
        ("500m 10Gi", "600m 10Gi", (), True),
        ("500m 10Gi", "600m 10Gi", (("cpu", "TargetHigherThanRequests"),), True),
        ("500m 10Gi", "400m 10Gi", (("cpu", "TargetHigherThanRequests"),), False),
        ("500m 10Gi", "400m 10Gi", (("cpu", "TargetLowerThanRequests"),), True),
        ("500m 10Gi", "500m 10Gi", (("cpu", "TargetLowerThanRequests"),), False),
        ("500m 10Gi", "400m 11Gi", (("cpu memory", "TargetHigherThanRequests"),), True),
        ("500m 10Gi", "600m 9Gi", (("cpu", "TargetHigherThanRequests"), ("memory", "TargetHigherThanRequests")), False),
        ("500m 10Gi", "600m 9Gi", (("cpu", "TargetHigherThanRequests"), ("memory", "TargetLowerThanRequests")), True),
        ("500m", "400m 9Gi", (("cpu", "TargetHigherThanRequests"),), True),
    ],
)
def test_eviction_requirements(
    asks: str, target: str, requirements: tuple[tuple[str, str], ...], admitted: bool
) -> None:
    given = tuple(
        EvictionRequirement(resources=tuple(names.split()), change_requirement=change) for names, change in requirements
    )
    assert admits(pod(asks), recommended(item(target)), given) == admitted


# -- limits ------------------------------------------------------------------------------------------------------------


def evicted(count: int, replicas: int, *, phase: str = "Running", least: int | None = None, **settings: Any) -> int:
    """How many of `count` pods of a ReplicaSet of `replicas` may go."""
    pods = [pod("1", name=f"p{index}", phase=phase) for index in range(count)]
    owner = ReplicaSet(spec=ReplicaSetSpec(replicas=replicas, selector=LabelSelector()))
    given = vpa(update=PodUpdatePolicy(update_mode="Recreate", min_replicas=least))
    limits = EvictionLimits(given, pods, UpdaterSettings(**settings), lambda *_: owner)
    gone = 0
    for one in pods:
        if limits.may_evict(one):
            limits.note_eviction(one)
            gone += 1
    return gone


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({"count": 5, "replicas": 5, "min_replicas": 10, "eviction_tolerance": 0.5}, 0),
        ({"count": 5, "replicas": 5, "eviction_tolerance": 0.8}, 4),
        ({"count": 5, "replicas": 5, "eviction_tolerance": 0.1}, 1),
        ({"count": 2, "replicas": 4, "phase": "Pending"}, 2),
        ({"count": 1, "replicas": 4}, 0),
        ({"count": 1, "replicas": 1}, 0),
        ({"count": 1, "replicas": 1, "least": 1}, 1),
        ({"count": 4, "replicas": 4, "least": 5}, 0),
        ({"count": 2, "replicas": 0}, 0),
    ],
)
def test_how_many_may_go(asked: dict[str, Any], gone: int) -> None:
    assert evicted(**asked) == gone


# -- the component -----------------------------------------------------------------------------------------------------


class Updating:
    """An updater that looks once at so many pods that ask for 4 CPUs where 1 is recommended."""

    def __init__(self, count: int, **flags: Any) -> None:
        self.updater = VerticalUpdater(**flags)
        self.now = 0
        owner = ReplicaSet(
            metadata=ObjectMeta(name="web", namespace="default", uid="r"),
            spec=ReplicaSetSpec(replicas=count, selector=LabelSelector(match_labels={"app": "web"})),
        )
        pods = [pod("4", name=f"p{index}") for index in range(count)]
        told: list[Event] = [Start(), *(Watch("ADDED", obj) for obj in (vpa(item("1", "1", "2")), owner, *pods))]
        (wake,) = self.updater.step(0, told)
        assert isinstance(wake, WakeAt)
        self.effects = self.wake(wake)

    def wake(self, wake: WakeAt) -> list[Effect]:
        self.now = wake.at
        return self.updater.step(self.now, [Timer(wake.token)])

    def answer(self, error: ApiError | None = None) -> list[str]:
        """What came of the eviction, and the reasons of the events that follow."""
        (eviction,) = [effect for effect in self.effects if isinstance(effect, EvictPod)]
        self.effects = self.updater.step(self.now, [Outcome(eviction, error=error)])
        return [effect.reason for effect in self.effects if isinstance(effect, Record)]


def test_one_eviction_at_a_time_as_far_as_the_tolerance_goes() -> None:
    story = Updating(4)
    assert story.answer() == ["EvictedByVPA", "EvictedPod"]
    assert story.answer() == ["EvictedByVPA", "EvictedPod"]
    assert not [effect for effect in story.effects if isinstance(effect, EvictPod)]


def test_an_eviction_that_a_budget_refuses_leaves_room_for_others() -> None:
    story = Updating(4)
    assert story.answer(ApiError(429, "TooManyRequests", "Cannot evict pod")) == []
    assert story.updater.handled_failures == 1
    story.answer()
    story.answer()
    assert not [effect for effect in story.effects if isinstance(effect, EvictPod)]


def test_the_rate_limit_of_evictions() -> None:
    story = Updating(4, **{"eviction-rate-limit": 0.1})
    began = story.now
    story.answer()
    (wake,) = [effect for effect in story.effects if isinstance(effect, WakeAt)]
    assert wake.at - began == 10 * SECOND
    assert [type(effect) for effect in story.wake(wake)] == [EvictPod]


# -- together ----------------------------------------------------------------------------------------------------------

VERTICAL = """
apiVersion: podyard.dev/v1
kind: Scenario
metadata: {name: vertical}
spec:
  seed: 3
  duration: 20m
  bound: false
  controllers: ["*", "vpa-recommender?confidence-interval-cpu=10m&confidence-interval-memory=10m"]
  nodes: [{group: {name: n, count: 4, cpu: 4, memory: 16Gi}}]
  workload:
    - objects:
        - apiVersion: apps/v1
          kind: Deployment
          metadata: {name: web, namespace: default}
          spec:
            replicas: 4
            selector: {matchLabels: {app: web}}
            template:
              metadata:
                labels: {app: web}
                annotations: {podyard.dev/cpu-usage: 300m, podyard.dev/memory-usage: 900Mi}
              spec:
                containers:
                  - name: web
                    image: web
                    resources: {requests: {cpu: "2", memory: 2Gi}, limits: {cpu: "3", memory: 4Gi}}
        - apiVersion: autoscaling.k8s.io/v1
          kind: VerticalPodAutoscaler
          metadata: {name: web, namespace: default}
          spec:
            targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
            updatePolicy: {updateMode: "MODE"}
  schedulers: [greedy]
"""


def ran(mode: str) -> Run:
    run = Run(from_data(yaml.safe_load(VERTICAL.replace("MODE", mode)), "vertical.yaml"), load("greedy")(), 3, Home())
    run.play()
    return run


def requests_of(run: Run) -> set[str]:
    pods = run.cluster.server.objects("Pod").values()
    return {str(one.spec.containers[0].resources.requests["cpu"]) for one in pods}


def test_pods_are_made_again_with_what_they_use() -> None:
    """300m in a bucket of 5 %, and 15 % on it; memory a margin above its peak; limits in their ratio."""
    server = (run := ran("Recreate")).cluster.server
    status = server.get("VerticalPodAutoscaler", "default", "web").status
    (found,) = status.recommendation.container_recommendations
    assert 345 <= found.target["cpu"].milli <= 345 * 1.06
    assert 900 * 1.15 <= found.target["memory"].value / (1 << 20) <= 900 * 1.15 * 1.06
    assert [(one.type, one.status) for one in status.conditions] == [("RecommendationProvided", "True")]
    assert requests_of(run) == {str(found.target["cpu"])}
    for one in server.objects("Pod").values():
        (container,) = one.spec.containers
        limits, asks = container.resources.limits, container.resources.requests
        assert limits["cpu"].milli == asks["cpu"].milli * 3 // 2
        assert limits["memory"].value == asks["memory"].value * 2
    reasons = {event.reason for event in server.objects("Event").values()}
    assert {"EvictedByVPA", "EvictedPod"} <= reasons
    assert set(server.objects("VerticalPodAutoscalerCheckpoint")) == {"default/web-web"}


@pytest.mark.parametrize("mode", ["Off", "Initial"])
def test_modes_that_evict_nothing(mode: str) -> None:
    run = ran(mode)
    assert requests_of(run) == {"2"}
    assert run.cluster.server.get("VerticalPodAutoscaler", "default", "web").status.recommendation is not None


def test_a_recommender_that_is_started_again_goes_on_from_its_checkpoints() -> None:
    """Its history would begin anew otherwise, and the upper bound be far off."""
    server = ran("Off").cluster.server
    kinds = ("VerticalPodAutoscaler", "VerticalPodAutoscalerCheckpoint", "Deployment", "ReplicaSet", "Pod")
    known = {kind: list(server.objects(kind).values()) for kind in kinds}
    bounds = []
    for checkpoints in (known["VerticalPodAutoscalerCheckpoint"], []):
        recommender = VerticalRecommender(**{"confidence-interval-cpu": "10m"})
        shown = [obj for kind in kinds if kind != "VerticalPodAutoscalerCheckpoint" for obj in known[kind]]
        told: list[Event] = [Start(), *(Watch("ADDED", obj) for obj in (*checkpoints, *shown))]
        (wake,) = [effect for effect in recommender.step(server.now, told) if isinstance(effect, WakeAt)]
        effects = recommender.step(wake.at, [Timer(wake.token)])
        (status,) = [effect.obj.status for effect in effects if isinstance(effect, Update) and effect.subresource]
        bounds.append(status.recommendation.container_recommendations[0].upper_bound["cpu"].milli)
    assert bounds[0] < 1_000 < bounds[1]
