"""NodeVolumeLimits: a node takes as many volumes of a CSI driver as its CSINode says.

Source of the semantics: kube-scheduler 1.32 plugins/nodevolumelimits/csi.go. Volumes are counted once, however many
pods use them; a claim that is not bound yet counts by its storage class's provisioner. Volumes that
are attached, but used by no pod on the node any more, do not count. In-tree volumes that migrate to CSI are not
modelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.model.volumes import claim_class, claims_of
from harness.scheduling.filters.volume_mask import VolumeFilter
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import Bool, Int64

EXCEEDED = "node(s) exceed max volume count"
"""Source: kube-scheduler 1.32 plugins/nodevolumelimits ErrReasonMaxVolumeCountExceeded."""


@dataclass(frozen=True, slots=True)
class NodeVolumeLimits(VolumeFilter):
    claims: tuple[str, ...]

    plugin = "NodeVolumeLimits"
    resolvable = True

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        out = np.ones(len(state.node_table), dtype=np.bool_)
        for name in state.volumes.catalog.volume_limits:
            node = state.node_table.index.get(name)
            if node is not None:
                out[node] = self.holds(state, node)
        return out[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        limits = state.volumes.catalog.volume_limits.get(state.node_table.names[node])
        if not limits:
            return True
        wanted = _volumes(state, self.claims)
        attached: dict[str, str] = {}
        for pod in state.pods_on(node):
            attached |= _volumes(state, pod.cls.footprint.claims)
        more = Counter(driver for volume, driver in wanted.items() if volume not in attached)
        there = Counter(attached.values())
        return all(there[driver] + count <= limits[driver] for driver, count in more.items() if driver in limits)

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        return (EXCEEDED,)

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        return [(EXCEEDED, len(nodes))]


def _volumes(state: ClusterState, claims: Iterable[str]) -> dict[str, str]:
    """CSI drivers of the claims' volumes, by a name that is the volume's own."""
    catalog = state.volumes.catalog
    out: dict[str, str] = {}
    for key in claims:
        claim = catalog.claims.get(key)
        if claim is None:
            continue
        volume = catalog.volumes.get(claim.spec.volume_name) if claim.spec.volume_name else None
        if volume is not None:
            source = (volume.spec.extra or {}).get("csi") or {}
            driver, handle = str(source.get("driver", "")), str(source.get("volumeHandle", ""))
        else:  # not bound, or to what is gone: what would be provisioned
            storage_class = catalog.classes.get(claim_class(claim))
            driver, handle = "" if storage_class is None else storage_class.provisioner, key
        if driver and handle:
            out[f"{driver}/{handle}"] = driver
    return out


def make_filters(pod: Pod) -> tuple[NodeVolumeLimits, ...]:
    claims = tuple(dict.fromkeys(claims_of(pod)))
    return (NodeVolumeLimits(claims),) if claims else ()
