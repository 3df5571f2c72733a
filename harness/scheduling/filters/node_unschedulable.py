"""NodeUnschedulable: a cordoned node takes only pods that tolerate the cordon's taint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.model.core import Pod, Taint
from harness.scheduling.filters.filter import Moves, Nodes
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
    moves = Moves.NODE
    resolvable = False
    only = None

    def mask(self, on: Snapshot, nodes: Nodes) -> Bool:
        return np.logical_not(on.facts.unschedulable[nodes])

    def holds(self, on: Snapshot, node: int) -> bool:
        return not on.facts.unschedulable[node]

    def reasons(self, on: Snapshot, node: int) -> tuple[str, ...]:
        return (REASON,)


def node_unschedulable(pod: Pod) -> NodeUnschedulable | None:
    if any(toleration.tolerates(CORDON) for toleration in pod.spec.tolerations):
        return None
    return NodeUnschedulable()
