"""NodeName: a pending pod that names its node in the spec may only go there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.model.core import Pod
from harness.scheduling.filters.filter import Nodes, Scope
from harness.scheduling.strategy import Bool

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot

REASON = "node(s) didn't match the requested node name"
"""Source: kube-scheduler 1.32 plugins/nodename ErrReason."""


@dataclass(frozen=True, slots=True)
class NodeName:
    name: str

    plugin = "NodeName"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: Snapshot, nodes: Nodes) -> Bool:
        out = np.zeros(len(state.node_table), dtype=np.bool_)
        index = state.node_table.index.get(self.name)
        if index is not None:
            out[index] = True
        return out[nodes]

    def holds(self, state: Snapshot, node: int) -> bool:
        return state.node_table.names[node] == self.name

    def reasons(self, state: Snapshot, node: int) -> tuple[str, ...]:
        return (REASON,)


def node_name(pod: Pod) -> NodeName | None:
    return NodeName(pod.spec.node_name) if pod.spec.node_name else None
