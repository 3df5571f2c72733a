"""Score of NodeAffinity: the weights of the preferred terms that match the node, of the pod and of the profile.

Source: kube-scheduler 1.32 plugins/nodeaffinity Score, NormalizeScore; NodeAffinityArgs addedAffinity.
"""

from __future__ import annotations

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.preferences import preferences_of
from harness.scheduling.scores.plugin import ColumnCache, ColumnRows, Feature, RowsPlugin, share_of_highest
from harness.scheduling.state.node_selectors import Requirement, all_hold
from harness.scheduling.strategy import DependsOn, Int64, PodView

WeightedTerms = tuple[tuple[int, tuple[Requirement, ...]], ...]


class NodeAffinity(RowsPlugin):
    """`added`: (weight, requirements) of addedAffinity's preferred terms, which count for every pod."""

    name = "NodeAffinity"
    depends_on = DependsOn.NODE_SPEC

    def __init__(self, added: WeightedTerms = ()) -> None:
        self._added = added
        self._columns = ColumnCache()

    def skips(self, pod: PodView, snapshot: Snapshot) -> bool:
        return not (self._added or preferences_of(pod).nodes)

    def rows(self, pod: PodView, snapshot: Snapshot, *, grouped: bool) -> ColumnRows | None:
        terms = self._added + preferences_of(pod).nodes
        if not terms:
            return None
        key = (terms, snapshot.spec_log.version)
        raw = self._columns.get(snapshot, key, lambda: _sum_weights(snapshot, terms))
        return ColumnRows(Feature(self.name, raw.__getitem__), share_of_highest)


def _sum_weights(snapshot: Snapshot, terms: WeightedTerms) -> Int64:
    table = snapshot.node_table
    raw = np.zeros(len(table), dtype=np.int64)
    for weight, requirements in terms:
        raw += weight * all_hold(requirements, table, slice(0, len(table)))
    return raw
