"""The cluster as the scheduler and its strategies look at it: the state, where each pod class may go, nominations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.scheduling.feasibility.nominations import Nominations
from harness.scheduling.feasibility.verdict_cache import VerdictCache
from harness.scheduling.filters.outside import OutsideFilter
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.state.cluster_state import ClusterState
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
        """An empty one, as after a restart: the Filter plugins stay, `classes` where they are given."""
        return Snapshot(self.classes.fresh() if classes is None else classes)

    def copy(self) -> Snapshot:
        """An independent twin, for trying out what would happen; pod classes are shared, caches start cold."""
        return Snapshot(self.classes, self)

    # -- the rest of ClusterView --------------------------------------------------------------------------------

    def admits(self, pod: PodView, node: int) -> bool:
        return all(item.holds(self, node) for item in constraints_of(pod.cls).node)

    def is_independent(self, pod: PodView) -> bool:
        cls = self.classes.class_now(pod)
        constraints = constraints_of(cls)
        if constraints.cluster or cls.footprint.ports or constraints.repelling:
            return False
        return not any(isinstance(item, OutsideFilter) for item in constraints.node_usage)

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
