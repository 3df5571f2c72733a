"""PodDisruptionBudget, ResourceQuota, LimitRange. Source: pkg/apis/policy/validation; printers.go."""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.table_cells import Moment, created, name_of, number, part
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import unsupported, wrong
from harness.apiserver.validation.limits import limit_range_problems, quota_problems
from harness.apiserver.validation.templates import int_or_percent
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json, encode
from harness.model.workloads import PodDisruptionBudget

_UNHEALTHY = ("AlwaysAllow", "IfHealthyBudget")


def _budget_problems(new: PodDisruptionBudget, old: PodDisruptionBudget | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.min_available is not None and spec.max_unavailable is not None:
        found.append(wrong("spec", encode(spec), "minAvailable and maxUnavailable cannot be both set"))
    int_or_percent(found, spec.min_available, "spec.minAvailable", whole=True)
    int_or_percent(found, spec.max_unavailable, "spec.maxUnavailable", whole=True)
    found += names.selector_problems(spec.selector, "spec.selector")
    if spec.unhealthy_pod_eviction_policy not in (None, *_UNHEALTHY):
        at = "spec.unhealthyPodEvictionPolicy"
        found.append(unsupported(at, spec.unhealthy_pod_eviction_policy, _UNHEALTHY))
    return found


def _budget_cells(obj: Json, moment: Moment) -> list[Any]:
    least, most = part(obj, "spec", "minAvailable"), part(obj, "spec", "maxUnavailable")
    return [
        name_of(obj),
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        number(obj, "status", "disruptionsAllowed"),
        moment.age(created(obj)),
    ]


def _complete_budget(data: Json) -> None:
    for name in ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"):
        data["status"].setdefault(name, 0)
    for item in data["status"].get("conditions", ()):
        item.setdefault("message", "")  # a metav1.Condition always has one, unlike the conditions of older kinds


def _quota_cells(obj: Json, moment: Moment) -> list[Any]:
    requests: list[str] = []
    limits: list[str] = []
    hard, used = part(obj, "status", "hard") or part(obj, "spec", "hard") or {}, part(obj, "status", "used") or {}
    for name in sorted(hard):
        shown = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits.") else requests).append(shown)
    return [name_of(obj), ", ".join(requests), ", ".join(limits), moment.age(created(obj))]


RULES = (
    KindRules(
        kind=KINDS["PodDisruptionBudget"],
        validate=_budget_problems,
        counts_generation=True,
        table=Table(("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"), _budget_cells),
        complete_wire=_complete_budget,
    ),
    KindRules(
        kind=KINDS["ResourceQuota"],
        validate=quota_problems,
        returned_when_deleted=True,
        quota_name="resourcequotas",
        table=Table(("Name", "Request", "Limit", "Age"), _quota_cells),
    ),
    KindRules(kind=KINDS["LimitRange"], validate=limit_range_problems),
)
