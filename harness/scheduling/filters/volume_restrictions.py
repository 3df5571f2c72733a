"""VolumeRestrictions: a ReadWriteOncePod claim is used by one pod at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.scheduling.filters.volume_claims import claims_of
from harness.scheduling.filters.volume_mask import VolumeFilter
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool, Int64

IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)
"""Source: kube-scheduler 1.32 plugins/volumerestrictions ErrReasonReadWriteOncePodConflict."""


@dataclass(frozen=True, slots=True)
class VolumeRestrictions(VolumeFilter):
    claims: tuple[str, ...]

    plugin = "VolumeRestrictions"
    resolvable = True

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return np.full(len(state.node_table), not state.volumes.in_use(self.claims))[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        return not state.volumes.in_use(self.claims)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (IN_USE,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(IN_USE, len(nodes))]


def make_filters(pod: Pod) -> tuple[VolumeRestrictions, ...]:
    claims = claims_of(pod)
    return (VolumeRestrictions(claims),) if claims else ()
