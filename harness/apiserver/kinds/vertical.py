"""VerticalPodAutoscaler and VerticalPodAutoscalerCheckpoint (autoscaling.k8s.io/v1).

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg (1.8) apis/autoscaling.k8s.io/v1/types.go: printed columns;
admission-controller/resource/vpa/handler.go: the default update policy.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, part
from harness.apiserver.validation.vertical import vertical_problems
from harness.model.objects import KINDS
from harness.model.vertical import RECOMMENDATION_PROVIDED, RECREATE, PodUpdatePolicy, VerticalPodAutoscaler
from harness.model.wire import Json


def _defaults(obj: VerticalPodAutoscaler) -> VerticalPodAutoscaler:
    if obj.spec.update_policy is not None:
        return obj
    return replaced(obj, spec=replaced(obj.spec, update_policy=PodUpdatePolicy(update_mode=RECREATE)))


def _cells(obj: Json, moment: Moment) -> list[Any]:
    items = part(obj, "status", "recommendation", "containerRecommendations") or [{}]
    target = items[0].get("target") or {}
    provided = [
        item.get("status", "")
        for item in part(obj, "status", "conditions") or []
        if item.get("type") == RECOMMENDATION_PROVIDED
    ]
    least = part(obj, "spec", "updatePolicy", "minReplicas")
    return [
        name_of(obj),
        part(obj, "spec", "updatePolicy", "updateMode") or "",
        target.get("cpu", ""),
        target.get("memory", ""),
        provided[0] if provided else "",
        moment.age(created(obj)),
        "" if least is None else least,
    ]


RULES = (
    KindRules(
        kind=KINDS["VerticalPodAutoscaler"],
        defaults=_defaults,
        validate=vertical_problems,
        counts_generation=True,
        table=Table(("Name", "Mode", "CPU", "Mem", "Provided", "Age", "MinReplicas*"), _cells),
    ),
    KindRules(kind=KINDS["VerticalPodAutoscalerCheckpoint"]),
)
