"""HorizontalPodAutoscaler, in both of its versions, and PodMetrics.

Source: pkg/apis/autoscaling/v2/defaults.go; pkg/printers/internalversion/printers.go formatHPAMetrics (1.34).
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.admission.scale_to_zero import ScaleToZero
from harness.apiserver.kinds.rules import KindRules, OtherVersion, Table
from harness.apiserver.registry.autoscaling_v1 import from_v1, to_v1
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    NONE,
    UNKNOWN,
    UNSET,
    Moment,
    created,
    name_of,
    number,
    part,
)
from harness.apiserver.validation.autoscaling import autoscaler_problems
from harness.model.objects import KINDS
from harness.model.wire import Json
from harness.model.workloads import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    HPAScalingPolicy,
    HPAScalingRules,
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
    behavior = None if spec.behavior is None else complete_behavior(spec.behavior)
    if spec.min_replicas is not None and spec.metrics and behavior == spec.behavior:
        return obj
    return replaced(
        obj,
        spec=replaced(
            spec,
            min_replicas=1 if spec.min_replicas is None else spec.min_replicas,
            metrics=spec.metrics or (_CPU_80,),
            behavior=behavior,
        ),
    )


SCALE_UP_RULES = HPAScalingRules(
    stabilization_window_seconds=0,
    select_policy="Max",
    policies=(
        HPAScalingPolicy(type="Pods", value=4, period_seconds=15),
        HPAScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
)
SCALE_DOWN_RULES = HPAScalingRules(
    select_policy="Max", policies=(HPAScalingPolicy(type="Percent", value=100, period_seconds=15),)
)
"""Source: v2/defaults.go scaleUpRules, scaleDownRules."""


def complete_behavior(behavior: HorizontalPodAutoscalerBehavior) -> HorizontalPodAutoscalerBehavior:
    """What is not said is as it would be; the window for scaling down is the autoscaler's own flag. Source:
    SetDefaults_HorizontalPodAutoscalerBehavior, GenerateHPAScaleUpRules, GenerateHPAScaleDownRules."""
    return replaced(
        behavior,
        scale_up=_complete(behavior.scale_up, SCALE_UP_RULES),
        scale_down=_complete(behavior.scale_down, SCALE_DOWN_RULES),
    )


def _complete(rules: HPAScalingRules | None, defaults: HPAScalingRules) -> HPAScalingRules:
    if rules is None:
        return defaults
    window = rules.stabilization_window_seconds
    return replaced(
        rules,
        select_policy=rules.select_policy or defaults.select_policy,
        policies=defaults.policies if rules.policies is None else rules.policies,
        stabilization_window_seconds=defaults.stabilization_window_seconds if window is None else window,
    )


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
    """Metrics of the status stand in the places of those of the spec. Source: formatHPAMetrics."""
    v1 = part(obj, "spec", "targetCPUUtilizationPercentage")
    if v1 is not None:
        now = part(obj, "status", "currentCPUUtilizationPercentage")
        return f"cpu: {UNKNOWN if now is None else f'{now}%'}/{v1}%"
    current = part(obj, "status", "currentMetrics") or []
    shown = []
    for index, metric in enumerate(part(obj, "spec", "metrics") or []):
        field = _FIELDS.get(metric.get("type", ""))
        if field is None:
            shown.append("<unknown type>")
            continue
        source = metric.get(field) or {}
        now = part(current[index], field, "current") if index < len(current) else None
        # A resource without a target of its kind prints as automatic; those are named, others are not.
        name = f"{source.get('name', '')}: " if field in ("resource", "containerResource") else ""
        shown.append(name + _target(source.get("target") or {}, now or {}))
    if not shown:
        return NONE
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more


_FIELDS = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _target(target: Json, now: Json) -> str:
    if target.get("averageValue") is not None:
        return f"{now.get('averageValue', UNKNOWN)}/{target['averageValue']}"
    if target.get("averageUtilization") is not None:
        used = now.get("averageUtilization")
        return f"{UNKNOWN if used is None else f'{used}%'}/{target['averageUtilization']}%"
    if target.get("value") is not None:
        return f"{now.get('value', UNKNOWN)}/{target['value']}"
    return f"{UNKNOWN}/<auto>"


def _complete_wire(data: Json) -> None:
    for name in ("desiredReplicas", "currentReplicas"):
        data["status"].setdefault(name, 0)


_MEASURED = "metrics are measured when somebody asks"

RULES = (
    KindRules(
        kind=KINDS["HorizontalPodAutoscaler"],
        defaults=_defaults,
        admission=(ScaleToZero,),
        validate=autoscaler_problems,
        table=Table(("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"), _cells),
        complete_wire=_complete_wire,
        versions=(OtherVersion("autoscaling/v1", to_v1, from_v1),),
    ),
    KindRules(kind=KINDS["PodMetrics"], counted=False, read_only=_MEASURED),
    KindRules(kind=KINDS["NodeMetrics"], counted=False, read_only=_MEASURED),
)
