"""The columns of the state, computed from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.scheduling.state.columns import frozen
from harness.scheduling.state.node_order import NodeOrder
from harness.scheduling.state.node_resources import NodeResources
from harness.scheduling.state.node_table import NodeTable
from harness.scheduling.state.placements import Placements
from harness.scheduling.state.shared_tables import SharedTables
from harness.scheduling.strategy import Bool, Int64, PodView


class StateColumns:
    """`harness.scheduling.strategy.NodesView`, which says what each of them is."""

    tables: SharedTables
    node_table: NodeTable
    tie_order: NodeOrder
    amounts: NodeResources
    placements: Placements

    @property
    def resources(self) -> tuple[str, ...]:
        return tuple(self.tables.rows.names)

    @property
    def free(self) -> Int64:
        return self.amounts.free

    @property
    def gpu_free(self) -> Int64:
        return self.amounts.gpu_free

    @property
    def gpu_model(self) -> Int64:
        return self.amounts.gpu_model

    @property
    def gpu_models(self) -> tuple[str, ...]:
        return tuple(self.amounts.models)

    @property
    def alive(self) -> Bool:
        return frozen(self.node_table.alive[: len(self.node_table)])

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

    def devices(self, key: str) -> tuple[int, ...]:
        """GPU devices of a placed pod."""
        return self.placements.devices_of.get(key, ())

    def placed_in_group(self, group: str) -> int:
        return self.placements.in_group.get(group, 0)

    def pods_on(self, node: int) -> Sequence[PodView]:
        return tuple(self.placements.pods[node])
