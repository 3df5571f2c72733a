"""What each metric of a HorizontalPodAutoscaler asks for: the shipped replica policy.

Source: kubernetes 1.34 pkg/controller/podautoscaler/horizontal.go, computeReplicasForMetric and computeStatusFor*: the
names of metrics, the words of failures, and what the status shows.
"""

from __future__ import annotations

from typing import Any

from harness.autoscaling.horizontal.replica_calculator import (
    Replicas,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
    group_pods,
    total,
)
from harness.autoscaling.metrics_client import MetricError, Samples
from harness.autoscaling.policy import Proposal, ScaleTarget
from harness.model.meta import LabelSelector
from harness.model.quantity import milli_quantity
from harness.model.wire import encode
from harness.model.workloads import (
    ExternalMetricSource,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
    ObjectMetricSource,
    PodsMetricSource,
)


class InvalidMetricSource(MetricError):
    """A type of metric that is none."""


class Utilization:
    """Replicas in proportion to usage, for metrics and targets of every type."""

    def propose(self, target: ScaleTarget, metric: MetricSpec) -> Proposal:
        match metric.type:
            case "Resource" if metric.resource is not None:
                source = metric.resource
                count, current, name = _of_resource(target, source.name, source.target, "")
                return Proposal(count, name, _entry("Resource", "resource", {"name": source.name}, current))
            case "ContainerResource" if metric.container_resource is not None:
                inner = metric.container_resource
                count, current, name = _of_resource(target, inner.name, inner.target, inner.container)
                what = {"name": inner.name, "container": inner.container}
                return Proposal(count, name, _entry("ContainerResource", "containerResource", what, current))
            case "Pods" if metric.pods is not None:
                return _of_pods(target, metric.pods)
            case "Object" if metric.object is not None:
                return _of_object(target, metric.object)
            case "External" if metric.external is not None:
                return _of_external(target, metric.external)
            case _:
                raise InvalidMetricSource(f'unknown metric source type "{metric.type}"')


def _of_resource(
    target: ScaleTarget, resource: str, wanted: MetricTarget, container: str
) -> tuple[int, dict[str, Any], str]:
    """(replicas, the current value, the name). Source: computeStatusForResourceMetricGeneric."""
    if wanted.average_value is not None:
        try:
            samples = _resource_samples(target, resource, container)
            found = _by_average(target, samples, wanted.average_value.milli, resource)
        except MetricError as error:
            raise MetricError(f"failed to get {resource} usage: {error}") from None
        return found.count, {"averageValue": _amount(found.usage)}, f"{resource} resource"
    if wanted.average_utilization is None:
        raise MetricError(
            "invalid resource metric source: neither an average utilization target nor an average value (usage) target"
            " was set"
        )
    try:
        samples = _resource_samples(target, resource, container)
        groups = group_pods(target.pods, samples, resource, target.now_ns, target.startup)
        percent, what = wanted.average_utilization, (resource, container)
        found = by_utilization(target.replicas, percent, target.pods, samples, groups, target.tolerances, what)
    except MetricError as error:
        raise MetricError(f"failed to get {resource} utilization: {error}") from None
    kind = "container resource" if container else "resource"
    current = {"averageUtilization": found.utilization, "averageValue": _amount(found.usage)}
    return found.count, current, f"{resource} {kind} utilization (percentage of request)"


def _resource_samples(target: ScaleTarget, resource: str, container: str) -> Samples:
    try:
        return target.metrics.resource(resource, target.pods, container)
    except MetricError as error:
        raise MetricError(f"unable to get metrics for resource {resource}: {error}") from None


def _by_average(target: ScaleTarget, samples: Samples, wanted_milli: int, resource: str = "") -> Replicas:
    groups = group_pods(target.pods, samples, resource, target.now_ns, target.startup)
    return by_average(target.replicas, wanted_milli, target.pods, samples, groups, target.tolerances)


def _of_pods(target: ScaleTarget, source: PodsMetricSource) -> Proposal:
    name = source.metric.name
    if source.target.average_value is None:
        raise MetricError("invalid pods metric source: no average value target was set")
    try:
        samples = target.metrics.pods(name, target.pods, source.metric.selector)
    except MetricError as error:
        raise MetricError(f"unable to get metric {name}: {error}") from None
    found = _by_average(target, samples, source.target.average_value.milli)
    current = {"averageValue": _amount(found.usage)}
    return Proposal(found.count, f"pods metric {name}", _entry("Pods", "pods", _identity(source.metric), current))


