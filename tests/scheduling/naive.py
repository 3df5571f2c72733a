"""The constraints and scores as their documentation tells them, in plain loops over objects: slow, and easy to check.

Nothing here is shared with the implementation but the model's types. Source: Kubernetes' documentation of
"Assigning Pods to Nodes", "Pod Topology Spread Constraints" and kube-scheduler 1.32's plugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.model.core import (
    Node,
    NodeSelectorRequirement,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    Taint,
    TopologySpreadConstraint,
)
from harness.model.meta import LabelSelector

CPU_ASSUMED, MEMORY_ASSUMED = 100, 200 * 1024 * 1024


@dataclass
class World:
    nodes: dict[str, Node] = field(default_factory=dict)
    running: dict[str, tuple[Pod, str]] = field(default_factory=dict)  # by key: pod, node name
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)

    def pods_on(self, node: str) -> list[Pod]:
        return [pod for pod, at in self.running.values() if at == node]


# -- selectors ------------------------------------------------------------------------------------------------------


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return False
    for key, value in selector.match_labels.items():
        if key not in labels or labels[key] != value:
            return False
    for requirement in selector.match_expressions:
        there = requirement.key in labels
        if requirement.operator == "In" and not (there and labels[requirement.key] in requirement.values):
            return False
        if requirement.operator == "NotIn" and there and labels[requirement.key] in requirement.values:
            return False
        if requirement.operator == "Exists" and not there:
            return False
        if requirement.operator == "DoesNotExist" and there:
            return False
    return True


def same_on(keys: Sequence[str], mine: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    """matchLabelKeys: the value that my pod has for each of the keys it has."""
    return all(theirs.get(key) == mine[key] for key in keys if key in mine)


def differs_on(keys: Sequence[str], mine: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    return all(theirs.get(key) != mine[key] for key in keys if key in mine)


def speaks_of(term: PodAffinityTerm, owner: Pod, other: Pod, world: World, *, running: bool = False) -> bool:
    """Whether an affinity term of `owner` selects `other`.

    `running`: the owner runs. Then a namespace that is not known is one without labels; otherwise its terms are those
    of a pod that is being placed, whose selector of namespaces is turned into a list of known ones first.
    """
    space = other.metadata.namespace
    if not term.namespaces and term.namespace_selector is None:
        inside = space == owner.metadata.namespace
    else:
        inside = space in term.namespaces
        if term.namespace_selector is not None:
            everything = not term.namespace_selector.match_labels and not term.namespace_selector.match_expressions
            known = running or space in world.namespaces
            labels = world.namespaces.get(space, {})
            inside = inside or everything or (known and selects(term.namespace_selector, labels))
    mine, theirs = owner.metadata.labels, other.metadata.labels
    return (
        inside
        and selects(term.label_selector, theirs)
        and same_on(term.match_label_keys, mine, theirs)
        and differs_on(term.mismatch_label_keys, mine, theirs)
    )


# -- node affinity and taints ---------------------------------------------------------------------------------------


def requirement_met(requirement: NodeSelectorRequirement, value: str | None) -> bool:
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(requirement.operator)


def node_matches(pod: Pod, node: Node) -> bool:
    """nodeSelector and required node affinity."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
        return False
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if required is None:
        return True
    return any(
        term.match_expressions and all(requirement_met(r, labels.get(r.key)) for r in term.match_expressions)
        for term in required.node_selector_terms
    )


def tolerated(pod: Pod, taint: Taint) -> bool:
    return any(toleration.tolerates(taint) for toleration in pod.spec.tolerations)


def hard_taints_tolerated(pod: Pod, node: Node) -> bool:
    return all(tolerated(pod, taint) for taint in node.spec.taints if taint.effect in ("NoSchedule", "NoExecute"))


# -- the constraints ------------------------------------------------------------------------------------------------


def ports_of(pod: Pod) -> list[tuple[str, int, str]]:
    return [
        (port.protocol or "TCP", port.host_port, port.host_ip or "0.0.0.0")
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    ]


def ports_free(pod: Pod, node: Node, world: World) -> bool:
    for protocol, port, ip in ports_of(pod):
        for other in world.pods_on(node.metadata.name):
            for other_protocol, other_port, other_ip in ports_of(other):
                if (protocol, port) == (other_protocol, other_port) and (ip == other_ip or "0.0.0.0" in (ip, other_ip)):
                    return False
    return True


