"""PodTopologySpread, DoNotSchedule: no domain may hold more than maxSkew matching pods above the emptiest one.

Source of the semantics: kube-scheduler 1.32 plugins/podtopologyspread filtering.go. Counted are the nodes that have
every topology key of the pod's hard constraints and that the inclusion policies admit (affinity Honor, taints Ignore by
default); with fewer domains than minDomains the least count is taken as 0; pods being deleted do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.core import Pod, TopologySpreadConstraint
from harness.scheduling.filters.filter import Filter, Scope
from harness.scheduling.filters.live_masks import DomainMask, NodeMask, live_mask, node_mask
from harness.scheduling.filters.malformed import find_malformed
from harness.scheduling.filters.taint_toleration import TaintToleration, taint_toleration
from harness.scheduling.matching.pod_selectors import PodSelector, hold, requirements
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.domain_counts import DomainCounts
from harness.scheduling.state.node_selectors import RequiredNodeAffinity, required_node_affinity
from harness.scheduling.state.node_table import NodeTable
from harness.scheduling.state.pod_counts import PodSelection
from harness.scheduling.strategy import Bool, Int64

REASON = "node(s) didn't match pod topology spread constraints"
REASON_LABEL = REASON + " (missing required label)"
"""Source: kube-scheduler 1.32 plugins/podtopologyspread ErrReasonConstraintsNotMatch, ErrReasonNodeLabelNotMatch."""

HARD, SOFT = "DoNotSchedule", "ScheduleAnyway"


@dataclass(frozen=True, slots=True)
class Eligible:
    """The nodes that a constraint counts: with all of `keys`, and meeting the terms that its policies honor."""

    keys: tuple[str, ...]
    affinity: RequiredNodeAffinity | None
    taints: TaintToleration | None

    def mask(self, node_table: NodeTable) -> Bool:
        n = len(node_table)
        out = node_table.alive[:n].copy()
        for key in self.keys:
            out &= node_table.label_column(key).codes[:n] >= 0
        if self.affinity is not None:
            out &= self.affinity.mask(node_table, slice(0, n))
        if self.taints is not None:
            out &= self.taints.tolerated(node_table, slice(0, n))
        return out

    def holds(self, node_table: NodeTable, node: int) -> bool:
        if not node_table.alive[node]:
            return False
        labels = node_table.labels[node]
        return (
            all(key in labels for key in self.keys)
            and (self.affinity is None or self.affinity.holds(node_table, node))
            and (self.taints is None or self.taints.tolerates(node_table, node))
        )


@dataclass(frozen=True, slots=True)
class TopologyLabel:
    """The node has the topology label of a hard constraint."""

    key: str

    plugin = "PodTopologySpread"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        found: Bool = state.node_table.label_column(self.key).codes[nodes] >= 0
        return found

    def holds(self, state: ClusterState, node: int) -> bool:
        return self.key in state.node_table.labels[node]

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (REASON_LABEL,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(REASON_LABEL, len(nodes))]


@dataclass(frozen=True, slots=True)
class TopologySpread:
    key: str
    selection: PodSelection
    max_skew: int
    min_domains: int
    itself: int  # 1 when the pod matches its own selector
    eligible: Eligible

    plugin = "PodTopologySpread"
    scope = Scope.CLUSTER
    resolvable = True
    node_names = None

    def live(self, state: ClusterState) -> NodeMask:
        domains = state.pod_counts.count_by_domain(
            state.pod_counts.count_selected(self.selection), self.key, self.eligible
        )
        return _Spread(state, domains, self.max_skew - self.itself, self.min_domains)

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return node_mask(state, self)[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return live_mask(state, self).holds(node)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (REASON,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(REASON, len(nodes))]


class _Spread(DomainMask):
    """In: domains whose count is at most what is allowed above the least."""

    def __init__(self, state: ClusterState, domains: DomainCounts, above: int, min_domains: int) -> None:
        super().__init__(state, domains, more=False, absent=False)
        self._above = above
        self._min_domains = min_domains

    def limit(self) -> int:
        least = self.domains.min_count()
        if self._min_domains > 1 and self.domains.domain_count() < self._min_domains:
            least = 0
        return least + self._above


def selector_of(constraint: TopologySpreadConstraint, pod: Pod) -> PodSelector:
    """The constraint's selector in the pod's own namespace, matchLabelKeys joined in; those alone where it has none.

    One without any requirement counts nobody, so that it keeps the pod from nowhere.
    Source: kube-scheduler 1.32 plugins/podtopologyspread common.go mergeLabelSetWithSelector, countPodsMatchSelector.
    """
    labels = pod.metadata.labels
    wanted = None if constraint.label_selector is None else requirements(constraint.label_selector)
    same = {(key, "In", (labels[key],)) for key in constraint.match_label_keys if key in labels}
    if same:
        wanted = tuple(sorted({*(wanted or ()), *same}))
    return PodSelector((pod.metadata.namespace,), None, wanted or None)


def eligible(pod: Pod, constraint: TopologySpreadConstraint, keys: tuple[str, ...]) -> Eligible:
    """Source of the defaults: core/v1 TopologySpreadConstraint, nodeAffinityPolicy Honor, nodeTaintsPolicy Ignore."""
    return Eligible(
        keys,
        required_node_affinity(pod.spec) if constraint.node_affinity_policy in (None, "Honor") else None,
        taint_toleration(pod.spec) if constraint.node_taints_policy == "Honor" else None,
    )


def make_filters(pod: Pod) -> tuple[Filter, ...]:
    """Two filters a hard constraint, in the order in which kube-scheduler looks at them."""
    hard = [c for c in pod.spec.topology_spread_constraints if c.when_unsatisfiable == HARD]
    # Those that only score are not looked at here (common.go filterTopologySpreadConstraints).
    malformed = find_malformed("PodTopologySpread", "get constraints from pod", (c.label_selector for c in hard))
    if malformed:
        return malformed
    keys = tuple(sorted({c.topology_key for c in hard}))
    out: list[Filter] = []
    for constraint in hard:
        selector = selector_of(constraint, pod)
        out.append(TopologyLabel(constraint.topology_key))
        out.append(
            TopologySpread(
                constraint.topology_key,
                PodSelection((selector,), living=True),
                constraint.max_skew,
                constraint.min_domains or 1,
                int(selector.labels is not None and hold(selector.labels, pod.metadata.labels)),
                eligible(pod, constraint, keys),
            )
        )
    return tuple(out)
