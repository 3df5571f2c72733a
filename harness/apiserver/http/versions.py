"""Kinds that are served in a second version: how the stored one becomes the other and back.

Source: pkg/apis/autoscaling/v1/conversion.go (metrics beyond CPU ride in annotations) and
pkg/apis/events/v1/conversion.go.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"


def _cpu_percent(metric: Json) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    target = resource.get("target") or {}
    found: int | None = target.get("averageUtilization")
    return found


def autoscaler_to_v1(obj: Json) -> Json:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        percent = _cpu_percent(metric)
        if percent is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = percent
        else:
            others.append(metric)
    if others:
        annotations[_METRICS] = json.dumps(others, separators=(",", ":"))
    if behavior := spec.pop("behavior", None):
        annotations[_BEHAVIOR] = json.dumps(behavior, separators=(",", ":"))
    for metric in status.pop("currentMetrics", None) or []:
        current = ((metric.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if current is not None and (metric.get("resource") or {}).get("name") == "cpu":
            status["currentCPUUtilizationPercentage"] = current
    if conditions := status.pop("conditions", None):
        annotations[_CONDITIONS] = json.dumps(conditions, separators=(",", ":"))
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    if annotations:
        meta["annotations"] = annotations
    return {**obj, "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def autoscaler_from_v1(obj: Json) -> Json:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    metrics: list[Json] = []
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics += _parsed(annotations.pop(_METRICS, None), list)
    behavior = _parsed(annotations.pop(_BEHAVIOR, None), dict)
    conditions = _parsed(annotations.pop(_CONDITIONS, None), list)
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        status["currentMetrics"] = [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": current}}}
        ]
    if metrics:
        spec["metrics"] = metrics
    if behavior:
        spec["behavior"] = behavior
    if conditions:
        status["conditions"] = conditions
    if annotations:
        meta["annotations"] = annotations
    else:
        meta.pop("annotations", None)
    return {**obj, "apiVersion": "autoscaling/v2", "metadata": meta, "spec": spec, "status": status}


def _parsed(text: str | None, kind: type) -> Any:
    """What an annotation says; nothing when somebody has written something else there."""
    try:
        found = json.loads(text) if text else kind()
    except ValueError:
        return kind()
    return found if isinstance(found, kind) else kind()


def event_to_events_v1(obj: Json) -> Json:
    source = obj.get("source") or {}
    out: Json = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": obj.get("metadata") or {},
        "eventTime": obj.get("eventTime"),
        "regarding": obj.get("involvedObject") or {},
        "note": obj.get("message", ""),
        "reason": obj.get("reason", ""),
        "type": obj.get("type", ""),
        "action": obj.get("action", ""),
        "reportingController": obj.get("reportingComponent", ""),
        "reportingInstance": obj.get("reportingInstance", ""),
        "deprecatedSource": source,
        "deprecatedCount": obj.get("count"),
        "deprecatedFirstTimestamp": obj.get("firstTimestamp"),
        "deprecatedLastTimestamp": obj.get("lastTimestamp"),
        "series": obj.get("series"),
        "related": obj.get("related"),
    }
    if out["eventTime"] is None and obj.get("firstTimestamp"):
        # Clients refuse an event of this version without a time.
        out["eventTime"] = obj["firstTimestamp"].replace("Z", ".000000Z")
    return {name: value for name, value in out.items() if value not in (None, "")}


def event_from_events_v1(obj: Json) -> Json:
    out: Json = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": obj.get("metadata") or {},
        "eventTime": obj.get("eventTime"),
        "involvedObject": obj.get("regarding") or {},
        "message": obj.get("note", ""),
        "reason": obj.get("reason", ""),
        "type": obj.get("type", ""),
        "action": obj.get("action", ""),
        "reportingComponent": obj.get("reportingController", ""),
        "reportingInstance": obj.get("reportingInstance", ""),
        "source": obj.get("deprecatedSource"),
        "count": obj.get("deprecatedCount"),
        "firstTimestamp": obj.get("deprecatedFirstTimestamp"),
        "lastTimestamp": obj.get("deprecatedLastTimestamp"),
        "series": obj.get("series"),
        "related": obj.get("related"),
    }
    return {name: value for name, value in out.items() if value not in (None, "")}


OTHERS = (
    ("HorizontalPodAutoscaler", "autoscaling/v1", autoscaler_to_v1, autoscaler_from_v1),
    ("Event", "events.k8s.io/v1", event_to_events_v1, event_from_events_v1),
)
"""(kind, version, outward, inward)."""
