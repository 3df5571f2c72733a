"""NodeName: a pending pod that names its node in the spec may only go there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.scheduling.filters.filter import Scope
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool

REASON = "node(s) didn't match the requested node name"
"""Source: kube-scheduler 1.32 plugins/nodename ErrReason."""


@dataclass(frozen=True, slots=True)
class NodeName:
    name: str

    plugin = "NodeName"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        out = np.zeros(len(state.node_table), dtype=np.bool_)
        index = state.node_table.index.get(self.name)
        if index is not None:
            out[index] = True
        return out[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return state.node_table.names[node] == self.name

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (REASON,)


def make_filters(pod: Pod) -> tuple[NodeName, ...]:
    return (NodeName(pod.spec.node_name),) if pod.spec.node_name else ()
