"""A recommendation within what the VPA's policy, the pod's limits and the namespace's LimitRanges allow.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/utils/vpa capping.go, limit_and_request_scaling.go,
utils/limitrange/limit_range_calculator.go (1.8). Pure functions; CPU is scaled in thousandths of a core, memory in
bytes, and rounded down unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from harness.model.core import Container, Pod, ResourceList
from harness.model.policy import LimitRange, LimitRangeItem
from harness.model.quantity import Quantity
from harness.model.vertical import (
    CONTROLLED,
    REQUESTS_AND_LIMITS,
    REQUESTS_ONLY,
    ContainerResourcePolicy,
    PodResourcePolicy,
    RecommendedContainerResources,
    RecommendedPodResources,
    VerticalPodAutoscaler,
    container_policy,
    recommendation_for,
)

MOST_UNITS = (1 << 63) - 1
"""Source: math.MaxInt64, at which a limit that keeps its ratio is capped."""

_NONE = Quantity(0)
_BOUNDS = ("target", "lower_bound", "upper_bound")

Notes: TypeAlias = dict[str, list[str]]
"""What was capped, in words, by container."""


# -- limits in proportion ----------------------------------------------------------------------------------------------


def scaled(resource: str, amount: Quantity, base: Quantity, result: Quantity, *, up: bool = False) -> Quantity | None:
    """`amount` as `result` is to `base`; None where that is more than 64 bits hold. CPU by nothing is itself.

    Not as in the source: of memory of which nothing is recommended it makes minus one byte where a pod's LimitRange
    scales it down (scaleQuantityProportionallyMem takes 999 m off and rounds), with which no pod is valid.
    """
    if resource == "cpu":
        if not base.milli:
            return amount
        product = amount.milli * result.milli
        milli = -(-product // base.milli) if up else product // base.milli
        return Quantity(milli, amount.form) if milli <= MOST_UNITS else None
    value = amount.value * result.value // base.value
    return Quantity(value * 1000, amount.form) if value <= MOST_UNITS else None


def proportional_limit(
    resource: str, limit: Quantity | None, request: Quantity | None, recommended: Quantity | None, default: Quantity
) -> tuple[Quantity | None, str]:
    """(limit, note) that keeps the ratio of limit to request. `default`: the LimitRange's limit.

    Source: getProportionalResourceLimit.
    """
    if limit is None or not limit.milli:
        limit = default
    if not limit.milli:
        return None, f"{resource}: limit NOT set since originalLimit is nil or 0"
    if recommended is None or not recommended.milli:
        return None, f"{resource}: limit NOT set since recommendedRequest is nil or 0"
    if request is None or not request.milli or request.milli == limit.milli:
        return recommended, ""
    found = scaled(resource, limit, request, recommended)
    if found is None:
        most = MOST_UNITS if resource == "cpu" else MOST_UNITS * 1000
        return Quantity(most, limit.form), f"{resource}: failed to keep limit to request ratio; capping limit to int64"
    return found, ""


def proportional_limits(
    container: Container, requests: Mapping[str, Quantity], default: Mapping[str, Quantity]
) -> tuple[ResourceList, list[str]]:
    """Limits for `requests` in the container's own ratio, and notes. Source: GetProportionalLimit."""
    own = container.resources
    limits: ResourceList = {}
    notes: list[str] = []
    for resource in CONTROLLED:
        limit, note = proportional_limit(
            resource,
            own.limits.get(resource),
            own.requests.get(resource),
            requests.get(resource),
            default.get(resource, _NONE),
        )
        if note:
            notes.append(note)
        if limit is not None:
            limits[resource] = limit
    return (limits, notes) if limits else ({}, [])


# -- policies ----------------------------------------------------------------------------------------------------------


def _at_least(value: Quantity, least: Quantity | None) -> Quantity:
    return least if least is not None and least.milli and value.milli < least.milli else value


def _at_most(value: Quantity, most: Quantity | None) -> Quantity:
    return most if most is not None and most.milli and value.milli > most.milli else value


def capped_by_policy(
    recommendation: RecommendedPodResources, policy: PodResourcePolicy | None, most_of_all: ResourceList
) -> RecommendedPodResources:
    """What the recommender writes: within minAllowed and maxAllowed, where a resource's `most_of_all` (the flags
    container-recommendation-max-allowed-cpu and -memory) stands for a maxAllowed that is not there.

    Source: ApplyVPAPolicy.
    """
    found = []
    for item in recommendation.container_recommendations:
        own = container_policy(item.container_name, policy)
        least = own.min_allowed if own is not None else {}
        most = {**most_of_all, **(own.max_allowed if own is not None else {})}
        bounds = {
            bound: {
                name: _at_most(_at_least(value, least.get(name)), most.get(name))
                for name, value in getattr(item, bound).items()
            }
            for bound in _BOUNDS
        }
        found.append(replace(item, **bounds))
    return RecommendedPodResources(container_recommendations=tuple(found))


