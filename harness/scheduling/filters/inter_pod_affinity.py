"""InterPodAffinity, required: beside the pods that the pod names, away from those it shuns and from those that shun it.

Source of the semantics: kube-scheduler 1.32 plugins/interpodaffinity filtering.go. A pod counts as a mate only where it
matches all of the affinity terms; the first pod of a group whose terms match itself may go wherever the topology labels
are; required anti-affinity of running pods holds against newcomers too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.model.core import Affinity as PodAffinities
from harness.model.core import Pod, PodAffinity
from harness.model.meta import LabelSelector
from harness.scheduling.filters.filter import Filter, Scope
from harness.scheduling.filters.live_masks import DomainMask, NodeMask, all_of, live_mask, node_mask
from harness.scheduling.filters.malformed import find_malformed
from harness.scheduling.matching.pod_selectors import PodSelector, Requirements, hold, of_term
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.domain_counts import DomainCounts
from harness.scheduling.state.pod_counts import PodSelection
from harness.scheduling.strategy import Bool, Int64

REASON_AFFINITY = "node(s) didn't match pod affinity rules"
REASON_ANTI = "node(s) didn't match pod anti-affinity rules"
REASON_EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
"""Source: kube-scheduler 1.32 plugins/interpodaffinity ErrReason{Affinity,AntiAffinity,ExistingAntiAffinity}Rules.."""


class _Live:
    """What the three terms share: verdicts from their live mask, one reason."""

    __slots__ = ()

    plugin = "InterPodAffinity"
    scope = Scope.CLUSTER
    node_names = None
    resolvable = True
    reason = ""

    def live(self, state: ClusterState) -> NodeMask:
        raise NotImplementedError

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return node_mask(state, self)[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return live_mask(state, self).holds(node)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (self.reason,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(self.reason, len(nodes))]


@dataclass(frozen=True, slots=True)
class Affinity(_Live):
    """In each domain of `keys` runs a pod that all `selectors` select."""

    keys: tuple[str, ...]  # one a term
    selectors: tuple[PodSelector, ...]
    itself: bool  # the pod matches its own terms, in a namespace with these labels
    spaces: tuple[tuple[str, Requirements], ...] = ()  # (namespace, what its labels must meet)

    resolvable = False
    reason = REASON_AFFINITY

    def live(self, state: ClusterState) -> NodeMask:
        mates = state.pod_counts.count_selected(PodSelection(self.selectors))
        known = state.tables.namespaces  # when they change, every mask is made anew
        itself = self.itself and all(known.meets(name, wanted) for name, wanted in self.spaces)
        return _Mates(state, [state.pod_counts.count_by_domain(mates, key) for key in self.keys], itself)


@dataclass(frozen=True, slots=True)
class AntiAffinity(_Live):
    """In no domain of a term's key runs a pod that its selector selects."""

    terms: tuple[tuple[str, PodSelector], ...]  # key, selector

    reason = REASON_ANTI

    def live(self, state: ClusterState) -> NodeMask:
        pod_counts = state.pod_counts
        counts = [(pod_counts.count_selected(PodSelection((selector,))), key) for key, selector in self.terms]
        return all_of([_nobody(state, pod_counts.count_by_domain(pod_count, key)) for pod_count, key in counts])


@dataclass(frozen=True, slots=True)
class ExistingAntiAffinity(_Live):
    """In no domain runs a pod that carries one of these terms, all of which speak of this pod."""

    numbers: tuple[int, ...]  # ascending

    reason = REASON_EXISTING

    def bears_on(self, state: ClusterState) -> bool:
        """Whether any pod that carries one of the terms runs."""
        return any(state.pod_counts.count_with_affinity_term(number).on_node for number in self.numbers)

    def live(self, state: ClusterState) -> NodeMask:
        pod_counts, terms = state.pod_counts, state.tables.affinity_terms.terms
        counts = [(pod_counts.count_with_affinity_term(number), terms[number].key) for number in self.numbers]
        return all_of([_nobody(state, pod_counts.count_by_domain(pod_count, key)) for pod_count, key in counts])


