"""A pod's preferences as requirements, and which of them it gives up first when it fits nowhere.

Source: kubernetes-sigs/karpenter pkg/controllers/provisioning/scheduling/preferences.go Relax and
pkg/scheduling/requirements.go NewPodRequirements (1.14), PreferencePolicy Respect.
"""

from __future__ import annotations

from msgspec.structs import replace

from harness.autoscaling.provisioning.requirements import Requirements, of_term, requirement
from harness.model.core import Affinity, NodeAffinity, NodeSelector, NodeSelectorTerm, Pod, PodAffinity, Toleration

SOFT, HARD = "ScheduleAnyway", "DoNotSchedule"
TOLERATE_PREFERRED = Toleration(operator="Exists", effect="PreferNoSchedule")


def required_of(pod: Pod) -> Requirements:
    """Of nodes, by the pod's selector, its first required term, and its heaviest preferred one."""
    spec = pod.spec
    found = [requirement(key, "In", (value,)) for key, value in spec.node_selector.items()]
    term = _first_term(pod)
    if term is not None:
        found += of_term(term)
    return Requirements(found)


def hardened(pod: Pod) -> Pod:
    """The pod for which everything that it prefers is required; itself where it prefers nothing."""
    spec, affinity = pod.spec, pod.spec.affinity
    spread = tuple(
        replace(item, when_unsatisfiable=HARD) if item.when_unsatisfiable == SOFT else item
        for item in spec.topology_spread_constraints
    )
    if affinity is not None:
        term = _first_term(pod)
        node = affinity.node_affinity
        if node is not None:
            required = None if term is None else NodeSelector(node_selector_terms=(term,))
            node = NodeAffinity(required_during_scheduling_ignored_during_execution=required)
        affinity = Affinity(
            node_affinity=node,
            pod_affinity=_required(affinity.pod_affinity),
            pod_anti_affinity=_required(affinity.pod_anti_affinity),
        )
    if spread == spec.topology_spread_constraints and affinity == spec.affinity:
        return pod
    return replace(pod, spec=replace(spec, affinity=affinity, topology_spread_constraints=spread))


def relaxed(pod: Pod, *, tolerate_preferred: bool) -> Pod | None:
    """Without the next thing that it can do without; None where there is none. `tolerate_preferred`: some NodePool has
    a taint PreferNoSchedule, which counts until it is tolerated."""
    affinity = pod.spec.affinity
    node = affinity.node_affinity if affinity is not None else None
    if node is not None:
        required = node.required_during_scheduling_ignored_during_execution
        if required is not None and len(required.node_selector_terms) > 1:
            fewer = replace(required, node_selector_terms=required.node_selector_terms[1:])
            return _with_node_affinity(pod, replace(node, required_during_scheduling_ignored_during_execution=fewer))
    if affinity is not None:
        for name in ("pod_affinity", "pod_anti_affinity"):
            found: PodAffinity | None = getattr(affinity, name)
            preferred = () if found is None else found.preferred_during_scheduling_ignored_during_execution
            if found is not None and preferred:
                kept = tuple(sorted(preferred, key=lambda item: -item.weight)[1:])
                fewer_terms = replace(found, preferred_during_scheduling_ignored_during_execution=kept)
                return _with_affinity(pod, replace(affinity, **{name: fewer_terms}))
    if node is not None and node.preferred_during_scheduling_ignored_during_execution:
        terms = sorted(node.preferred_during_scheduling_ignored_during_execution, key=lambda item: -item.weight)
        lighter = replace(node, preferred_during_scheduling_ignored_during_execution=tuple(terms[1:]))
        return _with_node_affinity(pod, lighter)
    constraints = pod.spec.topology_spread_constraints
    soft = next((at for at, item in enumerate(constraints) if item.when_unsatisfiable == SOFT), None)
    if soft is not None:
        left = (*constraints[:soft], *constraints[soft + 1 :])
        return replace(pod, spec=replace(pod.spec, topology_spread_constraints=left))
    if tolerate_preferred and TOLERATE_PREFERRED not in pod.spec.tolerations:
        return replace(pod, spec=replace(pod.spec, tolerations=(*pod.spec.tolerations, TOLERATE_PREFERRED)))
    return None


def _first_term(pod: Pod) -> NodeSelectorTerm | None:
    """The first required term and the heaviest preferred one, as one."""
    affinity = pod.spec.affinity
    node = affinity.node_affinity if affinity is not None else None
    if node is None:
        return None
    required = node.required_during_scheduling_ignored_during_execution
    preferred = node.preferred_during_scheduling_ignored_during_execution
    terms = [required.node_selector_terms[0]] if required is not None and required.node_selector_terms else []
    if preferred:
        terms.append(max(preferred, key=lambda item: item.weight).preference)
    if not terms:
        return None
    return NodeSelectorTerm(
        match_expressions=tuple(item for term in terms for item in term.match_expressions),
        match_fields=tuple(item for term in terms for item in term.match_fields),
    )


def _required(affinity: PodAffinity | None) -> PodAffinity | None:
    if affinity is None or not affinity.preferred_during_scheduling_ignored_during_execution:
        return affinity
    preferred = affinity.preferred_during_scheduling_ignored_during_execution
    terms = affinity.required_during_scheduling_ignored_during_execution
    return PodAffinity(
        required_during_scheduling_ignored_during_execution=(*terms, *(item.pod_affinity_term for item in preferred))
    )


def _with_affinity(pod: Pod, affinity: Affinity) -> Pod:
    return replace(pod, spec=replace(pod.spec, affinity=affinity))


def _with_node_affinity(pod: Pod, affinity: NodeAffinity) -> Pod:
    assert pod.spec.affinity is not None
    return _with_affinity(pod, replace(pod.spec.affinity, node_affinity=affinity))
