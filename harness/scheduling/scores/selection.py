"""One pod's node: which feasible nodes are scored, what extenders say, and the node of the highest total.

Source: kube-scheduler 1.32 schedule_one.go findNodesThatFitPod, prioritizeNodes, selectHost. Ties go to the lowest
rank, where kube-scheduler draws one at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.pods.preferences import preferences_of
from harness.scheduling.sandbox.read_only_view import snapshot_of
from harness.scheduling.scores.framework import ScoreFramework
from harness.scheduling.scores.search_order import NodeSearch, nodes_to_find
from harness.scheduling.strategy import Bind, ClusterView, Float64, Int64, PodView


class Extenders(Protocol):
    """Programs that are asked about each pod after the plugins."""

    def filter(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        """Of `nodes` those that every extender lets through."""

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        """What they add to the scores of `nodes`, int64 [len(nodes)]."""


class NodeSelection:
    """`percentage`: of nodes to score, None for the adaptive share. `search` is shared by the profiles of a scheduler.

    Raises TypeError when it is asked with a view of something else than the harness's snapshot.
    """

    def __init__(
        self,
        framework: ScoreFramework,
        search: NodeSearch,
        percentage: int | None = None,
        extenders: Extenders | None = None,
    ) -> None:
        self.framework = framework
        self._search = search
        self._percentage = percentage
        self._extenders = extenders
        self._first_will_do = framework.scores_nothing and extenders is None

    def choose(self, pod: PodView, cluster: ClusterView) -> Bind | None:
        """The pod on its best node; None where no node takes it."""
        snapshot = _snapshot(cluster)
        count = len(snapshot)
        enough = nodes_to_find(self._percentage, count)
        if self._first_will_do:
            enough = 1  # Source: schedule_one.go findNodesThatPassFilters, HasScorePlugins
        named = constraints_of(pod.cls).node_names
        if named is not None:
            if enough < count:
                self._search.sync(snapshot)
                self._search.passed_by(sum(name in snapshot.node_table.index for name in named))
            nodes = np.array(snapshot.verdicts.feasible_named_nodes(pod.cls), dtype=np.int64)
        elif enough < count:
            self._search.sync(snapshot)
            nodes = self._search.search(snapshot.feasible(pod), enough)
        else:
            best = self.framework.best(pod, snapshot) if self._extenders is None else None
            if best is not None:
                return Bind(pod, best) if best >= 0 else None
            nodes = np.flatnonzero(snapshot.feasible(pod))
        if self._extenders is not None:
            nodes = self._extenders.filter(pod, cluster, nodes)
        if len(nodes) < 2:
            return Bind(pod, int(nodes[0])) if len(nodes) else None
        totals = self.framework.totals(pod, snapshot, nodes)
        if self._extenders is not None:
            totals = totals + self._extenders.score(pod, cluster, nodes)
        ties = nodes[totals == totals.max()]
        return Bind(pod, int(ties[snapshot.rank[ties].argmin()]) if len(ties) > 1 else int(ties[0]))

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """Each plugin's weighted score over all feasible nodes, float64 [nodes], NaN elsewhere."""
        return self.framework.explain(pod, _snapshot(cluster))


def scheduler_name(pod: PodView) -> str:
    """The schedulerName of the pod's spec; empty where it was made without one."""
    return preferences_of(pod).scheduler


def _snapshot(cluster: ClusterView) -> Snapshot:
    snapshot = snapshot_of(cluster)
    if snapshot is None:
        raise TypeError("Score plugins are computed on the harness's own snapshot")
    return snapshot
