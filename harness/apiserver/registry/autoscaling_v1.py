"""HorizontalPodAutoscaler in autoscaling/v1: what v1 has no field for rides in annotations.

Source: pkg/apis/autoscaling/v1/conversion.go and annotations.go (1.34). Metrics and their status are v1's own types
there; behavior is the internal type, whose names begin with capitals.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from harness.model.wire import Json

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def to_v1(obj: Json) -> Json:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    metrics = spec.pop("metrics", None) or []
    percents = [percent for metric in metrics if (percent := _cpu_percent(metric)) is not None]
    if percents:
        spec["targetCPUUtilizationPercentage"] = percents[0]
    if others := [_metric_to_v1(metric) for metric in metrics if _cpu_percent(metric) is None]:
        annotations[METRICS] = _text(others)
    if behavior := spec.pop("behavior", None):
        annotations[BEHAVIOR] = _text(_capitals(behavior))
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        resource = metric.get("resource") or {}
        percent = (resource.get("current") or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and percent is not None:
            status["currentCPUUtilizationPercentage"] = percent
    if current:
        annotations[CURRENT_METRICS] = _text([_status_to_v1(metric) for metric in current])
    if conditions := status.pop("conditions", None):
        annotations[CONDITIONS] = _text(conditions)
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    if annotations:
        meta["annotations"] = annotations
    return {**obj, "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def from_v1(obj: Json) -> Json:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    metrics = [_metric_from_v1(metric) for metric in _parsed(annotations.pop(METRICS, None), list)]
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:  # what rides along comes first
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    behavior = _small(_parsed(annotations.pop(BEHAVIOR, None), dict))
    current = [_status_from_v1(metric) for metric in _parsed(annotations.pop(CURRENT_METRICS, None), list)]
    conditions = _parsed(annotations.pop(CONDITIONS, None), list)
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None and not current:
        resource = {"name": "cpu", "current": {"averageUtilization": used}}
        current = [{"type": "Resource", "resource": resource}]
    for where, name, value in (
        (spec, "metrics", metrics),
        (spec, "behavior", behavior),
        (status, "currentMetrics", current),
        (status, "conditions", conditions),
        (meta, "annotations", annotations),
    ):
        if value:
            where[name] = value
        else:
            where.pop(name, None)
    return {**obj, "apiVersion": "autoscaling/v2", "metadata": meta, "spec": spec, "status": status}


def _cpu_percent(metric: Json) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    found: int | None = (resource.get("target") or {}).get("averageUtilization")
    return found


# Of each source: (where it stands, its name in v1, in v2). A target's kind is known by which of its values is there.
_NAMES = {
    "resource": ((("name",), "name"),),
    "containerResource": ((("name",), "name"), (("container",), "container")),
    "pods": ((("metric", "name"), "metricName"), (("metric", "selector"), "selector")),
    "object": (
        (("metric", "name"), "metricName"),
        (("metric", "selector"), "selector"),
        (("describedObject",), "target"),
    ),
    "external": ((("metric", "name"), "metricName"), (("metric", "selector"), "metricSelector")),
}
_AMOUNTS = {
    "resource": (("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")),
    "containerResource": (("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")),
    "pods": (("averageValue", "targetAverageValue"),),
    "object": (("value", "targetValue"), ("averageValue", "averageValue")),
    "external": (("value", "targetValue"), ("averageValue", "targetAverageValue")),
}
_CURRENT = {
    "resource": (("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")),
    "containerResource": (("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")),
    "pods": (("averageValue", "currentAverageValue"),),
    "object": (("value", "currentValue"), ("averageValue", "averageValue")),
    "external": (("value", "currentValue"), ("averageValue", "currentAverageValue")),
}
_TYPES = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
_Amounts: TypeAlias = dict[str, tuple[tuple[str, str], ...]]


def _metric_to_v1(metric: Json) -> Json:
    return _outward(metric, "target", _AMOUNTS)


def _status_to_v1(metric: Json) -> Json:
    return _outward(metric, "current", _CURRENT)


def _outward(metric: Json, within: str, amounts: _Amounts) -> Json:
    out: Json = {"type": metric.get("type", "")}
    for field, names in _NAMES.items():
        source = metric.get(field)
        if not isinstance(source, dict):
            continue
        made: Json = {}
        for path, name in names:
            value: Any = source
            for part in path:
                value = (value or {}).get(part)
            if value is not None:
                made[name] = value
        for there, here in amounts[field]:
            value = (source.get(within) or {}).get(there)
            if value is not None:
                made[here] = value
        out[field] = made
    return out


def _metric_from_v1(metric: Any) -> Json:
    return _inward(metric, "target", _AMOUNTS)


def _status_from_v1(metric: Any) -> Json:
    return _inward(metric, "current", _CURRENT)


def _inward(metric: Any, within: str, amounts: _Amounts) -> Json:
    metric = metric if isinstance(metric, dict) else {}
    out: Json = {"type": metric.get("type", "")}
    for field, names in _NAMES.items():
        source = metric.get(field)
        if not isinstance(source, dict):
            continue
        made: Json = {}
        for path, name in names:
            if name in source:
                where = made
                for part in path[:-1]:
                    where = where.setdefault(part, {})
                where[path[-1]] = source[name]
        values = {there: source[here] for there, here in amounts[field] if here in source}
        if within == "target" and values:
            kinds = [_TYPES[there] for there in values]
            values = {"type": kinds[-1], **values}
        made[within] = values
        out[field] = made
    return out


def _capitals(value: Any) -> Any:
    """As Go writes a struct without tags."""
    if isinstance(value, dict):
        return {name[:1].upper() + name[1:]: _capitals(item) for name, item in value.items()}
    return [_capitals(item) for item in value] if isinstance(value, list) else value


def _small(value: Any) -> Any:
    """Go reads names in either case; what is null was not said."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _small(item) for name, item in value.items() if item is not None}
    return [_small(item) for item in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _parsed(text: str | None, kind: type) -> Any:
    """What an annotation says; nothing when somebody has written something else there."""
    try:
        found = json.loads(text) if text else kind()
    except ValueError:
        return kind()
    return found if isinstance(found, kind) else kind()
