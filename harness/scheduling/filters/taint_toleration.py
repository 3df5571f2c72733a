"""TaintToleration: every NoSchedule and NoExecute taint of the node must be tolerated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod, PodSpec, Taint, Toleration
from harness.scheduling.filters.filter import Scope
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.node_table import NodeTable
from harness.scheduling.strategy import Bool

HARD = ("NoSchedule", "NoExecute")
"""Source: kube-scheduler 1.32 helper.DoNotScheduleTaintsFilterFunc."""


@dataclass(frozen=True, slots=True)
class TaintToleration:
    tolerations: tuple[tuple[str, str, str, str], ...]  # key, operator, value, effect

    plugin = "TaintToleration"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return self.tolerated(state.node_table, nodes)

    def holds(self, state: ClusterState, node: int) -> bool:
        return self.tolerates(state.node_table, node)

    def tolerated(self, node_table: NodeTable, nodes: Nodes) -> Bool:
        """Where every such taint is tolerated, bool, one entry for each of `nodes`."""
        # Clusters have few distinct taint lists: one verdict a list, then one lookup for all nodes.
        verdicts = np.array([self._untolerated(taints) is None for taints in node_table.taint_sets], dtype=np.bool_)
        found: Bool = verdicts[node_table.taint_code[nodes]]
        return found

    def tolerates(self, node_table: NodeTable, node: int) -> bool:
        return self._untolerated(node_table.taints(node)) is None

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
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


def make_filters(pod: Pod) -> tuple[TaintToleration, ...]:
    return (taint_toleration(pod.spec),)


def taint_toleration(spec: PodSpec) -> TaintToleration:
    return TaintToleration(tuple((t.key, t.operator, t.value, t.effect) for t in spec.tolerations))