def _of_object(target: ScaleTarget, source: ObjectMetricSource) -> Proposal:
    name, described, wanted = source.metric.name, source.described_object, source.target
    what = _identity(source.metric)
    if wanted.type == "Value" and wanted.value is not None:
        usage = _object_usage(target, source)
        found = by_value(target.replicas, wanted.value.milli, usage, target.pods, target.tolerances)
        what |= {"describedObject": encode(described)}
        entry = _entry("Object", "object", what, {"value": _amount(found.usage)})
        return Proposal(found.count, f"{described.kind} metric {name}", entry)
    if wanted.type == "AverageValue" and wanted.average_value is not None:
        try:
            usage = _object_usage(target, source)
        except MetricError as error:
            raise MetricError(f"failed to get {name} object metric: {error}") from None
        found = by_value_per_pod(target.status_replicas, wanted.average_value.milli, usage, target.tolerances)
        what |= {"describedObject": encode(described)}
        entry = _entry("Object", "object", what, {"averageValue": _amount(found.usage)})
        # Kubernetes calls it external here.
        return Proposal(found.count, f"external metric {name}({selector_text(source.metric.selector)})", entry)
    raise MetricError("invalid object metric source: neither a value target nor an average value target was set")


def _object_usage(target: ScaleTarget, source: ObjectMetricSource) -> int:
    name, described = source.metric.name, source.described_object
    try:
        return target.metrics.object(name, target.namespace, described, source.metric.selector)
    except MetricError as error:
        # The words stand in the order that Kubernetes' format has them.
        what = f"{described.kind} on {target.namespace} {described.name}/{error}"
        raise MetricError(f"unable to get metric {name}: {what}") from None


def _of_external(target: ScaleTarget, source: ExternalMetricSource) -> Proposal:
    name, selector, wanted = source.metric.name, source.metric.selector, source.target
    shown = f"external metric {name}({selector_text(selector)})"
    what = _identity(source.metric)
    if wanted.average_value is not None:
        usage = _external_usage(target, source, f"failed to get {name} external metric")
        found = by_value_per_pod(target.status_replicas, wanted.average_value.milli, usage, target.tolerances)
        return Proposal(
            found.count, shown, _entry("External", "external", what, {"averageValue": _amount(found.usage)})
        )
    if wanted.value is not None:
        usage = _external_usage(target, source, f"failed to get external metric {name}")
        try:
            found = by_value(target.replicas, wanted.value.milli, usage, target.pods, target.tolerances)
        except MetricError as error:
            raise MetricError(f"failed to get external metric {name}: {error}") from None
        return Proposal(found.count, shown, _entry("External", "external", what, {"value": _amount(found.usage)}))
    raise MetricError("invalid external metric source: neither a value target nor an average value target was set")


def _external_usage(target: ScaleTarget, source: ExternalMetricSource, failed: str) -> int:
    name, selector = source.metric.name, source.metric.selector
    try:
        return total(target.metrics.external(name, target.namespace, selector))
    except MetricError as error:
        of = f"{target.namespace}/{name}/{selector_text(selector)}"
        raise MetricError(f"{failed}: unable to get external metric {of}: {error}") from None


def _identity(metric: MetricIdentifier) -> dict[str, Any]:
    return {"metric": encode(metric)}


def _entry(kind: str, field: str, what: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, field: {**what, "current": current}}


def _amount(milli: int) -> str:
    return str(milli_quantity(milli))


def selector_text(selector: LabelSelector | None) -> str:
    """As Go prints it. Source: apimachinery pkg/apis/meta/v1/generated.pb.go, LabelSelector.String."""
    if selector is None:
        return "nil"
    labels = "".join(f"{name}: {value}," for name, value in sorted(selector.match_labels.items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{item.key},Operator:{item.operator},Values:[{' '.join(item.values)}],}},"
        for item in selector.match_expressions
    )
    requirements = f"[]LabelSelectorRequirement{{{expressions}}}"
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:{requirements},}}"


FAILURES = {
    "Resource": ("FailedGetResourceMetric", "failed to get {} resource metric value"),
    "ContainerResource": ("FailedGetContainerResourceMetric", "failed to get {} container metric value"),
    "Pods": ("FailedGetPodsMetric", "failed to get pods metric value"),
    "Object": ("FailedGetObjectMetric", "failed to get object metric value"),
    "External": ("FailedGetExternalMetric", "failed to get {} external metric value"),
}
"""Reason of the condition and event, and what the error of all metrics begins with."""


def failure(metric: MetricSpec, error: MetricError) -> tuple[str, str]:
    """(reason, text of the error of all metrics)."""
    if isinstance(error, InvalidMetricSource) or metric.type not in FAILURES:
        return "InvalidMetricSourceType", str(error)
    reason, prefix = FAILURES[metric.type]
    name = ""
    if metric.resource is not None:
        name = metric.resource.name
    elif metric.container_resource is not None:
        name = metric.container_resource.container
    elif metric.external is not None:
        name = metric.external.metric.name
    return reason, f"{prefix.format(name)}: {error}"