def counted(pod: Pod, constraint: TopologySpreadConstraint, node: Node, keys: Sequence[str]) -> bool:
    """Whether a spread constraint of `pod` counts `node`."""
    if any(key not in node.metadata.labels for key in keys):
        return False
    if constraint.node_affinity_policy in (None, "Honor") and not node_matches(pod, node):
        return False
    return not (constraint.node_taints_policy == "Honor" and not hard_taints_tolerated(pod, node))


def matching(pod: Pod, constraint: TopologySpreadConstraint, node: str, world: World) -> int:
    """A selector without any requirement counts nobody (common.go countPodsMatchSelector)."""
    selector = constraint.label_selector
    same = any(key in pod.metadata.labels for key in constraint.match_label_keys)
    if not same and (selector is None or not (selector.match_labels or selector.match_expressions)):
        return 0
    return sum(
        other.metadata.namespace == pod.metadata.namespace
        and other.metadata.deletion_timestamp is None
        and selects(constraint.label_selector, other.metadata.labels)
        and same_on(constraint.match_label_keys, pod.metadata.labels, other.metadata.labels)
        for other in world.pods_on(node)
    )


def spread_reason(pod: Pod, node: Node, world: World) -> str | None:
    hard = [c for c in pod.spec.topology_spread_constraints if c.when_unsatisfiable == "DoNotSchedule"]
    keys = [c.topology_key for c in hard]
    for constraint in hard:
        key = constraint.topology_key
        counts: dict[str, int] = {}
        for other in world.nodes.values():
            if counted(pod, constraint, other, keys):
                domain = other.metadata.labels[key]
                counts[domain] = counts.get(domain, 0) + matching(pod, constraint, other.metadata.name, world)
        least = min(counts.values(), default=0)
        if len(counts) < (constraint.min_domains or 1):
            least = 0
        if key not in node.metadata.labels:
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        itself = int(selects(constraint.label_selector, pod.metadata.labels))
        if counts.get(node.metadata.labels[key], 0) + itself - least > constraint.max_skew:
            return "node(s) didn't match pod topology spread constraints"
    return None


def required(group: PodAffinity | None) -> Sequence[PodAffinityTerm]:
    return group.required_during_scheduling_ignored_during_execution if group else ()


def in_domain(key: str, node: Node, world: World) -> list[Pod]:
    """Pods that run where `key` has the value that it has on `node`."""
    value = node.metadata.labels[key]
    return [pod for pod, at in world.running.values() if world.nodes[at].metadata.labels.get(key) == value]


def affinity_reason(pod: Pod, node: Node, world: World) -> str | None:
    affinity = pod.spec.affinity
    wanted = required(affinity.pod_affinity) if affinity else ()
    shunned = required(affinity.pod_anti_affinity) if affinity else ()
    labels = node.metadata.labels

    def mate(other: Pod) -> bool:
        return all(speaks_of(term, pod, other, world) for term in wanted)

    if wanted:
        if any(term.topology_key not in labels for term in wanted):
            return "node(s) didn't match pod affinity rules"
        beside = all(any(map(mate, in_domain(term.topology_key, node, world))) for term in wanted)
        if not beside:
            mates_anywhere = any(
                mate(other) and any(term.topology_key in world.nodes[at].metadata.labels for term in wanted)
                for other, at in world.running.values()
            )
            if mates_anywhere or not mate(pod):
                return "node(s) didn't match pod affinity rules"
    for term in shunned:
        if term.topology_key in labels and any(
            speaks_of(term, pod, other, world) for other in in_domain(term.topology_key, node, world)
        ):
            return "node(s) didn't match pod anti-affinity rules"
    for other, at in world.running.values():
        theirs = required(other.spec.affinity.pod_anti_affinity) if other.spec.affinity else ()
        for term in theirs:
            key = term.topology_key
            value = world.nodes[at].metadata.labels.get(key)
            if value is not None and value == labels.get(key) and speaks_of(term, other, pod, world, running=True):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    return None


def reason(pod: Pod, node: Node, world: World) -> str | None:
    """The first constraint's reason against `node`, in kube-scheduler's order; None where the pod fits."""
    if not hard_taints_tolerated(pod, node):
        taint = next(t for t in node.spec.taints if t.effect in ("NoSchedule", "NoExecute") and not tolerated(pod, t))
        return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    if not node_matches(pod, node):
        return "node(s) didn't match Pod's node affinity/selector"
    if not ports_free(pod, node, world):
        return "node(s) didn't have free ports for the requested pod ports"
    if len(world.pods_on(node.metadata.name)) >= node.status.allocatable["pods"].value:
        return "Too many pods"
    return spread_reason(pod, node, world) or affinity_reason(pod, node, world)
