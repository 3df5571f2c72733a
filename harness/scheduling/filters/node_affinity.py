"""NodeAffinity: the pod's nodeSelector and its required node affinity, all operators, matchFields included."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.core import Pod
from harness.scheduling.filters.filter import Scope
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.node_selectors import RequiredNodeAffinity, required_node_affinity
from harness.scheduling.strategy import Bool

REASON = "node(s) didn't match Pod's node affinity/selector"
"""Source: kube-scheduler 1.32 plugins/nodeaffinity ErrReasonPod."""

CONFLICT = "pod affinity terms conflict"
"""Source: kube-scheduler 1.32 plugins/nodeaffinity errReasonConflict."""


@dataclass(frozen=True, slots=True)
class NodeAffinity:
    required: RequiredNodeAffinity

    plugin = "NodeAffinity"
    scope = Scope.NODE
    resolvable = False

    @property
    def node_names(self) -> tuple[str, ...] | None:
        return self.required.node_names

    def pre_filter(self, state: ClusterState) -> str:
        return CONFLICT if self.node_names == () else ""

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return self.required.mask(state.node_table, nodes)

    def holds(self, state: ClusterState, node: int) -> bool:
        return self.required.holds(state.node_table, node)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (REASON,)


def make_filters(pod: Pod) -> tuple[NodeAffinity, ...]:
    required = required_node_affinity(pod.spec)
    return () if required is None else (NodeAffinity(required),)
