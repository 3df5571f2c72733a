"""Autoscalers side by side in one cluster, each with something that its controller has to say.

What is right follows kubernetes 1.34 pkg/controller/podautoscaler/horizontal.go and
pkg/apis/autoscaling/validation/validation.go.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from harness.experiment.run import Home, Run
from harness.model.errors import UserError
from harness.scheduling.registry import load
from tests.experiment.scenarios import loaded

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
QUEUE = {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "2"}}}  # fmt: skip  # noqa: E501
IDLE = {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "10"}}}  # fmt: skip  # noqa: E501


def workload(name: str, usage: str = "50m", kind: str = "Deployment", replicas: int = 3, **more: Any) -> dict[str, Any]:
    """Requests 100m of CPU unless `containers` says otherwise."""
    own = [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m"}}}]
    meta = {"labels": {"app": name}, "annotations": {"podyard.dev/cpu-usage": usage}}
    template = {"metadata": meta, "spec": {"containers": more.pop("containers", own)}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template, **more}
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def scaler(name: str, of: str = "", kind: str = "Deployment", version: str = "apps/v1", **more: Any) -> dict[str, Any]:
    ref = {"apiVersion": version, "kind": kind, "name": of or name}
    spec = {"scaleTargetRef": ref, "minReplicas": 1, "maxReplicas": 10, "metrics": [CPU], **more}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}


BARE = [{"name": "c", "image": "x"}]
HALF = [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m"}}}, {"name": "d", "image": "x"}]


def of_container(name: str) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 50}
    return {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": name, "target": target}}


OBJECTS = (
    scaler("gone"),
    workload("group"),
    scaler("group", version="extensions/v1beta1"),
    workload("malformed"),
    scaler("malformed", version="a/b/c"),
    workload("nogroup"),
    scaler("nogroup", version=""),
    workload("older", usage="90m"),
    scaler("older", version="apps/v1beta2"),
    workload("daemons", kind="DaemonSet"),
    scaler("daemons", kind="DaemonSet"),
    workload("zero", replicas=0),
    scaler("zero"),
    workload("bare", containers=BARE),
    scaler("bare"),
    workload("upwards", containers=BARE),
    scaler("upwards", metrics=[CPU, QUEUE]),
    workload("downwards", containers=BARE),
    scaler("downwards", metrics=[CPU, IDLE]),
    workload("shared"),
    scaler("shared"),
    scaler("second", of="shared"),
    workload("half", containers=HALF, usage="90m"),
    scaler("half", metrics=[of_container("c")]),
    workload("other", containers=HALF),
    scaler("other", metrics=[of_container("zz")]),
    workload("held", usage="200m"),
    scaler("held", behavior={"scaleUp": {"selectPolicy": "Disabled"}}),
    workload("tolerant", usage="60m"),
    scaler("tolerant", behavior={"scaleUp": {"tolerance": "0.3"}}),
    workload("few", replicas=1),
    scaler("few", minReplicas=4),
    workload("many", replicas=6),
    scaler("many", maxReplicas=5),
)


@cache
def server() -> Any:
    nodes = [{"group": {"name": "n", "count": 5, "cpu": 8, "memory": "32Gi"}}]
    series = [{"name": "q", "series": {"constant": {"value": 10}}}]
    spec = {"duration": "3m", "bound": False, "nodes": nodes, "metrics": series}
    run = Run(loaded(**spec, workload=[{"objects": list(OBJECTS)}]), load("greedy")(), 0, Home())
    run.play()
    assert run.result("greedy").broken == []
    return run.cluster.server


def conditions(name: str) -> dict[str, tuple[str, str, str]]:
    status = server().objects("HorizontalPodAutoscaler")[f"default/{name}"].status
    return {item.type: (item.status, item.reason, item.message) for item in status.conditions}


def events(name: str) -> dict[str, str]:
    """The last message of each reason."""
    found = [e for e in server().objects("Event").values() if e.involved_object.kind == "HorizontalPodAutoscaler"]
    mine = sorted((e.last_timestamp or 0, e.reason, e.message) for e in found if e.involved_object.name == name)
    return {reason: message for _, reason, message in mine}


def replicas(name: str, kind: str = "Deployment") -> int:
    found: int = server().objects(kind)[f"default/{name}"].spec.replicas
    return found


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gone", 'deployments.apps "gone" not found'),
        ("group", 'no matches for kind "Deployment" in group "extensions"'),
        ("nogroup", 'no matches for kind "Deployment" in group ""'),
        ("malformed", "unexpected GroupVersion string: a/b/c"),
        ("daemons", "the server could not find the requested resource"),
    ],
)
def test_a_target_that_cannot_be_scaled(name: str, why: str) -> None:
    text = f"the HPA controller was unable to get the target's current scale: {why}"
    assert conditions(name) == {"AbleToScale": ("False", "FailedGetScale", text)}
    assert events(name) == {"FailedGetScale": why}


def test_the_version_of_a_target_is_not_looked_at() -> None:
    assert replicas("older") > 3


def test_a_target_of_no_replicas_is_left_alone() -> None:
    assert conditions("zero")["ScalingActive"][:2] == ("False", "ScalingDisabled")
    assert (replicas("zero"), events("zero")) == (0, {})


def test_a_container_without_a_request() -> None:
    status, reason, text = conditions("bare")["ScalingActive"]
    assert (status, reason) == ("False", "FailedGetResourceMetric")
    start = "the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu in"
    assert text.startswith(f"{start} container c of Pod bare-")
    assert events("bare")["FailedComputeMetricsReplicas"].startswith(
        "invalid metrics (1 invalid out of 1), first error"
    )


def test_where_one_metric_fails_the_others_may_scale_up_and_not_down() -> None:
    assert replicas("upwards") == 5
    assert events("upwards")["SuccessfulRescale"] == "New size: 5; reason: external metric q(nil) above target"
    assert "FailedGetResourceMetric" in events("upwards")
    assert replicas("downwards") == 3
    assert conditions("downwards")["ScalingActive"][:2] == ("False", "FailedGetResourceMetric")


def test_two_autoscalers_of_the_same_pods_do_nothing() -> None:
    text = "pods by selector app=shared are controlled by multiple HPAs: [default/second default/shared]"
    for name in ("shared", "second"):
        assert conditions(name)["ScalingActive"] == ("False", "AmbiguousSelector", text)
        assert events(name)["AmbiguousSelector"] == text


def test_a_container_is_scaled_by_its_own_request() -> None:
    assert replicas("half") > 3
    assert conditions("other")["ScalingActive"][1] == "FailedGetContainerResourceMetric"
    assert "container zz not present in metrics for pod default/other-" in conditions("other")["ScalingActive"][2]


def test_scaling_up_that_is_disabled_or_tolerated() -> None:
    assert (replicas("held"), conditions("held")["ScalingLimited"][:2]) == (3, ("True", "ScaleUpLimit"))
    assert (replicas("tolerant"), conditions("tolerant")["ScalingLimited"][1]) == (3, "DesiredWithinRange")


def test_bounds_are_kept_before_metrics_are_looked_at() -> None:
    assert (replicas("few"), replicas("many")) == (4, 5)
    assert (
        events("few")["SuccessfulRescale"] == "New size: 4; reason: Current number of replicas below Spec.MinReplicas"
    )
    assert (
        events("many")["SuccessfulRescale"] == "New size: 5; reason: Current number of replicas above Spec.MaxReplicas"
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"behavior": {"scaleDown": {"policies": []}}},
            "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
        ),
        ({"minReplicas": 11}, "spec.maxReplicas: Invalid value: 10: must be greater than or equal to `minReplicas`"),
        ({"minReplicas": 0}, "must specify at least one Object or External metric to support scaling to zero replicas"),
    ],
)
def test_what_the_api_server_refuses(spec: dict[str, Any], words: str) -> None:
    nodes = [{"group": {"name": "n", "count": 1, "cpu": 8, "memory": "32Gi"}}]
    objects = [workload("w"), scaler("w", **spec)]
    with pytest.raises(UserError) as error:
        Run(loaded(duration="1m", bound=False, nodes=nodes, workload=[{"objects": objects}]), load("greedy")(), 0, Home())  # fmt: skip  # noqa: E501
    assert words in str(error.value)
