"""Every filter of kube-scheduler 1.32 in plain loops, in its own order of work: what the constraints are held against.

PreFilter counts pods by (topology key, value), Filter looks one node up in the counts; the first plugin that rejects a
node gives its reasons. Nothing is shared with the implementation but the model's types. `note` is told which turns of
the rules a case took, so that a test can see that all of them are taken.

Source: kubernetes 1.32 pkg/scheduler/framework/plugins/{nodeunschedulable,nodename,tainttoleration,nodeaffinity,
nodeports,noderesources,podtopologyspread,interpodaffinity}, component-helpers/scheduling/corev1/nodeaffinity,
component-helpers/resource, apimachinery/pkg/labels.
"""

# size: kube-scheduler's filters as one program, to be read beside their source.

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

from harness.model.core import (
    Container,
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    Taint,
    Toleration,
)
from harness.model.meta import LabelSelector
from tests.scheduling.naive import World

Note = Callable[[str], None]
Labels = Mapping[str, str]
Test = Callable[[Labels], bool]
Pairs = Counter[tuple[str, str]]


def silent(_: str) -> None: ...


@dataclass
class Answer:
    """`before`: what kept the pod from every node; else `reasons` by node, () where it fits."""

    before: str = ""
    reasons: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        return dict(Counter(reason for found in self.reasons.values() for reason in found))


# -- labels -----------------------------------------------------------------------------------------------------------


def number(text: str) -> int | None:
    found = int(text) if re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII) else None
    return found if found is not None and -(2**63) <= found < 2**63 else None


NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
PREFIX = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"


def requirement(key: str, operator: str, values: Sequence[str]) -> Test | None:
    """None where it is none: labels.NewRequirement returns an error."""
    if not re.fullmatch(PREFIX + NAME, key) or any(not re.fullmatch(f"({NAME})?", value) for value in values):
        return None
    if operator == "In" and values:
        return lambda labels: key in labels and labels[key] in values
    if operator == "NotIn" and values:
        return lambda labels: key not in labels or labels[key] not in values
    if operator == "Exists" and not values:
        return lambda labels: key in labels
    if operator == "DoesNotExist" and not values:
        return lambda labels: key not in labels
    if operator in ("Gt", "Lt") and len(values) == 1:
        bound = number(values[0])
        if bound is None:
            return None

        def compare(labels: Labels) -> bool:
            mine = number(labels.get(key, ""))
            return mine is not None and (mine > bound if operator == "Gt" else mine < bound)

        return compare
    return None


def selector(of: LabelSelector | None) -> Test | None:
    """LabelSelectorAsSelector: no selector selects nothing, an empty one everything; None where it does not parse."""
    if of is None:
        return lambda labels: False
    tests = [requirement(key, "In", (value,)) for key, value in of.match_labels.items()]
    for item in of.match_expressions:
        known = item.operator in ("In", "NotIn", "Exists", "DoesNotExist")
        tests.append(requirement(item.key, item.operator, item.values) if known else None)
    if None in tests:
        return None
    return lambda labels: all(test(labels) for test in tests if test is not None)


# -- nodes ------------------------------------------------------------------------------------------------------------


def field_holds(item: NodeSelectorRequirement, name: str) -> bool:
    value = name if item.key == "metadata.name" else ""
    return (value == item.values[0]) == (item.operator == "In")


def term_matches(term: NodeSelectorTerm, node: Node, note: Note) -> bool:
    if not term.match_expressions and not term.match_fields:
        note("empty node selector term")
        return False
    tests = [requirement(item.key, item.operator, item.values) for item in term.match_expressions]
    fields_parse = all(item.operator in ("In", "NotIn") and len(item.values) == 1 for item in term.match_fields)
    if None in tests or not fields_parse:
        note("malformed node selector term")
        return False
    if not all(test(node.metadata.labels) for test in tests if test is not None):
        return False
    if term.match_fields:
        note("fields looked at")
    return all(field_holds(item, node.metadata.name) for item in term.match_fields)


def selected(by: NodeSelector, node: Node, note: Note = silent) -> bool:
    return any(term_matches(term, node, note) for term in by.node_selector_terms)


def required_nodes(pod: Pod) -> NodeSelector | None:
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    return affinity.required_during_scheduling_ignored_during_execution if affinity else None


