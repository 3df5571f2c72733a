"""NodeUnschedulable: a cordoned node takes only pods that tolerate the cordon's taint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.model.core import Pod, Taint
from harness.scheduling.filters.filter import Nodes, Scope
from harness.scheduling.strategy import Bool

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot

CORDON = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
"""Source: k8s.io/api/core/v1/well_known_taints.go TaintNodeUnschedulable."""

REASON = "node(s) were unschedulable"
"""Source: kube-scheduler 1.32 plugins/nodeunschedulable ErrReasonUnschedulable."""


@dataclass(frozen=True, slots=True)
class NodeUnschedulable:
    plugin = "NodeUnschedulable"
    scope = Scope.NODE
    resolvable = False
    node_names = None

    def mask(self, state: Snapshot, nodes: Nodes) -> Bool:
        return np.logical_not(state.node_table.unschedulable[nodes])

    def holds(self, state: Snapshot, node: int) -> bool:
        return not state.node_table.unschedulable[node]

    def reasons(self, state: Snapshot, node: int) -> tuple[str, ...]:
        return (REASON,)


def node_unschedulable(pod: Pod) -> NodeUnschedulable | None:
    if any(toleration.tolerates(CORDON) for toleration in pod.spec.tolerations):
        return None
    return NodeUnschedulable()
