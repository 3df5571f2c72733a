"""NodeUnschedulable: a cordoned node takes only pods that tolerate the cordon's taint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod, Taint
from harness.scheduling.filters.filter import Scope
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool

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

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return np.logical_not(state.node_table.unschedulable[nodes])

    def holds(self, state: ClusterState, node: int) -> bool:
        return not state.node_table.unschedulable[node]

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (REASON,)


def make_filters(pod: Pod) -> tuple[NodeUnschedulable, ...]:
    if any(toleration.tolerates(CORDON) for toleration in pod.spec.tolerations):
        return ()
    return (NodeUnschedulable(),)