def _by_policy(values: ResourceList, policy: ContainerResourcePolicy | None, notes: list[str]) -> ResourceList:
    if policy is None:
        return values
    found = {}
    for name, value in values.items():
        raised = _at_least(value, policy.min_allowed.get(name))
        if raised is not value:
            notes.append(f"{name} capped to minAllowed")
        found[name] = _at_most(raised, policy.max_allowed.get(name))
        if found[name] is not raised:
            notes.append(f"{name} capped to maxAllowed")
    return found


def _by_limits(values: ResourceList, limits: ResourceList, notes: list[str]) -> ResourceList:
    """Source: capRecommendationToContainerLimit."""
    found = dict(values)
    for name, limit in limits.items():
        if name in found and found[name].milli > limit.milli:
            found[name] = limit
            notes.append(f"{name} capped to container limit")
    return found


# -- LimitRanges -------------------------------------------------------------------------------------------------------


def limit_range_item(ranges: Iterable[LimitRange], kind: str) -> LimitRangeItem | None:
    """The namespace's LimitRanges of a type in one: highest min, lowest max, the last default.

    Source: getLimitRangeItem. LimitRanges are looked at in order of their name.
    """
    default: ResourceList = {}
    most: ResourceList = {}
    least: ResourceList = {}
    found = False
    for item in (item for held in ranges for item in held.spec.limits if item.type == kind):
        if not (item.max or item.min or item.default):
            continue
        found = True
        default = item.default or default
        for name, value in item.max.items():
            most[name] = value if name not in most or value.milli < most[name].milli else most[name]
        for name, value in item.min.items():
            least[name] = value if name not in least or value.milli > least[name].milli else least[name]
    return LimitRangeItem(type=kind, default=default, max=most, min=least) if found else None


def _boundary(
    resource: str, container: Container, boundary: Mapping[str, Quantity], default: Mapping[str, Quantity]
) -> Quantity:
    """The request at which the limit is `boundary`; 0: there is none. Source: GetBoundaryRequest."""
    request = container.resources.requests.get(resource, _NONE)
    limit = container.resources.limits.get(resource, _NONE)
    bound = boundary.get(resource, _NONE)
    if not limit.milli:
        limit = default.get(resource, _NONE)
    if not limit.milli:
        return _NONE
    if not request.milli:
        return bound
    return scaled(resource, request, limit, bound) or Quantity(MOST_UNITS, request.form)


def _by_container_range(
    values: ResourceList, container: Container, item: LimitRangeItem | None, notes: list[str]
) -> ResourceList:
    """Source: applyContainerLimitRange."""
    if item is None:
        return values
    found = {}
    for name, value in values.items():
        most = _boundary(name, container, item.max, item.default) if item.max and name in CONTROLLED else _NONE
        least = _boundary(name, container, item.min, item.default) if item.min and name in CONTROLLED else _NONE
        if name in item.min and item.min[name].milli > least.milli:
            least = item.min[name]
        raised = _at_least(value, least)
        if raised is not value:
            notes.append(f"{name} capped to fit Min in container LimitRange")
        found[name] = _at_most(raised, most)
        if found[name] is not raised:
            notes.append(f"{name} capped to fit Max in container LimitRange")
    return found


def fit_pod_range(
    items: Sequence[RecommendedContainerResources], pod: Pod, item: LimitRangeItem, resource: str, bound: str
) -> list[RecommendedContainerResources]:
    """One bound of a resource in all containers, scaled together into the pod's LimitRange.

    Source: applyPodLimitRange. One container more than recommended counts as it is; what it asks is not changed.
    """
    least, most = item.min.get(resource, _NONE), item.max.get(resource, _NONE)
    default = item.default.get(resource, _NONE)
    by_name = {one.container_name: one for one in items}
    limits = asked = 0
    for container in pod.spec.containers:
        own = container.resources
        one = by_name.get(container.name)
        wanted = own.requests.get(resource, _NONE) if one is None else getattr(one, bound).get(resource, _NONE)
        limit, _ = proportional_limit(
            resource, own.limits.get(resource), own.requests.get(resource), wanted, default
        )  # fmt: skip
        limits += limit.milli if limit is not None else 0
        asked += wanted.milli
    if least.milli <= limits and least.milli <= asked and (not most.milli or most.milli >= limits):
        return list(items)
    if least.milli > asked and limits:
        return _scale_all(items, pod, resource, bound, Quantity(asked), least, up=True)
    if not limits:
        return list(items)
    goal = most if most.milli and most.milli < limits else least if least.milli > limits else _NONE
    return _scale_all(items, pod, resource, bound, Quantity(limits), goal, up=False)