def node_affinity_holds(pod: Pod, node: Node, note: Note = silent) -> bool:
    labels = node.metadata.labels
    if any(key not in labels or labels[key] != value for key, value in pod.spec.node_selector.items()):
        return False
    wanted = required_nodes(pod)
    return wanted is None or selected(wanted, node, note)


def named_nodes(pod: Pod) -> set[str] | None:
    """NodeAffinity's PreFilter: the only nodes that come into question."""
    wanted = required_nodes(pod)
    if wanted is None or not wanted.node_selector_terms:
        return None
    out: set[str] = set()
    for term in wanted.node_selector_terms:
        named = [set(f.values) for f in term.match_fields if f.key == "metadata.name" and f.operator == "In"]
        if not named:
            return None
        out |= set.intersection(*named)
    return out


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or (toleration.operator in ("", "Equal") and toleration.value == taint.value)


def untolerated(pod: Pod, node: Node) -> Taint | None:
    for taint in node.spec.taints:
        hard = taint.effect in ("NoSchedule", "NoExecute")
        if hard and not any(tolerates(toleration, taint) for toleration in pod.spec.tolerations):
            return taint
    return None


# -- what runs there --------------------------------------------------------------------------------------------------


def host_ports(pod: Pod) -> list[tuple[str, str, int]]:
    return [
        (port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port is not None and port.host_port > 0
    ]


def ports_conflict(pod: Pod, here: Sequence[Pod], note: Note) -> bool:
    for ip, *wanted in host_ports(pod):
        for other in here:
            for other_ip, *held in host_ports(other):
                if wanted == held:
                    if ip == other_ip or ip == "0.0.0.0" or other_ip == "0.0.0.0":
                        note("port taken")
                        return True
                    note("port taken on another address")
    return False


UNSEEN = ("storage",)
"""Of the names that are drawn: neither native to scheduling nor somebody's extended resource."""


def requests(pod: Pod, note: Note = silent) -> dict[str, int]:
    """In whole units, CPU in thousandths."""

    def of(container: Container) -> Counter[str]:
        asked: Counter[str] = Counter()
        for name, quantity in container.resources.requests.items():
            if not quantity.milli:
                note("zero request")
            asked[name] = quantity.milli
        return asked

    running: Counter[str] = Counter()
    for container in pod.spec.containers:
        running += of(container)
    started: Counter[str] = Counter()
    highest: Counter[str] = Counter()
    for container in pod.spec.init_containers:
        if container.restart_policy == "Always":
            note("sidecar")
            running += of(container)
            started += of(container)
            highest |= started
        else:
            highest |= started + of(container)
    if highest - running:
        note("init containers need most")
    total = running | highest
    for name, quantity in pod.spec.overhead.items():
        note("overhead")
        total[name] += quantity.milli
    out = {}
    for name, milli in total.items():
        if name not in UNSEEN:
            out[name] = milli if name == "cpu" else ceil(Fraction(milli, 1000))
    return out


def short_of(pod: Pod, node: Node, here: Sequence[Pod], note: Note) -> tuple[str, ...]:
    allocatable = node.status.allocatable
    out = []
    if len(here) + 1 > (allocatable["pods"].value if "pods" in allocatable else 0):
        out.append("Too many pods")
    held: Counter[str] = Counter()
    for other in here:
        held.update(requests(other))
    for name, amount in requests(pod, note).items():
        quantity = allocatable.get(name)
        if quantity is None:
            note("resource that the node lacks")
        there = 0 if quantity is None else quantity.milli if name == "cpu" else quantity.value
        if amount > there - held[name]:
            out.append(f"Insufficient {name}")
    if len(out) > 1:
        note("short of several")
    return tuple(out)


# -- spreading --------------------------------------------------------------------------------------------------------


@dataclass
class Spread:
    key: str
    max_skew: int
    selects: Test
    itself: bool
    min_domains: int
    by_affinity: bool
    by_taints: bool
    nobody: bool
    counts: dict[str, int] = field(default_factory=dict)


def spreads(pod: Pod, world: World, note: Note) -> list[Spread] | None:
    """PodTopologySpread's PreFilter; None where a selector does not parse."""
    out = []
    labels = pod.metadata.labels
    for item in pod.spec.topology_spread_constraints:
        if item.when_unsatisfiable != "DoNotSchedule":
            continue
        own = selector(item.label_selector)
        if own is None:
            return None
        same = {key: labels[key] for key in item.match_label_keys if key in labels}
        if same and item.label_selector is None:
            note("matchLabelKeys without a selector")
            own = selector(LabelSelector())
        test = _both(own, same)
        said = item.label_selector
        # countPodsMatchSelector: a selector without any requirement counts nobody, though it matches the pod itself.
        nobody = said is not None and not (said.match_labels or said.match_expressions or same)
        out.append(
            Spread(
                item.topology_key,
                item.max_skew,
                test,
                test(labels),
                1 if item.min_domains is None else item.min_domains,
                item.node_affinity_policy in (None, "Honor"),
                item.node_taints_policy == "Honor",
                nobody,
            )
        )
    for node in world.nodes.values():
        if any(spread.key not in node.metadata.labels for spread in out):
            note("node without a spreading label")
            continue
        for spread in out:
            if spread.by_affinity and not node_affinity_holds(pod, node):
                note("node left out of the counts by affinity")
                continue
            if spread.by_taints and untolerated(pod, node) is not None:
                note("node left out of the counts by taints")
                continue
            value = node.metadata.labels[spread.key]
            spread.counts.setdefault(value, 0)
            for other in world.pods_on(node.metadata.name):
                if other.metadata.namespace != pod.metadata.namespace or not spread.selects(other.metadata.labels):
                    continue
                if spread.nobody:
                    note("selector without requirements")
                    continue
                if other.metadata.deletion_timestamp is not None:
                    note("pod being deleted not counted")
                    continue
                spread.counts[value] += 1
    return out


def _both(test: Test | None, same: Labels) -> Test:
    assert test is not None
    return lambda labels: test(labels) and all(labels.get(key) == value for key, value in same.items())


def spread_reason(items: Sequence[Spread], node: Node, note: Note) -> str | None:
    for item in items:
        if item.key not in node.metadata.labels:
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        least = min(item.counts.values(), default=0)
        if len(item.counts) < item.min_domains:
            note("fewer domains than minDomains")
            least = 0
        there = item.counts.get(node.metadata.labels[item.key])
        if there is None:
            note("domain that is not counted")
        if not item.itself:
            note("pod outside its own spreading selector")
        if (there or 0) + int(item.itself) - least > item.max_skew:
            return "node(s) didn't match pod topology spread constraints"
    return None


# -- affinity between pods --------------------------------------------------------------------------------------------


@dataclass
class PodTerm:
    key: str
    names: set[str]
    spaces: Test
    selects: Test

    def matches(self, pod: Pod, space: Labels | None) -> bool:
        """`space`: labels of the pod's namespace."""
        inside = pod.metadata.namespace in self.names or self.spaces(space or {})
        return inside and self.selects(pod.metadata.labels)


def nowhere(_: Labels) -> bool:
    return False


def pod_terms(owner: Pod, group: PodAffinity | None) -> list[PodTerm] | None:
    """Of the required terms, with what the API server merges into their selectors; None where one does not parse."""
    out = []
    for term in group.required_during_scheduling_ignored_during_execution if group else ():
        spaces, test = selector(term.namespace_selector), selector(term.label_selector)
        if spaces is None or test is None:
            return None
        names = set(term.namespaces)
        if not names and term.namespace_selector is None:
            names = {owner.metadata.namespace}
        out.append(PodTerm(term.topology_key, names, spaces, _merged(test, term, owner.metadata.labels)))
    return out


def _merged(test: Test, term: PodAffinityTerm, mine: Labels) -> Test:
    same = {key: mine[key] for key in term.match_label_keys if key in mine}
    other = {key: mine[key] for key in term.mismatch_label_keys if key in mine}
    return lambda labels: (
        test(labels)
        and all(labels.get(key) == value for key, value in same.items())
        and all(labels.get(key) != value for key, value in other.items())
    )


def listed(terms: list[PodTerm], raw: Sequence[PodAffinityTerm], world: World) -> None:
    """Selectors of namespaces become lists of those that are known; an empty one stays, and selects all."""
    for term, said in zip(terms, raw, strict=True):
        wanted = said.namespace_selector
        if wanted is not None and not wanted.match_labels and not wanted.match_expressions:
            continue
        term.names |= {name for name, labels in world.namespaces.items() if term.spaces(labels)}
        term.spaces = nowhere


@dataclass
class Between:
    beside: list[PodTerm]
    away: list[PodTerm]
    itself: bool  # matches all its own affinity terms
    mates: Pairs = field(default_factory=Counter)
    shunned: Pairs = field(default_factory=Counter)
    shunning: Pairs = field(default_factory=Counter)


def between(pod: Pod, world: World, note: Note) -> Between | None:
    """InterPodAffinity's PreFilter; None where a selector does not parse."""
    affinity = pod.spec.affinity
    groups = (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity else (None, None)
    parsed = [pod_terms(pod, group) for group in groups]
    beside, away = parsed
    if beside is None or away is None:
        return None
    for terms, group in zip((beside, away), groups, strict=True):
        if group is not None:
            listed(terms, group.required_during_scheduling_ignored_during_execution, world)
    out = Between(beside, away, all(term.matches(pod, None) for term in beside))
    space = world.namespaces.get(pod.metadata.namespace)
    for other, at in world.running.values():
        labels = world.nodes[at].metadata.labels
        if beside and all(term.matches(other, None) for term in beside):
            out.mates.update((term.key, labels[term.key]) for term in beside if term.key in labels)
        for term in away:
            if term.matches(other, None) and term.key in labels:
                out.shunned[term.key, labels[term.key]] += 1
        theirs = pod_terms(other, other.spec.affinity.pod_anti_affinity if other.spec.affinity else None)
        for term in theirs or ():
            if term.matches(pod, space) and term.key in labels:
                if space is None and pod.metadata.namespace not in term.names:
                    note("namespace nobody told of taken for one without labels")
                out.shunning[term.key, labels[term.key]] += 1
    return out


def between_reason(of: Between, node: Node, note: Note) -> str | None:
    labels = node.metadata.labels
    if any(term.key not in labels for term in of.beside):
        note("node without an affinity label")
        return "node(s) didn't match pod affinity rules"
    if not all(of.mates[term.key, labels[term.key]] > 0 for term in of.beside):
        if of.mates or not of.itself:
            return "node(s) didn't match pod affinity rules"
        note("first of its kind")
    elif len(of.beside) > 1:
        note("mates by several terms")
    if any(term.key in labels and of.shunned[term.key, labels[term.key]] > 0 for term in of.away):
        return "node(s) didn't match pod anti-affinity rules"
    if any(of.shunning[pair] > 0 for pair in labels.items()):
        return "node(s) didn't satisfy existing pods anti-affinity rules"
    return None


# -- all of them ------------------------------------------------------------------------------------------------------


def judge(pod: Pod, world: World, note: Note = silent) -> Answer:
    named = named_nodes(pod)
    if named == set():
        note("terms at odds")
        return Answer("pod affinity terms conflict")
    spreading = spreads(pod, world, note)
    if spreading is None:
        return Answer("get constraints from pod")
    affinity = between(pod, world, note)
    if affinity is None:
        return Answer("parsing pod")
    out = Answer()
    for name, node in world.nodes.items():
        if named is not None and name not in named:
            note("node that is not named")
            out.reasons[name] = ("node(s) didn't satisfy plugin(s) [NodeAffinity]",)
        else:
            out.reasons[name] = _on(pod, node, world, spreading, affinity, note)
        for reason in out.reasons[name]:
            note(reason if "untolerated" not in reason else "untolerated taint")
    return out


CORDON = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def _on(
    pod: Pod, node: Node, world: World, spreading: Sequence[Spread], affinity: Between, note: Note
) -> tuple[str, ...]:
    if node.spec.unschedulable and not any(tolerates(toleration, CORDON) for toleration in pod.spec.tolerations):
        return ("node(s) were unschedulable",)
    if pod.spec.node_name not in ("", node.metadata.name):
        return ("node(s) didn't match the requested node name",)
    taint = untolerated(pod, node)
    if taint is not None:
        return (f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}",)
    if not node_affinity_holds(pod, node, note):
        return ("node(s) didn't match Pod's node affinity/selector",)
    here = world.pods_on(node.metadata.name)
    if ports_conflict(pod, here, note):
        return ("node(s) didn't have free ports for the requested pod ports",)
    short = short_of(pod, node, here, note)
    if short:
        return short
    reason: Any = spread_reason(spreading, node, note) or between_reason(affinity, node, note)
    return () if reason is None else (reason,)
