"""ResourceQuota: what an object uses of its namespace's quotas, and whether they leave room for one more.

Source: Kubernetes 1.32 staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go (checkRequest) and
pkg/quota/v1/evaluator/core. The admission writes status.used with each object that it lets in; what leaves is given
back by the quota controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from harness.apiserver.registry.lifecycle import qos_class, replaced, spoken_name
from harness.model.core import Container, Pod, PodSpec, ResourceList
from harness.model.meta import ApiObject
from harness.model.objects import Kind
from harness.model.pod_amounts import pod_amounts, thousandths
from harness.model.policy import ResourceQuota, ScopedResourceSelectorRequirement
from harness.model.quantity import Quantity
from harness.model.status import forbidden

Usage: TypeAlias = dict[str, int]
"""By quota resource name ('requests.cpu', 'pods', 'count/jobs.batch'), in thousandths of its unit."""

_UNIT = 1000
_NATIVE = ("cpu", "memory", "ephemeral-storage")
_MUST_BE_SAID = ("cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory")
"""Of these every container must say something where a quota counts them. Source: pods.go validationSet."""


def counted_name(kind: Kind) -> str:
    """The quota resource that counts objects of any kind."""
    return f"count/{kind.plural}.{kind.group}" if kind.group else f"count/{kind.plural}"


def kind_counted(resource: str) -> str:
    """The kind whose objects use `resource`, where no kind's own name says so: services, claims, else pods."""
    if resource.startswith("services."):
        return "Service"
    if resource == "requests.storage" or ".storageclass.storage.k8s.io/" in resource:
        return "PersistentVolumeClaim"
    return "Pod"


def pod_usage(spec: PodSpec) -> Usage:
    """Compute resources. Source: evaluator/core/pods.go podComputeUsageHelper."""
    used: Usage = {}
    for name, milli in pod_amounts(spec, _requests).items():
        used[f"requests.{name}"] = milli
        if name in _NATIVE or name.startswith("hugepages-"):
            used[name] = milli
    said = {name for part in (spec.containers, spec.init_containers) for c in part for name in c.resources.limits}
    for name, milli in pod_amounts(spec, _limits).items():
        if name in said and (name in _NATIVE):  # of extended resources only requests are counted
            used[f"limits.{name}"] = milli
    return used


def _requests(container: Container) -> dict[str, int]:
    return thousandths(container.resources.requests)


def _limits(container: Container) -> dict[str, int]:
    return thousandths(container.resources.limits)


def has_ended(pod: Pod, now: int) -> bool:
    """Source: evaluator/core/pods.go QuotaV1Pod."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    meta = pod.metadata
    going = meta.deletion_timestamp
    return going is not None and now > going + (meta.deletion_grace_period_seconds or 0) * 1_000_000_000


# -- which quota counts what -------------------------------------------------------------------------------------------


def concerns(quota: ResourceQuota, obj: ApiObject) -> bool:
    """Whether the quota's scopes take `obj` in. Source: generic.MatchesScope... and evaluator/core/pods.go."""
    spec = quota.spec
    asked = [ScopedResourceSelectorRequirement(scope_name=scope, operator="Exists") for scope in spec.scopes]
    if spec.scope_selector is not None:
        asked += spec.scope_selector.match_expressions
    if not asked:
        return True
    return isinstance(obj, Pod) and all(_in_scope(obj.spec, scope) for scope in asked)


def _in_scope(spec: PodSpec, asked: ScopedResourceSelectorRequirement) -> bool:
    match asked.scope_name:
        case "Terminating":
            return spec.active_deadline_seconds is not None
        case "NotTerminating":
            return spec.active_deadline_seconds is None
        case "BestEffort":
            return qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos_class(spec) != "BestEffort"
        case "PriorityClass":
            return _selected(spec.priority_class_name, asked)
        case "CrossNamespacePodAffinity":
            return _across_namespaces(spec)
        case _:
            return False


def _selected(name: str, asked: ScopedResourceSelectorRequirement) -> bool:
    match asked.operator:
        case "In":
            return name in asked.values
        case "NotIn":
            return name not in asked.values
        case "Exists":
            return bool(name)
        case _:
            return not name


def _across_namespaces(spec: PodSpec) -> bool:
    """Source: evaluator/core/pods.go usesCrossNamespacePodAffinity."""
    if spec.affinity is None:
        return False
    for side in (spec.affinity.pod_affinity, spec.affinity.pod_anti_affinity):
        if side is not None:
            terms = list(side.required_during_scheduling_ignored_during_execution)
            terms += [w.pod_affinity_term for w in side.preferred_during_scheduling_ignored_during_execution]
            if any(term.namespaces or term.namespace_selector is not None for term in terms):
                return True
    return False


# -- admission ---------------------------------------------------------------------------------------------------------


def admitted(
    quotas: Iterable[ResourceQuota], obj: ApiObject, plural: str, usage_of: Callable[[Any], Usage]
) -> list[ResourceQuota]:
    """The quotas with `obj` added to what they have used. Raises ApiError Forbidden when one has no room."""
    used: Usage | None = None
    changed: list[ResourceQuota] = []
    for quota in quotas:
        if not concerns(quota, obj):
            continue
        if used is None:
            used = usage_of(obj)
        counted = quota.status.hard  # nothing until the quota controller has seen it
        name = quota.metadata.name
        if isinstance(obj, Pod):
            _all_said(quota, obj, plural)
        mine = {resource: milli for resource, milli in used.items() if resource in counted and milli > 0}
        if not mine:
            continue
        unknown = sorted(resource for resource in mine if resource not in quota.status.used)
        if unknown:  # the quota controller has not counted yet
            why = f"status unknown for quota: {name}, resources: {','.join(unknown)}"
            raise forbidden(plural, spoken_name(obj.metadata), why)
        was = quota.status.used
        over = sorted(r for r, milli in mine.items() if was[r].milli + milli > counted[r].milli)
        if over:
            asked = {r: Quantity(mine[r], counted[r].form) for r in over}
            why = (
                f"exceeded quota: {name}, requested: {_shown(asked, over)}, used: {_shown(was, over)}, "
                f"limited: {_shown(counted, over)}"
            )
            raise forbidden(plural, spoken_name(obj.metadata), why)
        new = {**was, **{r: Quantity(was[r].milli + milli, counted[r].form) for r, milli in mine.items()}}
        changed.append(replaced(quota, status=replaced(quota.status, used=new)))
    return changed


def _all_said(quota: ResourceQuota, pod: Pod, plural: str) -> None:
    """Source: evaluator/core/pods.go Constraints: a counted resource must be asked for by every container."""
    missing: dict[str, list[str]] = {}
    required = [name for name in _MUST_BE_SAID if name in quota.status.hard]
    if not required:
        return
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        said = _said(container)
        for name in required:
            if name not in said:
                missing.setdefault(name, []).append(container.name)
    if missing:
        told = "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
        raise forbidden(plural, spoken_name(pod.metadata), f"failed quota: {quota.metadata.name}: must specify {told}")


def _said(container: Container) -> set[str]:
    requests, limits = container.resources.requests, container.resources.limits
    return {*requests, *(f"requests.{name}" for name in requests), *(f"limits.{name}" for name in limits)}


def _shown(amounts: Mapping[str, Quantity], names: Iterable[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)


def total(hard: ResourceList, usages: Iterable[Usage]) -> ResourceList:
    """What is used of each resource in `hard`."""
    milli = dict.fromkeys(hard, 0)
    for usage in usages:
        for name, amount in usage.items():
            if name in milli:
                milli[name] += amount
    return {name: Quantity(amount, hard[name].form) for name, amount in milli.items()}