def _scale_all(
    items: Sequence[RecommendedContainerResources],
    pod: Pod,
    resource: str,
    bound: str,
    base: Quantity,
    goal: Quantity,
    *,
    up: bool,
) -> list[RecommendedContainerResources]:
    names = {container.name for container in pod.spec.containers}
    found = []
    for one in items:
        values = getattr(one, bound)
        if one.container_name in names and base.milli:
            amount = values.get(resource, _NONE)
            new = scaled(resource, amount, base, goal, up=up) or Quantity(MOST_UNITS, amount.form)
            one = replace(one, **{bound: {**values, resource: new}})
        found.append(one)
    return found


def _by_pod_range(
    items: Sequence[RecommendedContainerResources], pod: Pod, item: LimitRangeItem | None
) -> Sequence[RecommendedContainerResources]:
    """Source: capProportionallyToPodLimitRange."""
    if item is None:
        return items
    known = {one.container_name for one in items}
    missing = [
        RecommendedContainerResources(container_name=container.name, target=container.resources.requests)
        for container in pod.spec.containers
        if container.name not in known and container.resources.requests
    ]
    found = [*items, *missing]
    for bound in ("upper_bound", "target", "lower_bound"):
        for resource in CONTROLLED:
            found = fit_pod_range(found, pod, item, resource, bound)
    return found


# -- of one pod --------------------------------------------------------------------------------------------------------


def capped_for_pod(
    vpa: VerticalPodAutoscaler, pod: Pod, ranges: Sequence[LimitRange]
) -> tuple[RecommendedPodResources | None, Notes]:
    """The VPA's recommendation as it holds for `pod`, and what was capped. `ranges`: of its namespace, by name.

    Source: cappingRecommendationProcessor.Apply.
    """
    policy, given = vpa.spec.resource_policy, vpa.status.recommendation
    if given is None and policy is None:
        return None, {}
    items = given.container_recommendations if given is not None else ()
    of_container, of_pod = limit_range_item(ranges, "Container"), limit_range_item(ranges, "Pod")
    containers = {container.name: container for container in pod.spec.containers}
    found, told = [], {}
    for item in _by_pod_range(items, pod, of_pod):
        container = containers.get(item.container_name)
        if container is None:
            continue
        notes: list[str] = []
        found.append(_capped_container(item, container, policy, of_container, notes))
        if notes:
            told[container.name] = notes
    return RecommendedPodResources(container_recommendations=tuple(found)), told


def _capped_container(
    item: RecommendedContainerResources,
    container: Container,
    policy: PodResourcePolicy | None,
    of_container: LimitRangeItem | None,
    notes: list[str],
) -> RecommendedContainerResources:
    own = container_policy(container.name, policy)
    steps: list[Callable[[ResourceList, list[str]], ResourceList]] = [
        lambda values, told: _by_container_range(values, container, of_container, told),
        lambda values, told: _by_policy(values, own, told),
    ]
    if controlled_values(container.name, policy) == REQUESTS_ONLY:
        steps.append(lambda values, told: _by_limits(values, container.resources.limits, told))
    bounds = {}
    for bound in _BOUNDS:
        values = dict(getattr(item, bound))
        told = notes if bound == "target" else []
        for step in steps:
            values = step(values, told)
        bounds[bound] = values
    return replace(item, **bounds)


def controlled_values(name: str, policy: PodResourcePolicy | None) -> str:
    own = container_policy(name, policy)
    return REQUESTS_AND_LIMITS if own is None or own.controlled_values is None else own.controlled_values


def recommended_resources(
    container: Container,
    vpa: VerticalPodAutoscaler,
    capped: RecommendedPodResources | None,
    default: ResourceList,
) -> tuple[ResourceList, ResourceList, list[str]]:
    """(requests, limits, notes): what is to be set in the container; empty where nothing is recommended.

    Source: recommendation_provider.go GetContainersResources.
    """
    item = recommendation_for(container.name, capped)
    if item is None:
        return {}, {}, []
    if controlled_values(container.name, vpa.spec.resource_policy) != REQUESTS_AND_LIMITS:
        return item.target, {}, []
    limits, notes = proportional_limits(container, item.target, default)
    return item.target, limits, notes
