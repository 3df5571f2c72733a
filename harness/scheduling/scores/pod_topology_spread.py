"""Score of PodTopologySpread: nodes in domains with fewer matching pods are better; rare domains weigh less.

Source: kube-scheduler 1.32 plugins/podtopologyspread/scoring.go PreScore, Score, NormalizeScore;
systemDefaultConstraints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.node_affinity import NodeAffinity
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.filters.pod_topology_spread import Eligible
from harness.scheduling.matching.pod_selectors import PodSelector
from harness.scheduling.pods.preferences import SoftSpread, preferences_of
from harness.scheduling.scores.domains import (
    MAX_GROUPED_DOMAINS,
    counts_by_code,
    domain_code,
    domain_count,
    looked_up_by_code,
)
from harness.scheduling.scores.plugin import Feature, RowsPlugin
from harness.scheduling.state.domain_counts import DomainCounts, PodCount
from harness.scheduling.state.node_table import LabelColumn
from harness.scheduling.state.pod_counts import PodSelection
from harness.scheduling.strategy import MAX_NODE_SCORE, Bool, DependsOn, Int64, PodView

HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True)
class DefaultSpread:
    """A soft constraint for pods that have none of their own."""

    key: str
    max_skew: int


SYSTEM_SPREAD = (DefaultSpread(HOSTNAME, 3), DefaultSpread("topology.kubernetes.io/zone", 5))


class PodTopologySpread(RowsPlugin):
    """`defaults`: constraints for pods without any. `system`: they are the built-in ones, which ask for no label."""

    name = "PodTopologySpread"
    depends_on = DependsOn.CLUSTER

    def __init__(self, defaults: tuple[DefaultSpread, ...] = SYSTEM_SPREAD, system: bool = True) -> None:
        self._defaults = defaults
        self._system = system

    def skips(self, pod: PodView, snapshot: Snapshot) -> bool:
        if preferences_of(pod).spread:
            return False
        return not (snapshot.tables.owner_selectors and self._constraints(pod, snapshot)[0])

    def rows(self, pod: PodView, snapshot: Snapshot, *, grouped: bool) -> _SpreadRows | None:
        constraints, strict = self._constraints(pod, snapshot)
        if not constraints:
            return None
        keys = tuple(sorted(item.key for item in constraints)) if strict else ()
        features: list[Feature] = []
        parts: list[_Constraint] = []
        groupable = True
        for item in constraints:
            labels = snapshot.node_table.label_column(item.key)
            pods = snapshot.pod_counts.count_selected(item.selection)
            if item.key == HOSTNAME:
                features.append(_count_on_host(snapshot, labels, pods))
                parts.append(_Constraint(item.max_skew))
                continue
            node_filter = Eligible(keys, item.eligible.affinity, item.eligible.taints)
            domains = snapshot.pod_counts.count_by_domain(pods, item.key, node_filter)
            features.append(domain_code(labels, item.key))
            counted = not grouped and not looked_up_by_code(labels, grouped=False)
            if counted:
                features.append(domain_count(snapshot, domains, labels))
            empty = None if strict else labels.values.get("")
            lacking = 0 if empty is None else _count_without_label(snapshot, item, pods)
            parts.append(_Constraint(item.max_skew, domains, counted, empty, lacking))
            groupable = groupable and len(labels.values) <= MAX_GROUPED_DOMAINS and empty is None
        return _SpreadRows(tuple(features), tuple(parts), strict, groupable)

    def _constraints(self, pod: PodView, snapshot: Snapshot) -> tuple[tuple[SoftSpread, ...], bool]:
        """The pod's own soft constraints, else the default ones where a service or controller selects it.

        The second: nodes without all of the labels are left out.
        """
        wanted = preferences_of(pod)
        if wanted.constrained or not self._defaults or not snapshot.tables.owner_selectors:
            return wanted.spread, True
        selector = snapshot.tables.owner_selectors.requirements_of(pod)
        if not selector:
            return (), True
        filters = constraints_of(pod.cls).filters
        affinity = next((item.required for item in filters if isinstance(item, NodeAffinity)), None)
        selection = PodSelection((PodSelector((pod.namespace,), None, selector),), living=True)
        eligible = Eligible((), affinity, None)
        soft = tuple(SoftSpread(item.key, selection, item.max_skew, 1, eligible) for item in self._defaults)
        return soft, not self._system


@dataclass(frozen=True, slots=True)
class _Constraint:
    """One constraint. `domains`: None where it counts on the node itself. `counted`: a feature has the counts.

    `empty`: code of the domain of the empty value, where nodes without the label count as well; `lacking`: pods there.
    """

    max_skew: int
    domains: DomainCounts | None = None
    counted: bool = False
    empty: int | None = None
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class _SpreadRows:
    features: tuple[Feature, ...]
    constraints: tuple[_Constraint, ...]
    strict: bool
    groupable: bool

    def score(self, values: Sequence[Int64], nodes_in_row: Int64) -> Int64 | None:
        scored: Bool = np.ones(len(nodes_in_row), dtype=np.bool_)
        columns = iter(values)
        placed = [(item, next(columns), next(columns) if item.counted else None) for item in self.constraints]
        if self.strict:  # nodes without all of the labels are left out
            for _, column, _ in placed:
                scored &= column >= 0
        raw = np.zeros(len(scored))
        for item, column, counts in placed:
            if item.domains is None:
                size = int(nodes_in_row[scored].sum())
                counts = column
            else:
                if counts is None:
                    counts = counts_by_code(item.domains, column)
                domains = column[scored]
                if item.empty is not None:  # nodes without the label are in the domain of the empty value
                    domains = np.where(domains == item.empty, -1, domains)
                    counts = counts + np.where(column == item.empty, item.lacking, 0)
                size = int(np.count_nonzero(np.bincount(domains + 1)))
            weighed = counts * log(size + 2) + float(item.max_skew - 1)
            raw = raw + np.where(column >= 0, weighed, 0.0)
        return _normalize(raw, scored)


def _normalize(raw: np.ndarray, scored: Bool) -> Int64:
    """What is not `scored` gets 0 and bears on nothing."""
    whole = np.floor(raw)
    rounded: Int64 = (whole + (raw - whole >= 0.5)).astype(np.int64)
    candidates = rounded[scored]
    if not len(candidates):
        return np.zeros(len(scored), dtype=np.int64)
    least, most = int(candidates.min()), int(candidates.max())
    if most == 0:
        return np.where(scored, MAX_NODE_SCORE, 0)
    return np.where(scored, MAX_NODE_SCORE * (most + least - rounded) // most, 0)


def _count_on_host(snapshot: Snapshot, labels: LabelColumn, pods: PodCount) -> Feature:
    """Pods on the node itself, -1 where it lacks the label."""

    def at(nodes: Int64) -> Int64:
        found: Int64 = np.where(labels.codes[nodes] >= 0, pods.column(snapshot.room)[nodes], -1)
        return found

    return Feature(("host", id(pods)), at, of_node=pods)


def _count_without_label(snapshot: Snapshot, item: SoftSpread, pods: PodCount) -> int:
    """Pods on nodes without the label of the constraint."""
    nodes = snapshot.node_table
    return sum(
        count
        for node, count in pods.on_node.items()
        if item.key not in nodes.labels[node] and item.eligible.holds(nodes, node)
    )
