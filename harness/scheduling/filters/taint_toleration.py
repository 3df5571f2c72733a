"""TaintToleration: every NoSchedule and NoExecute taint of the node must be tolerated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.model.core import Pod, Taint, Toleration
from harness.scheduling.filters.filter import Nodes, Scope
from harness.scheduling.strategy import Bool

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot

HARD = ("NoSchedule", "NoExecute")
"""Source: kube-scheduler 1.32 helper.DoNotScheduleTaintsFilterFunc."""


@dataclass(frozen=True, slots=True)
class TaintToleration:
    tolerations: tuple[tuple[str, str, str, str], ...]  # key, operator, value, effect

    plugin = "TaintToleration"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: Snapshot, nodes: Nodes) -> Bool:
        # Clusters have few distinct taint lists: one verdict a list, then one lookup for all nodes.
        verdicts = np.array(
            [self._untolerated(taints) is None for taints in state.node_table.taint_sets], dtype=np.bool_
        )
        found: Bool = verdicts[state.node_table.taint_code[nodes]]
        return found

    def holds(self, state: Snapshot, node: int) -> bool:
        return self._untolerated(state.node_table.taints(node)) is None

    def reasons(self, state: Snapshot, node: int) -> tuple[str, ...]:
        taint = self._untolerated(state.node_table.taints(node))
        assert taint is not None
        # Source: kube-scheduler 1.32 plugins/tainttoleration Filter.
        return (f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}",)

    def _untolerated(self, taints: tuple[Taint, ...]) -> Taint | None:
        for taint in taints:
            if taint.effect in HARD and not any(_tolerates(toleration, taint) for toleration in self.tolerations):
                return taint
        return None


def _tolerates(toleration: tuple[str, str, str, str], taint: Taint) -> bool:
    key, operator, value, effect = toleration
    return Toleration(key=key, operator=operator, value=value, effect=effect).tolerates(taint)


def taint_toleration(pod: Pod) -> TaintToleration:
    return TaintToleration(tuple((t.key, t.operator, t.value, t.effect) for t in pod.spec.tolerations))
