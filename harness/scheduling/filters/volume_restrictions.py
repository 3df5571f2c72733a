"""VolumeRestrictions: a ReadWriteOncePod claim is used by one pod at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.model.volumes import claims_of
from harness.scheduling.filters.volume_claims import owned_claims
from harness.scheduling.filters.volume_mask import VolumeFilter
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.volume_reservations import not_found
from harness.scheduling.strategy import Bool, Int64

IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
"""Source: kube-scheduler 1.32 plugins/volumerestrictions ErrReasonReadWriteOncePodConflict."""


@dataclass(frozen=True, slots=True)
class VolumeRestrictions(VolumeFilter):
    claims: tuple[str, ...]

    plugin = "VolumeRestrictions"
    resolvable = True

    def pre_filter(self, state: ClusterState) -> str:
        """Source: plugins/volumerestrictions PreFilter, which looks up every claim that the pod names."""
        known = state.volumes.catalog.claims
        return next((not_found(key) for key in self.claims if key not in known), "")

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return np.full(len(state.node_table), not state.volumes.in_use(self.claims))[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return not state.volumes.in_use(self.claims)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (IN_USE,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(IN_USE, len(nodes))]


def make_filters(pod: Pod) -> tuple[VolumeRestrictions, ...]:
    own = {key for key, _, _ in owned_claims(pod)}
    claims = tuple(dict.fromkeys(key for key in claims_of(pod) if key not in own))
    return (VolumeRestrictions(claims),) if claims else ()
