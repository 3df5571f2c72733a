"""How many cores and how much memory the whole cluster may have, and has to keep: --cores-total, --memory-total.

Source: cluster-autoscaler resourcequotas/tracker.go, core/scaleup/orchestrator/orchestrator.go (applyLimits,
filterValidScaleUpNodeGroups, capScaleUpsByQuota), core/scaledown/unneeded/nodes.go (1.37); the words are those of
1.34, core/scaleup/orchestrator/skippedreasons.go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings, least_and_most
from harness.autoscaling.pool import cores_and_memory, total_of
from harness.model.core import Node

GIB = 1 << 30
"""The unit of --memory-total. Source: config/flags/flags.go units.GiB."""


class ResourceLimits:
    """By resource, as they are now: what can still be added, or be taken away; both count down with `take`."""

    def __init__(self, left: dict[str, int]) -> None:
        self._left = left

    def nodes(self, node: Node, asked: int) -> int:
        """How many of `asked` nodes like this one are within all limits."""
        sizes = cores_and_memory(node)
        return min([asked, *(self._left[name] // size for name, size in sizes.items() if size)])

    def exceeded(self, node: Node) -> str:
        """The resources of which one more node is too much, '' for none."""
        return ", ".join(name for name, size in cores_and_memory(node).items() if size > self._left[name])

    def take(self, node: Node, count: int) -> None:
        for name, size in cores_and_memory(node).items():
            self._left[name] = max(self._left[name] - size * count, 0)


def to_add(state: ClusterState) -> ResourceLimits:
    """What all nodes, and those that are coming, leave of the maxima."""
    there = state.size.copy()
    for pool in state.pools.values():
        for name, size in cores_and_memory(pool.pool.template).items():
            there[name] += size * len(pool.coming)
    return left_of(there, state.settings)


def to_remove(state: ClusterState, going: Collection[str]) -> ResourceLimits:
    """What the nodes that do not go have above the minima."""
    there = state.size.copy()
    there.subtract(total_of(state.nodes[name] for name in going if name in state.nodes))
    return above(there, state.settings)


def left_of(there: Mapping[str, int], settings: ClusterAutoscalerSettings) -> ResourceLimits:
    return ResourceLimits({name: max(most - there[name], 0) for name, (_, most) in _limits(settings).items()})


def above(there: Mapping[str, int], settings: ClusterAutoscalerSettings) -> ResourceLimits:
    return ResourceLimits({name: max(there[name] - least, 0) for name, (least, _) in _limits(settings).items()})


def _limits(settings: ClusterAutoscalerSettings) -> dict[str, tuple[int, int]]:
    least, most = least_and_most(settings.memory_total)
    return {"cpu": least_and_most(settings.cores_total), "memory": (least * GIB, most * GIB)}
