"""What is wrong with affinity and topology spread. Source: validation.go validateAffinity, .."""

from __future__ import annotations

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import duplicate, forbidden, required, unsupported, wrong
from harness.model.core import (
    Affinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PodAffinity,
    PodAffinityTerm,
    TopologySpreadConstraint,
)
from harness.model.status import Cause

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")


def affinity_problems(affinity: Affinity | None, path: str) -> list[Cause]:
    if affinity is None:
        return []
    found: list[Cause] = []
    nodes = affinity.node_affinity
    if nodes is not None:
        at = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        wanted = nodes.required_during_scheduling_ignored_during_execution
        if wanted is not None:
            found += node_selector_problems(wanted, at)
        at = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution"
        for index, preferred in enumerate(nodes.preferred_during_scheduling_ignored_during_execution):
            _weight(found, preferred.weight, f"{at}[{index}].weight")
            _term(found, preferred.preference, f"{at}[{index}].preference")
    for field, pods in (("podAffinity", affinity.pod_affinity), ("podAntiAffinity", affinity.pod_anti_affinity)):
        if pods is not None:
            _pods(found, pods, f"{path}.{field}")
    return found


def node_selector_problems(wanted: NodeSelector, at: str) -> list[Cause]:
    found: list[Cause] = []
    if not wanted.node_selector_terms:
        found.append(required(f"{at}.nodeSelectorTerms", "must have at least one node selector term"))
    for index, term in enumerate(wanted.node_selector_terms):
        _term(found, term, f"{at}.nodeSelectorTerms[{index}]")
    return found


def _weight(found: list[Cause], weight: int, field: str) -> None:
    if not 1 <= weight <= 100:
        found.append(wrong(field, weight, "must be in the range 1-100"))


def _term(found: list[Cause], term: NodeSelectorTerm, at: str) -> None:
    for index, item in enumerate(term.match_expressions):
        where = f"{at}.matchExpressions[{index}]"
        _requirement(found, item, where)
        if why := names.qualified_problem(item.key):
            found.append(wrong(f"{where}.key", item.key, why))
    for index, item in enumerate(term.match_fields):
        where = f"{at}.matchFields[{index}]"
        if item.key != "metadata.name":
            found.append(wrong(f"{where}.key", item.key, "not a valid field selector key"))
        if item.operator not in ("In", "NotIn"):
            found.append(wrong(f"{where}.operator", item.operator, "not a valid selector operator"))
        elif len(item.values) != 1:
            found.append(required(f"{where}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))  # fmt: skip  # noqa: E501


def _requirement(found: list[Cause], item: NodeSelectorRequirement, at: str) -> None:
    match item.operator:
        case "In" | "NotIn":
            if not item.values:
                found.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if item.values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(forbidden(f"{at}.values", why))
        case "Gt" | "Lt":
            if len(item.values) != 1:
                found.append(required(f"{at}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
        case other:
            found.append(wrong(f"{at}.operator", other, f"not a valid selector operator: {', '.join(_OPERATORS)}"))


def _pods(found: list[Cause], pods: PodAffinity, path: str) -> None:
    at = f"{path}.requiredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(pods.required_during_scheduling_ignored_during_execution):
        _pod_term(found, term, f"{at}[{index}]")
    at = f"{path}.preferredDuringSchedulingIgnoredDuringExecution"
    for index, preferred in enumerate(pods.preferred_during_scheduling_ignored_during_execution):
        _weight(found, preferred.weight, f"{at}[{index}].weight")
        _pod_term(found, preferred.pod_affinity_term, f"{at}[{index}].podAffinityTerm")


def _pod_term(found: list[Cause], term: PodAffinityTerm, at: str) -> None:
    found += names.selector_problems(term.label_selector, f"{at}.labelSelector")
    found += names.selector_problems(term.namespace_selector, f"{at}.namespaceSelector")
    for namespace in term.namespaces:
        if why := names.label_problem(namespace):
            found.append(wrong(f"{at}.namespaces", namespace, why))
    if not term.topology_key:
        found.append(required(f"{at}.topologyKey", "can not be empty"))
    elif why := names.qualified_problem(term.topology_key):
        found.append(wrong(f"{at}.topologyKey", term.topology_key, why))


def spread_problems(constraints: tuple[TopologySpreadConstraint, ...], path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for index, item in enumerate(constraints):
        at = f"{path}[{index}]"
        if item.max_skew <= 0:
            found.append(wrong(f"{at}.maxSkew", item.max_skew, "must be greater than zero"))
        if not item.topology_key:
            found.append(required(f"{at}.topologyKey", "can not be empty"))
        elif why := names.qualified_problem(item.topology_key):
            found.append(wrong(f"{at}.topologyKey", item.topology_key, why))
        if item.when_unsatisfiable not in _UNSATISFIABLE:
            found.append(unsupported(f"{at}.whenUnsatisfiable", item.when_unsatisfiable, _UNSATISFIABLE))
        pair = (item.topology_key, item.when_unsatisfiable)
        if pair in seen:
            found.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{pair[0]}, {pair[1]}}}"))
        seen.add(pair)
        if item.min_domains is not None:
            if item.min_domains <= 0:
                found.append(wrong(f"{at}.minDomains", item.min_domains, "must be greater than zero"))
            if item.when_unsatisfiable != "DoNotSchedule":
                why = "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + item.when_unsatisfiable
                found.append(wrong(f"{at}.minDomains", item.min_domains, why))
        for field, value in (
            ("nodeAffinityPolicy", item.node_affinity_policy),
            ("nodeTaintsPolicy", item.node_taints_policy),
        ):
            if value not in (None, *_INCLUSION):
                found.append(unsupported(f"{at}.{field}", value, _INCLUSION))
        found += names.selector_problems(item.label_selector, f"{at}.labelSelector")
    return found
