"""The cluster as the scheduler and its strategies look at it: the state, where each pod class may go, nominations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from harness.scheduling.feasibility.nominations import Nominations
from harness.scheduling.feasibility.verdict_cache import VerdictCache
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import frozen
from harness.scheduling.strategy import Bool, Int64, PodView


class Snapshot(ClusterState):
    """A ClusterView that the harness writes.

    `classes`: the table of pod classes. `nominations`: pods for which nodes are kept. `verdicts`: where a class may go.
    """

    def __init__(self, classes: PodClasses | None = None, source: Snapshot | None = None) -> None:
        """`source`: the snapshot to start with, as an independent twin; None: no nodes, no pods."""
        self.classes = PodClasses() if classes is None else classes
        super().__init__(self.classes.tables, source)
        self.nominations: Nominations = Nominations(self) if source is None else source.nominations.copy(self)
        self.verdicts = VerdictCache(self, self.nominations)

    def fresh(self, classes: PodClasses | None = None) -> Snapshot:
        """An empty one, as after a restart."""
        return Snapshot(classes)

    def copy(self) -> Snapshot:
        """An independent twin, for trying out what would happen; pod classes are shared, caches start cold."""
        return Snapshot(self.classes, self)

    # -- the rest of ClusterView --------------------------------------------------------------------------------

    @property
    def capacity(self) -> Int64:
        return self.amounts.capacity

    @property
    def gpu_capacity(self) -> Int64:
        return self.amounts.gpu_capacity

    @property
    def names(self) -> Sequence[str]:
        return self.node_table.names

    @property
    def rank(self) -> Int64:
        return frozen(self.tie_order.rank[: len(self.node_table)])

    @property
    def zone(self) -> Int64:
        return frozen(self.node_table.zone[: len(self.node_table)])

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(self.node_table.zones)

    def label(self, node: int, key: str) -> str | None:
        return self.node_table.labels[node].get(key)

    def labels(self, node: int) -> Mapping[str, str]:
        return MappingProxyType(self.node_table.labels[node])

    def taints(self, node: int) -> Sequence[tuple[str, str, str]]:
        return tuple((taint.key, taint.value, taint.effect) for taint in self.node_table.taints(node))

    def admits(self, pod: PodView, node: int) -> bool:
        return all(item.holds(self, node) for item in constraints_of(pod.cls).node)

    def is_independent(self, pod: PodView) -> bool:
        cls = self.classes.class_now(pod)
        constraints = constraints_of(cls)
        return not (constraints.cluster or cls.footprint.ports or constraints.repelling)

    def feasible(self, pod: PodView) -> Bool:
        return self.verdicts.mask(self.classes.class_now(pod))

    @property
    def version(self) -> int:
        return self.log.version

    def changed_since(self, version: int) -> Int64 | None:
        changed = self.log.since(version)
        return None if changed is None else np.array(sorted(set(changed)), dtype=np.int64)

    # -- order --------------------------------------------------------------------------------------------------

    def order(self) -> Sequence[int]:
        """Nodes in tie-break order (-1 for a hole); positions in it stay while `epoch` stays."""
        if self.tie_order.sort(self.alive):
            self.epoch += 1
        return self.tie_order.node_at

    def order_column(self) -> Int64:
        """`order` as a column, int64 [positions]."""
        self.order()
        return self.tie_order.column()

    @property
    def position_of(self) -> Sequence[int]:
        """Positions in `order` by node, -1 where the node has left."""
        return self.tie_order.position_of

    @property
    def positions(self) -> Int64:
        """The same as a column, int64 [room]."""
        return self.tie_order.positions

    # -- pods ---------------------------------------------------------------------------------------------------

    @property
    def placed_count(self) -> int:
        """Pods on nodes that are known, and on others."""
        return len(self.placements.node_of) + len(self.placements.on_unknown_nodes)

    def placed_in_group(self, group: str) -> int:
        return self.placements.in_group.get(group, 0)
