"""What is wrong with a HorizontalPodAutoscaler. Source: pkg/apis/autoscaling/validation/validation.go (1.34)."""

from __future__ import annotations

from harness.apiserver.validation.causes import at_least, forbidden, required, unsupported, wrong
from harness.apiserver.validation.names import path_segment_problem
from harness.model.status import Cause
from harness.model.workloads import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
)


def autoscaler_problems(new: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None) -> list[Cause]:
    """Source: validation.go validateHorizontalPodAutoscalerSpec (1.34)."""
    found: list[Cause] = []
    spec = new.spec
    at_least(found, "spec.minReplicas", spec.min_replicas, 0)
    if spec.max_replicas < 1:
        found.append(wrong("spec.maxReplicas", spec.max_replicas, "must be greater than 0"))
    if spec.min_replicas is not None and spec.max_replicas < spec.min_replicas:
        why = "must be greater than or equal to `minReplicas`"
        found.append(wrong("spec.maxReplicas", spec.max_replicas, why))
    _reference_problems(found, "spec.scaleTargetRef", spec.scale_target_ref)
    for index, metric in enumerate(spec.metrics):
        _metric_problems(found, f"spec.metrics[{index}]", metric)
    if spec.min_replicas == 0 and not any(item.object or item.external for item in spec.metrics):
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        found.append(forbidden("spec.metrics", why))
    if spec.behavior is not None:
        _behavior_problems(found, spec.behavior)
    return found


def _reference_problems(found: list[Cause], at: str, ref: CrossVersionObjectReference) -> None:
    for field, value in (("kind", ref.kind), ("name", ref.name)):
        if not value:
            found.append(required(f"{at}.{field}"))
        elif why := path_segment_problem(value):
            found.append(wrong(f"{at}.{field}", value, why))


_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}


def _metric_problems(found: list[Cause], at: str, metric: MetricSpec) -> None:
    """Source: validateMetricSpec."""
    if not metric.type:
        found.append(required(f"{at}.type", "must specify a metric source type"))
    elif metric.type not in _SOURCES:
        found.append(unsupported(f"{at}.type", metric.type, tuple(_SOURCES)))
    sources = {
        "object": metric.object,
        "external": metric.external,
        "pods": metric.pods,
        "resource": metric.resource,
        "containerResource": metric.container_resource,
    }
    there = [name for name, source in sources.items() if source is not None]
    if len(there) == 1:
        _source_problems(found, at, metric)
    expected = _SOURCES.get(metric.type)
    if expected is not None and sources[expected] is None:
        found.append(required(f"{at}.{expected}", "must populate information for the given metric source"))
    if len(there) != 1 or expected not in (None, *there):
        only = "must populate the given metric source only"
        found += [forbidden(f"{at}.{name}", only) for name in there if name != expected]


def _source_problems(found: list[Cause], at: str, metric: MetricSpec) -> None:
    if metric.object is not None:
        at = f"{at}.object"
        _reference_problems(found, f"{at}.describedObject", metric.object.described_object)
        _identifier_problems(found, f"{at}.metric", metric.object.metric)
        target = metric.object.target
        _target_problems(found, f"{at}.target", target)
        if target.value is None and target.average_value is None:
            why = "must set either a target value for metric or a per-pod target"
            found.append(required(f"{at}.target.averageValue", why))
    elif metric.external is not None:
        at = f"{at}.external"
        _identifier_problems(found, f"{at}.metric", metric.external.metric)
        target = metric.external.target
        _target_problems(found, f"{at}.target", target)
        if target.value is None and target.average_value is None:
            why = "must set either a target value for metric or a per-pod target"
            found.append(required(f"{at}.target.averageValue", why))
        if target.value is not None and target.average_value is not None:
            why = "may not set both a target value for metric and a per-pod target"
            found.append(forbidden(f"{at}.target.value", why))
    elif metric.pods is not None:
        at = f"{at}.pods"
        _identifier_problems(found, f"{at}.metric", metric.pods.metric)
        target = metric.pods.target
        _target_problems(found, f"{at}.target", target)
        if target.average_value is None or target.average_value.milli <= 0:
            found.append(required(f"{at}.target.averageValue", "must specify a positive target averageValue"))
    elif metric.container_resource is not None:
        inner = metric.container_resource
        if not inner.container:
            found.append(required(f"{at}.containerResource.container", "must specify a container"))
        _resource_problems(found, f"{at}.containerResource", inner.name, inner.target)
    elif metric.resource is not None:
        _resource_problems(found, f"{at}.resource", metric.resource.name, metric.resource.target)


