"""Live masks of the filters on volumes: taken anew when a volume, a claim or a node's spec changed."""

from __future__ import annotations

import numpy as np

from harness.scheduling.filters.filter import Filter, Scope
from harness.scheduling.filters.live_masks import DomainMask
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.strategy import Bool


class VolumeFilter:
    """What the filters on volumes share."""

    __slots__ = ()
    scope = Scope.CLUSTER
    node_names = None

    def live(self, state: ClusterState) -> VolumeMask:
        return VolumeMask(state, self)  # type: ignore[arg-type]


class VolumeMask:
    """A NodeMask of one of these filters."""

    def __init__(self, state: ClusterState, of: Filter) -> None:
        self._state = state
        self._filter = of
        self._seen: tuple[object, ...] = ()
        self.dirty: list[int] = []
        self.stamp = 0
        self.mask: Bool = np.zeros(0, dtype=np.bool_)

    def parts(self) -> list[DomainMask] | None:
        return None

    def _now(self) -> tuple[object, ...]:
        state = self._state
        return (state.volumes.seen, state.spec_log.version, state.room)

    def holds(self, node: int) -> bool:
        if self._seen == self._now():
            return bool(self.mask[node])
        return self._filter.holds(self._state, node)

    def refresh(self) -> None:
        now = self._now()
        if now == self._seen:
            return
        state = self._state
        self._seen = now
        self.mask = np.zeros(state.room, dtype=np.bool_)
        self.mask[: len(state.node_table)] = self._filter.mask(state, slice(0, len(state.node_table)))
        self.stamp += 1
