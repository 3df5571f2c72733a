"""VolumeZone: the node is in the zone and the region that the labels of the pod's bound volumes name.

Source of the semantics: kube-scheduler 1.32 plugins/volumezone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.model.storage import PersistentVolume
from harness.model.volumes import REGION, ZONE, claims_of
from harness.scheduling.filters.volume_mask import VolumeFilter
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool, Int64

ZONE_CONFLICT = "node(s) had no available volume zone"
"""Source: kube-scheduler 1.32 plugins/volumezone ErrReasonConflict."""

_OLD_ZONE, _OLD_REGION = "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"
_NEW = {_OLD_ZONE: ZONE, _OLD_REGION: REGION}
TOPOLOGY = (_OLD_ZONE, _OLD_REGION, ZONE, REGION)
"""Source: plugins/volumezone topologyLabels; of the old ones a node's new label is looked at, too."""


@dataclass(frozen=True, slots=True)
class VolumeZone(VolumeFilter):
    claims: tuple[str, ...]

    plugin = "VolumeZone"
    resolvable = False

    def _needs(self, state: ClusterState) -> Iterator[tuple[str, frozenset[str]]]:
        for volume in state.volumes.pod_volume_claims(self.claims).bound:
            yield from _topology(volume)

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        node_table = state.node_table
        n = len(node_table)
        needs = list(self._needs(state))
        out = np.ones(n, dtype=np.bool_)
        if not needs:
            return out[nodes]
        placed = np.zeros(n, dtype=np.bool_)
        for key in TOPOLOGY:
            placed |= node_table.label_column(key).codes[:n] >= 0
        for key, values in needs:
            column = node_table.label_column(key)
            verdicts = np.array([value in values for value in column.values] + [False], dtype=np.bool_)
            meets = verdicts[column.codes[:n]]
            if key in _NEW:
                newer = node_table.label_column(_NEW[key])
                verdicts = np.array([value in values for value in newer.values] + [False], dtype=np.bool_)
                meets = np.where(column.codes[:n] >= 0, meets, verdicts[newer.codes[:n]])
            out &= meets
        return (out | ~placed)[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        labels = state.node_table.labels[node]
        if not any(key in labels for key in TOPOLOGY):
            return True
        for key, values in self._needs(state):
            value = labels.get(key, labels.get(_NEW.get(key, "")))
            if value is None or value not in values:
                return False
        return True

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (ZONE_CONFLICT,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(ZONE_CONFLICT, len(nodes))]


def _topology(volume: PersistentVolume) -> Iterator[tuple[str, frozenset[str]]]:
    """Source: plugins/volumezone getPVTopologies; a label may hold several zones, joined by two underscores."""
    for key in TOPOLOGY:
        text = volume.metadata.labels.get(key)
        if text is None:
            continue
        values = [value.strip() for value in text.split("__")]
        if all(values):
            yield key, frozenset(values)


def make_filters(pod: Pod) -> tuple[VolumeZone, ...]:
    claims = claims_of(pod)
    return (VolumeZone(claims),) if claims else ()