def _resource_problems(found: list[Cause], at: str, name: str, target: MetricTarget) -> None:
    if not name:
        found.append(required(f"{at}.name", "must specify a resource name"))
    _target_problems(found, f"{at}.target", target)
    percent = target.average_utilization
    if percent is not None and percent < 1:
        found.append(wrong(f"{at}.target.averageUtilization", percent, "must be greater than 0"))
    if percent is None and target.average_value is None:
        why = "must set either a target raw value or a target utilization"
        found.append(required(f"{at}.target.averageUtilization", why))
    if percent is not None and target.average_value is not None:
        why = "may not set both a target raw value and a target utilization"
        found.append(forbidden(f"{at}.target.averageValue", why))


def _identifier_problems(found: list[Cause], at: str, metric: MetricIdentifier) -> None:
    if not metric.name:
        found.append(required(f"{at}.name", "must specify a metric name"))
    elif why := path_segment_problem(metric.name):
        found.append(wrong(f"{at}.name", metric.name, why))


def _target_problems(found: list[Cause], at: str, target: MetricTarget) -> None:
    """Source: validateMetricTarget."""
    if not target.type:
        found.append(required(f"{at}.type", "must specify a metric target type"))
    if target.type not in ("Utilization", "Value", "AverageValue"):
        found.append(wrong(f"{at}.type", target.type, "must be either Utilization, Value, or AverageValue"))
    for name, amount in (("value", target.value), ("averageValue", target.average_value)):
        if amount is not None and amount.milli <= 0:
            found.append(wrong(f"{at}.{name}", str(amount), "must be positive"))


def _behavior_problems(found: list[Cause], behavior: HorizontalPodAutoscalerBehavior) -> None:
    """Source: validation.go validateBehavior, validateScalingRules, validateScalingPolicy."""
    for name, rules in (("scaleUp", behavior.scale_up), ("scaleDown", behavior.scale_down)):
        if rules is None:
            continue
        at = f"spec.behavior.{name}"
        window = rules.stabilization_window_seconds
        if window is not None and not 0 <= window <= 3600:
            why = "must be greater than or equal to zero" if window < 0 else "must be less than or equal to 3600"
            found.append(wrong(f"{at}.stabilizationWindowSeconds", window, why))
        if rules.select_policy is not None and rules.select_policy not in ("Disabled", "Max", "Min"):
            found.append(unsupported(f"{at}.selectPolicy", rules.select_policy, ("Disabled", "Max", "Min")))
        if not rules.policies:
            found.append(required(f"{at}.policies", "must specify at least one Policy"))
        for index, policy in enumerate(rules.policies or ()):
            where = f"{at}.policies[{index}]"
            if policy.type not in ("Percent", "Pods"):
                found.append(unsupported(f"{where}.type", policy.type, ("Percent", "Pods")))
            if policy.value <= 0:
                found.append(wrong(f"{where}.value", policy.value, "must be greater than zero"))
            if policy.period_seconds <= 0:
                found.append(wrong(f"{where}.periodSeconds", policy.period_seconds, "must be greater than zero"))
            elif policy.period_seconds > 1800:
                why = "must be less than or equal to 1800"
                found.append(wrong(f"{where}.periodSeconds", policy.period_seconds, why))
        if rules.tolerance is not None and rules.tolerance.milli < 0:
            found.append(wrong(f"{at}.tolerance", str(rules.tolerance), "must be greater than or equal to 0"))
