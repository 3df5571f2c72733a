"""HorizontalPodAutoscaler, in both of its versions, and PodMetrics.

Source: pkg/apis/autoscaling: validation, v2/defaults.go, v1/conversion.go (metrics beyond CPU ride in annotations).
"""

from __future__ import annotations

import json
from typing import Any

from harness.apiserver.kinds.rules import KindRules, OtherVersion, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Json,
    Moment,
    created,
    name_of,
    number,
    part,
)
from harness.apiserver.validation.causes import at_least, required, unsupported, wrong
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.workloads import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)

_CPU_80 = MetricSpec(
    type="Resource",
    resource=ResourceMetricSource(name="cpu", target=MetricTarget(type="Utilization", average_utilization=80)),
)
"""Source: pkg/apis/autoscaling/v2/defaults.go, autoscaling.DefaultCPUUtilization."""


def _defaults(obj: HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    spec = obj.spec
    if spec.min_replicas is not None and spec.metrics:
        return obj
    return replaced(
        obj,
        spec=replaced(
            spec,
            min_replicas=1 if spec.min_replicas is None else spec.min_replicas,
            metrics=spec.metrics or (_CPU_80,),
        ),
    )


def _problems(new: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    at_least(found, "spec.minReplicas", spec.min_replicas, 1)
    if spec.max_replicas < 1:
        found.append(wrong("spec.maxReplicas", spec.max_replicas, "must be greater than 0"))
    if spec.min_replicas is not None and spec.max_replicas < spec.min_replicas:
        why = "must be greater than or equal to `minReplicas`"
        found.append(wrong("spec.maxReplicas", spec.max_replicas, why))
    for field, value in (("kind", spec.scale_target_ref.kind), ("name", spec.scale_target_ref.name)):
        if not value:
            found.append(required(f"spec.scaleTargetRef.{field}"))
    known = ("ContainerResource", "External", "Object", "Pods", "Resource")
    for index, metric in enumerate(spec.metrics):
        at = f"spec.metrics[{index}]"
        if metric.type not in known:
            found.append(unsupported(f"{at}.type", metric.type, known))
        elif metric.type == "Resource":
            if metric.resource is None:
                found.append(required(f"{at}.resource", "must populate the given metric source"))
            elif metric.resource.target.average_utilization is not None:
                where = f"{at}.resource.target.averageUtilization"
                if metric.resource.target.average_utilization < 1:
                    found.append(wrong(where, metric.resource.target.average_utilization, "must be greater than 0"))
    if spec.behavior is not None:
        _behavior_problems(found, spec.behavior)
    return found


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
        for index, policy in enumerate(rules.policies):
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


def _cells(obj: Json, moment: Moment) -> list[Any]:
    target = part(obj, "spec", "scaleTargetRef") or {}
    least = part(obj, "spec", "minReplicas")
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(obj),
        UNSET if least is None else str(least),
        number(obj, "spec", "maxReplicas"),
        number(obj, "status", "currentReplicas"),
        moment.age(created(obj)),
    ]


def _targets(obj: Json) -> str:
    """Source: printers.go formatHPAMetrics, for resource metrics; others show what is wanted of them."""
    v1 = part(obj, "spec", "targetCPUUtilizationPercentage")
    if v1 is not None:
        now = part(obj, "status", "currentCPUUtilizationPercentage")
        return f"cpu: {UNKNOWN if now is None else f'{now}%'}/{v1}%"
    shown = []
    current = {
        part(item, "resource", "name"): part(item, "resource", "current") or {}
        for item in part(obj, "status", "currentMetrics") or []
    }
    for metric in part(obj, "spec", "metrics") or []:
        source = metric.get("resource") or metric.get("containerResource") or {}
        target = source.get("target") or part(metric, "pods", "target") or part(metric, "external", "target") or {}
        now = current.get(source.get("name"), {})
        label = f"{source['name']}: " if source.get("name") else ""
        if target.get("averageUtilization") is not None:
            used = now.get("averageUtilization")
            shown.append(f"{label}{UNKNOWN if used is None else f'{used}%'}/{target['averageUtilization']}%")
        else:
            wanted = target.get("averageValue") or target.get("value") or "<auto>"
            used = now.get("averageValue") or now.get("value")
            shown.append(f"{label}{UNKNOWN if used is None else used}/{wanted}")
    if not shown:
        return NONE
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more


def _complete_wire(data: Json) -> None:
    for name in ("desiredReplicas", "currentReplicas"):
        data["status"].setdefault(name, 0)


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


def _to_v1(obj: Json) -> Json:
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


def _from_v1(obj: Json) -> Json:
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


RULES = (
    KindRules(
        kind=KINDS["HorizontalPodAutoscaler"],
        defaults=_defaults,
        validate=_problems,
        table=Table(("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"), _cells),
        complete_wire=_complete_wire,
        versions=(OtherVersion("autoscaling/v1", _to_v1, _from_v1),),
    ),
    KindRules(kind=KINDS["PodMetrics"], counted=False, read_only=True),
)
