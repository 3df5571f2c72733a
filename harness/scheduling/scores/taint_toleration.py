"""Score of TaintToleration: nodes with fewer PreferNoSchedule taints that the pod does not tolerate are better.

Source: kube-scheduler 1.32 plugins/tainttoleration Score, NormalizeScore.
"""

from __future__ import annotations

import numpy as np

from harness.model.core import Taint, Toleration
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.preferences import preferences_of
from harness.scheduling.scores.plugin import ColumnRows, Feature, RowsPlugin, share_of_highest
from harness.scheduling.strategy import MAX_NODE_SCORE, DependsOn, Int64, PodView


class TaintToleration(RowsPlugin):
    name = "TaintToleration"
    depends_on = DependsOn.NODE_SPEC
    when_equal = MAX_NODE_SCORE

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._seen_sets = 0
        self._any_soft = False

    def skips(self, pod: PodView, snapshot: Snapshot) -> bool:
        if snapshot is self._snapshot and len(snapshot.node_table.taint_sets) == self._seen_sets:
            return not self._any_soft
        return not self._any_soft_taint(snapshot)

    def rows(self, pod: PodView, snapshot: Snapshot, *, grouped: bool) -> ColumnRows | None:
        if not self._any_soft_taint(snapshot):
            return None
        tolerations = preferences_of(pod).tolerations
        by_set = np.array([_intolerable(taints, tolerations) for taints in snapshot.node_table.taint_sets], np.int64)
        codes = snapshot.node_table.taint_code
        return ColumnRows(Feature(self.name, lambda nodes: by_set[codes[nodes]]), _normalize)

    def _any_soft_taint(self, snapshot: Snapshot) -> bool:
        sets = snapshot.node_table.taint_sets
        if snapshot is not self._snapshot or len(sets) != self._seen_sets:
            self._snapshot, self._seen_sets = snapshot, len(sets)
            self._any_soft = any(taint.effect == "PreferNoSchedule" for taints in sets for taint in taints)
        return self._any_soft


def _normalize(raw: Int64) -> Int64 | None:
    return share_of_highest(raw, reverse=True) if raw.any() else None


def _intolerable(taints: tuple[Taint, ...], tolerations: tuple[tuple[str, str, str, str], ...]) -> int:
    return sum(
        taint.effect == "PreferNoSchedule"
        and not any(Toleration(key=k, operator=o, value=v, effect=e).tolerates(taint) for k, o, v, e in tolerations)
        for taint in taints
    )
