"""What is wrong with a ResourceQuota or a LimitRange.

Source: Kubernetes 1.32 pkg/apis/core/validation/validation.go ValidateResourceQuotaSpec, ValidateLimitRange; names from
pkg/apis/core/helper/helpers.go.
"""

from __future__ import annotations

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import duplicate, forbidden, immutable, required, wrong
from harness.model.core import ResourceList
from harness.model.policy import (
    LimitRange,
    LimitRangeItem,
    ResourceQuota,
    ResourceQuotaSpec,
    ScopedResourceSelectorRequirement,
)
from harness.model.quantity import Quantity
from harness.model.status import Cause

_AMOUNTS = ("cpu", "memory", "ephemeral-storage")
_COMPUTE = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
_COUNTED = {
    *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
    *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
}
_QUOTA_NAMES = {
    *_AMOUNTS,
    *(f"{side}.{name}" for side in ("requests", "limits") for name in _AMOUNTS),
    "requests.storage",
    *_COUNTED,
}
_SCOPES = (
    *("Terminating", "NotTerminating", "BestEffort", "NotBestEffort"),
    *("PriorityClass", "CrossNamespacePodAffinity"),
)
_CONFLICTING = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


# -- ResourceQuota -----------------------------------------------------------------------------------------------------


def quota_problems(new: ResourceQuota, old: ResourceQuota | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    for name, amount in sorted(spec.hard.items()):
        _quota_amount(found, name, amount, f"spec.hard[{name}]")
    _scopes(found, spec)
    if spec.scope_selector is not None:
        at = "spec.scopeSelector.matchExpressions"
        for index, asked in enumerate(spec.scope_selector.match_expressions):
            _scope_requirement(found, asked, f"{at}[{index}]")
    if old is not None and set(spec.scopes) != set(old.spec.scopes):
        found.append(immutable("spec.scopes", list(spec.scopes)))
    return found


def _quota_amount(found: list[Cause], name: str, amount: Quantity, at: str) -> None:
    pages = name.removeprefix("requests.").startswith("hugepages-")
    if why := names.qualified_problem(name):
        found.append(wrong(at, name, why))
    elif "/" not in name and name not in _QUOTA_NAMES and not pages:
        found.append(wrong(at, name, "must be a standard resource for quota"))
    if amount.milli < 0:
        found.append(wrong(at, str(amount), "must be greater than or equal to 0"))
    elif amount.milli % 1000 and (name in _COUNTED or ("/" in name and not name.startswith("requests."))):
        found.append(wrong(at, str(amount), "must be an integer"))


def _scopes(found: list[Cause], spec: ResourceQuotaSpec) -> None:
    """Source: validateResourceQuotaScopes."""
    at, scopes = "spec.scopes", list(spec.scopes)
    for scope in scopes:
        if scope not in _SCOPES:
            found.append(wrong(at, scopes, "unsupported scope"))
        counted = {"pods"} if scope == "BestEffort" else {"pods", *_COMPUTE}
        if any(name in _QUOTA_NAMES and name not in counted for name in spec.hard):
            found.append(wrong(at, scopes, "unsupported scope applied to resource"))
    if any(pair <= set(scopes) for pair in _CONFLICTING):
        found.append(wrong(at, scopes, "conflicting scopes"))


def _scope_requirement(found: list[Cause], asked: ScopedResourceSelectorRequirement, at: str) -> None:
    """Source: validateScopedResourceSelectorRequirement."""
    if asked.scope_name not in _SCOPES:
        found.append(wrong(f"{at}.scopeName", asked.scope_name, "unsupported scope"))
    elif asked.scope_name != "PriorityClass" and asked.operator != "Exists":
        why = f"must be 'Exist' when scope is any of {', '.join(name for name in _SCOPES if name != 'PriorityClass')}"
        found.append(wrong(f"{at}.operator", asked.operator, why))
    match asked.operator:
        case "In" | "NotIn":
            if not asked.values:
                why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                found.append(required(f"{at}.values", why))
        case "Exists" | "DoesNotExist":
            if asked.values:
                why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                found.append(wrong(f"{at}.values", list(asked.values), why))
        case _:
            found.append(wrong(f"{at}.operator", asked.operator, "not a valid selector operator"))


# -- LimitRange --------------------------------------------------------------------------------------------------------


def limit_range_problems(new: LimitRange, old: LimitRange | None) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for index, item in enumerate(new.spec.limits):
        at = f"spec.limits[{index}]"
        if why := names.qualified_problem(item.type):
            found.append(wrong(f"{at}.type", item.type, why))
        elif "/" not in item.type and item.type not in _LIMIT_TYPES:
            found.append(wrong(f"{at}.type", item.type, "must be a standard limit type or fully qualified"))
        if item.type in seen:
            found.append(duplicate(f"{at}.type", item.type))
        seen.add(item.type)
        _limit(found, item, at)
    return found


def _limit(found: list[Cause], item: LimitRangeItem, at: str) -> None:
    lists = {"min": item.min, "max": item.max, "maxLimitRequestRatio": item.max_limit_request_ratio}
    for field, amounts in (("default", item.default), ("defaultRequest", item.default_request)):
        if item.type != "Pod":
            lists[field] = amounts
        elif amounts:
            found.append(forbidden(f"{at}.{field}", "may not be specified when `type` is 'Pod'"))
    standard = {*_AMOUNTS} if item.type in ("Pod", "Container") else {*_AMOUNTS, "storage"}
    for field, amounts in lists.items():
        for name in sorted(amounts):
            if why := names.qualified_problem(name):
                found.append(wrong(f"{at}.{field}[{name}]", name, why))
            elif "/" not in name and name not in standard and not name.startswith("hugepages-"):
                why = "must be a standard resource type or fully qualified"
                found.append(wrong(f"{at}.{field}[{name}]", name, why))
    if item.type == "PersistentVolumeClaim" and "storage" not in {*item.min, *item.max}:
        why = "either minimum or maximum storage value is required, but neither was provided"
        found.append(required(f"{at}.limits", why))
    for name in sorted({name for amounts in lists.values() for name in amounts}):
        _ordered(found, lists, name, at)
    for name, ratio in sorted(item.max_limit_request_ratio.items()):
        _ratio(found, item, name, ratio, f"{at}.maxLimitRequestRatio[{name}]")


_ORDER = (
    ("min", "max", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min value {} is greater than default value {}"),
    ("default", "max", "default", "default value {} is greater than max value {}"),
)
"""(the smaller one, the larger one, where it is told, what)."""


def _ordered(found: list[Cause], lists: dict[str, ResourceList], name: str, at: str) -> None:
    for less, more, field, what in _ORDER:
        low, high = lists.get(less, {}).get(name), lists.get(more, {}).get(name)
        if low is not None and high is not None and low.milli > high.milli:
            found.append(wrong(f"{at}.{field}[{name}]", str(lists[field][name]), what.format(low, high)))
    asked, limit = lists.get("defaultRequest", {}).get(name), lists.get("default", {}).get(name)
    overcommitted = "/" not in name and not name.startswith("hugepages-")
    if not overcommitted and asked is not None and limit is not None and asked.milli != limit.milli:
        why = f"default value {limit} must equal to defaultRequest value {asked} in {name}"
        found.append(wrong(f"{at}.defaultRequest[{name}]", str(asked), why))


def _ratio(found: list[Cause], item: LimitRangeItem, name: str, ratio: Quantity, at: str) -> None:
    if ratio.milli < 1000:
        found.append(wrong(at, str(ratio), f"ratio {ratio} is less than 1"))
    low, high = item.min.get(name), item.max.get(name)
    if low is not None and high is not None and low.milli > 0 and ratio.milli / 1000 > high.milli / low.milli:
        why = f"ratio {ratio} is greater than max/min = {high.milli / low.milli:f}"
        found.append(wrong(at, str(ratio), why))
