"""HorizontalPodAutoscalers at the API server: what is refused, completed, printed and said in version 1."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.kinds import RULES
from harness.apiserver.kinds.autoscaling import complete_behavior
from harness.apiserver.registry.autoscaling_v1 import from_v1, to_v1
from harness.apiserver.registry.table_cells import Moment
from harness.apiserver.server import ApiServer
from harness.model.constants import Constants
from harness.model.objects import from_wire
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

VALUE: dict[str, Any] = {"type": "Value", "value": "5"}
AVERAGE: dict[str, Any] = {"type": "AverageValue", "averageValue": "5"}
PERCENT: dict[str, Any] = {"type": "Utilization", "averageUtilization": 50}
SERVICE = {"apiVersion": "v1", "kind": "Service", "name": "s"}
METRIC = {"name": "rps"}


def scaler(*metrics: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 5,
            "metrics": list(metrics),
            **spec,
        },
    }


def resource(target: dict[str, Any], name: str = "cpu") -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def on_object(target: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Object", "object": {"describedObject": SERVICE, "metric": METRIC, "target": target}}


def external(target: dict[str, Any]) -> dict[str, Any]:
    return {"type": "External", "external": {"metric": METRIC, "target": target}}


def pods(target: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Pods", "pods": {"metric": METRIC, "target": target}}


def container(target: dict[str, Any], name: str = "c") -> dict[str, Any]:
    source = {"name": "cpu", "container": name, "target": target}
    return {"type": "ContainerResource", "containerResource": source}


GOOD = (
    resource(PERCENT), resource(AVERAGE, "memory"), container(PERCENT), pods(AVERAGE), on_object(VALUE),
    on_object(AVERAGE), external(VALUE), external(AVERAGE),
)  # fmt: skip


def created(obj: dict[str, Any], **constants: Any) -> Any:
    server = ApiServer(MemoryStore(ObjectCodec()), constants=Constants(**constants))
    return server.create(from_wire(obj))


@pytest.mark.parametrize("metric", GOOD, ids=lambda item: f"{item['type']}")
def test_each_kind_of_metric_is_taken(metric: dict[str, Any]) -> None:
    assert len(created(scaler(metric)).spec.metrics) == 1


@pytest.mark.parametrize(
    # Source: pkg/apis/autoscaling/validation/validation.go.
    ("metric", "field", "words"),
    [
        ({"type": ""}, "type", "Required value: must specify a metric source type"),
        ({"type": "Cheese"}, "type", 'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"'),
        ({"type": "Pods"}, "pods", "Required value: must populate information for the given metric source"),
        ({**pods(AVERAGE), "type": "Object"}, "pods", "must populate the given metric source only"),
        ({**pods(AVERAGE), **external(VALUE)}, "pods", "must populate the given metric source only"),
        (resource({"type": "Utilization"}), "resource.target.averageUtilization", "must set either a target raw value"),
        (resource({**PERCENT, **AVERAGE}), "resource.target.averageValue", "may not set both a target raw value"),
        (resource({**PERCENT, "averageUtilization": 0}), "resource.target.averageUtilization", "greater than 0"),
        (resource({**PERCENT, "type": "Half"}), "resource.target.type", "must be either Utilization, Value, or"),
        (resource(PERCENT, ""), "resource.name", "Required value: must specify a resource name"),
        (container(PERCENT, ""), "containerResource.container", "Required value: must specify a container"),
        (pods(VALUE), "pods.target.averageValue", "must specify a positive target averageValue"),
        (external({**AVERAGE, "averageValue": "-1"}), "external.target.averageValue", "must be positive"),
        (on_object({"type": "Value"}), "object.target.averageValue", "must set either a target value for metric or a"),
        (external({**VALUE, **AVERAGE}), "external.target.value", "may not set both a target value for metric and a"),
        (external({**VALUE, "value": "0"}), "external.target.value", "must be positive"),
    ],
)  # fmt: skip
def test_metrics_that_are_refused(metric: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        created(scaler(metric))
    assert refused.value.code == 422
    found = {cause.field: cause.message for cause in refused.value.causes}
    assert words in found[f"spec.metrics[0].{field}"]


def test_no_replicas_need_their_gate_and_a_metric_that_is_there_without_pods() -> None:
    nothing = scaler(external(VALUE), minReplicas=0)
    with pytest.raises(ApiError, match=r"spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"):
        created(nothing)
    assert created(nothing, hpa_scale_to_zero=True).spec.min_replicas == 0
    with pytest.raises(ApiError, match=r"must specify at least one Object or External metric to support scaling to"):
        created(scaler(resource(PERCENT), minReplicas=0), hpa_scale_to_zero=True)


def test_behavior_is_completed() -> None:
    behavior = created(scaler(behavior={"scaleUp": {"selectPolicy": "Min"}})).spec.behavior
    assert behavior.scale_up.select_policy == "Min"
    assert behavior.scale_up.stabilization_window_seconds == 0
    assert [(item.type, item.value) for item in behavior.scale_up.policies] == [("Pods", 4), ("Percent", 100)]
    assert behavior.scale_down.stabilization_window_seconds is None, "the autoscaler's own flag"
    assert complete_behavior(behavior) == behavior


def test_targets_are_printed_in_their_places() -> None:
    table = RULES["HorizontalPodAutoscaler"].table
    obj = scaler(resource(AVERAGE, "memory"), pods(AVERAGE), resource(PERCENT))
    assert table.cells(obj, Moment(0, 0))[2] == "memory: <unknown>/5, <unknown>/5 + 1 more..."
    current = {"metric": METRIC, "current": {"averageValue": "7"}}
    obj["status"] = {"currentMetrics": [{"type": ""}, {"type": "Pods", "pods": current}, {"type": ""}]}
    assert table.cells(obj, Moment(0, 0))[2] == "memory: <unknown>/5, 7/5 + 1 more..."
    assert table.cells(scaler(on_object(VALUE)), Moment(0, 0))[2] == "<unknown>/5"


def test_version_1_carries_the_rest_in_annotations() -> None:
    """Source: pkg/apis/autoscaling/v1/conversion.go: metrics in version 1's own form, behavior in the internal one."""
    obj = scaler(*GOOD, behavior={"scaleDown": {"selectPolicy": "Disabled"}})
    v1 = to_v1(obj)
    assert v1["spec"]["targetCPUUtilizationPercentage"] == 50
    annotations = v1["metadata"]["annotations"]
    metrics = json.loads(annotations["autoscaling.alpha.kubernetes.io/metrics"])
    assert metrics[0] == {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "5"}}
    assert metrics[2] == {"type": "Pods", "pods": {"metricName": "rps", "targetAverageValue": "5"}}
    assert metrics[3]["object"] == {"metricName": "rps", "target": SERVICE, "targetValue": "5"}
    behavior = json.loads(annotations["autoscaling.alpha.kubernetes.io/behavior"])
    assert behavior == {"ScaleDown": {"SelectPolicy": "Disabled"}}
    back = from_v1(v1)
    assert back["spec"]["metrics"] == [*obj["spec"]["metrics"][1:], obj["spec"]["metrics"][0]]
    assert back["spec"]["behavior"] == obj["spec"]["behavior"]
    assert "annotations" not in back["metadata"]


@given(st.lists(st.sampled_from(GOOD), max_size=6), st.text(max_size=20))
def test_what_goes_through_version_1_comes_back(metrics: list[dict[str, Any]], text: str) -> None:
    obj = scaler(*metrics)
    there = [item for item in metrics if item != resource(PERCENT)]
    cpu = [resource(PERCENT)] if resource(PERCENT) in metrics else []
    assert from_v1(to_v1(obj))["spec"].get("metrics", []) == there + cpu
    wrong = to_v1(obj)
    wrong["metadata"]["annotations"] = {"autoscaling.alpha.kubernetes.io/metrics": text}
    from_v1(wrong)  # whatever somebody wrote there