def _nobody(state: ClusterState, domains: DomainCounts) -> NodeMask:
    return DomainMask(state, domains, more=False, absent=True)


class _Mates:
    """Affinity's mask: a mate in every domain, or nobody anywhere and the pod would be the first of its kind."""

    def __init__(self, state: ClusterState, domains: list[DomainCounts], itself: bool) -> None:
        self._state = state
        self._domains = domains
        self._itself = itself
        self._beside = all_of([DomainMask(state, item, more=True, absent=False) for item in domains])
        self._seen: tuple[bool, int] = (False, -1)
        self.dirty: list[int] = []
        self.stamp = 0
        self.mask: Bool = np.zeros(0, dtype=np.bool_)

    def _first(self) -> bool:
        for domains in self._domains:
            domains.sync()
        return self._itself and not any(domains.total for domains in self._domains)

    def parts(self) -> Sequence[DomainMask] | None:
        return None if self._first() else self._beside.parts()

    def holds(self, node: int) -> bool:
        if self._first():
            return all(domains.index.column.codes.item(node) >= 0 for domains in self._domains)
        return self._beside.holds(node)

    def refresh(self) -> None:
        first = self._first()
        if not first:
            self._beside.refresh()
        seen = (first, self._state.spec_log.version if first else self._beside.stamp)
        if seen == self._seen:
            return
        self._seen = seen
        self.stamp += 1
        if not first:
            self.mask = self._beside.mask
            return
        self.mask = np.ones(self._state.room, dtype=np.bool_)
        for domains in self._domains:
            self.mask &= domains.index.column.codes >= 0


def make_filters(pod: Pod) -> tuple[Filter, ...]:
    """The pod's own terms, affinity first; those of running pods come with its class (pod_classes.py)."""
    affinity = pod.spec.affinity
    if affinity is None:
        return ()
    malformed = find_malformed("InterPodAffinity", "parsing pod", _selectors(affinity))
    if malformed:
        return malformed
    out: list[Filter] = []
    wanted = _required(pod, affinity.pod_affinity)
    if wanted:
        keys, selectors = tuple(key for key, _ in wanted), tuple(selector for _, selector in wanted)
        out.append(Affinity(keys, selectors, *_itself(pod, selectors)))
    shunned = _required(pod, affinity.pod_anti_affinity)
    if shunned:
        out.append(AntiAffinity(tuple(sorted(set(shunned), key=repr))))
    return tuple(out)


def _selectors(affinity: PodAffinities) -> Iterator[LabelSelector | None]:
    """Of all terms, the preferred ones too: they are parsed together (framework/types.go NewPodInfo)."""
    for group in (affinity.pod_affinity, affinity.pod_anti_affinity):
        if group is not None:
            preferred = (item.pod_affinity_term for item in group.preferred_during_scheduling_ignored_during_execution)
            for term in (*group.required_during_scheduling_ignored_during_execution, *preferred):
                yield term.label_selector
                yield term.namespace_selector


def _itself(pod: Pod, selectors: Sequence[PodSelector]) -> tuple[bool, tuple[tuple[str, Requirements], ...]]:
    """Whether the pod matches its own terms, and what must be true of its namespace for that."""
    name = pod.metadata.namespace
    labels = all(item.labels is not None and hold(item.labels, pod.metadata.labels) for item in selectors)
    elsewhere = [item for item in selectors if name not in item.namespaces]
    if not labels or any(item.namespace_labels is None for item in elsewhere):
        return False, ()
    return True, tuple(sorted({(name, item.namespace_labels) for item in elsewhere if item.namespace_labels}))


def _required(pod: Pod, group: PodAffinity | None) -> list[tuple[str, PodSelector]]:
    if group is None:
        return []
    return [
        (term.topology_key, of_term(term, pod.metadata.namespace, pod.metadata.labels))
        for term in group.required_during_scheduling_ignored_during_execution
    ]
