"""Measures of vertical pod autoscalers, and what is explained of their pods; on a run, and worked by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from harness.experiment.run import run_once
from harness.measure.vertical import VerticalScaling
from harness.model.core import Container, Pod, PodSpec, PodStatus, ResourceRequirements
from harness.model.meta import ObjectMeta, OwnerReference
from harness.model.quantity import bytes_quantity, milli_quantity
from harness.model.vertical import (
    RecommendedContainerResources,
    RecommendedPodResources,
    VerticalPodAutoscaler,
    VerticalPodAutoscalerSpec,
    VerticalPodAutoscalerStatus,
)
from harness.model.workloads import CrossVersionObjectReference
from tests.experiment.scenarios import loaded

SECOND = 10**9
GIB = 1 << 30


def pod(name: str, cpu: int, *, phase: str = "Running", updated: bool = False) -> Pod:
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="web-abc", uid="r", controller=True)
    requests = {"cpu": milli_quantity(cpu), "memory": bytes_quantity(GIB)}
    annotations = {"vpaUpdates": "Pod resources updated by web: container 0: cpu request"} if updated else {}
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", owner_references=(owner,), annotations=annotations),
        spec=PodSpec(containers=(Container(name="c", resources=ResourceRequirements(requests=requests)),)),
        status=PodStatus(phase=phase),
    )


def vpa(low: int = 0, high: int = 0) -> VerticalPodAutoscaler:
    ref = CrossVersionObjectReference(kind="Deployment", name="web", api_version="apps/v1")
    found = None
    if high:
        bounds = {"lower_bound": {"cpu": milli_quantity(low)}, "upper_bound": {"cpu": milli_quantity(high)}}
        one = RecommendedContainerResources(container_name="c", target={"cpu": milli_quantity(low)}, **bounds)
        found = RecommendedPodResources(container_recommendations=(one,))
    return VerticalPodAutoscaler(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=VerticalPodAutoscalerSpec(target_ref=ref),
        status=VerticalPodAutoscalerStatus(recommendation=found),
    )


def test_by_hand() -> None:
    """A pod of 1000m for 60 s, outside its bounds for the last 40; then one of 400m, inside, for 40 s."""
    fold = VerticalScaling()
    fold.write(0, "Pod", "ADDED", pod("a", 1000), None)  # before there is an autoscaler
    fold.write(0, "VerticalPodAutoscaler", "ADDED", vpa(), None)
    fold.write(20 * SECOND, "VerticalPodAutoscaler", "MODIFIED", vpa(300, 500), None)
    fold.write(60 * SECOND, "Pod", "MODIFIED", pod("a", 1000, phase="Succeeded"), None)
    fold.write(60 * SECOND, "Pod", "ADDED", pod("b", 400, updated=True), None)
    fold.write(60 * SECOND, "Pod", "DELETED", pod("a", 1000), None)
    found = fold.metrics(100 * SECOND)["default/web"]
    assert found == {
        "evictions": 0,
        "podsUpdated": 1,
        "cpuRequested": pytest.approx((60 * 1.0 + 40 * 0.4) / 100),
        "memoryRequested": pytest.approx(1.0),
        "recommendedSeconds": 20.0,
        "outsideBounds": pytest.approx(40.0),
        "cpuAtEnd": pytest.approx(40.0),
        "memoryAtEnd": pytest.approx(100.0),
    }


def deployment(mode: str) -> list[dict[str, Any]]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "1500m", "memory": "2Gi"}}}
    meta = {"labels": {"app": "w"}, "annotations": {"podyard.dev/cpu-usage": "300m", "podyard.dev/memory-usage": "600Mi"}}  # fmt: skip  # noqa: E501
    template = {"metadata": meta, "spec": {"containers": [container]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "w"}}, "template": template}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}
    own = {"targetRef": target, "updatePolicy": {"updateMode": mode}}
    named = {"name": "w", "namespace": "default"}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, "spec": spec},
        {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": named, "spec": own},
    ]


@cache
def measured(mode: str) -> dict[str, Any]:
    nodes = [{"group": {"name": "n", "count": 3, "cpu": 8, "memory": "32Gi"}}]
    flags = "vpa-recommender?confidence-interval-cpu=15m&confidence-interval-memory=15m"
    spec = {"duration": "15m", "bound": False, "nodes": nodes, "controllers": ["*", flags]}
    result = run_once(loaded(**spec, workload=[{"objects": deployment(mode)}]), "greedy", 1)
    found: dict[str, Any] = result.metrics["vertical"]["default/w"]
    return found


@pytest.mark.parametrize(
    ("mode", "evicted", "resized"), [("Off", False, False), ("Initial", False, False), ("Recreate", True, True)]
)
def test_what_an_update_mode_does(mode: str, evicted: bool, resized: bool) -> None:
    """Initial resizes pods that come, and evicts none; Off recommends alone."""
    found = measured(mode)
    assert bool(found["evictions"]) == evicted
    assert bool(found["podsUpdated"]) == resized
    assert (found["cpuAtEnd"] < 50) == resized
    assert found["recommendedSeconds"] < 120
    assert found["outsideBounds"] > 0


def test_without_autoscalers_there_is_no_such_table() -> None:
    objects = deployment("Off")[:1]
    nodes = [{"group": {"name": "n", "count": 3, "cpu": 8, "memory": "32Gi"}}]
    result = run_once(loaded(duration="1m", bound=False, nodes=nodes, workload=[{"objects": objects}]), "greedy", 1)
    assert "vertical" not in result.metrics
