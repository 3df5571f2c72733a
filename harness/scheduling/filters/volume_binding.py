"""VolumeBinding: the pod's bound claims are reachable_mask from the node, and the others find a volume there.

Source of the semantics: kube-scheduler 1.32 plugins/volumebinding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.core import Pod
from harness.model.volumes import claims_of
from harness.scheduling.filters.volume_claims import OwnedClaim, owned_claims
from harness.scheduling.filters.volume_fit import bindable_mask, choose_volumes, is_reachable, reachable_mask
from harness.scheduling.filters.volume_mask import VolumeFilter
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.state.volume_reservations import not_found
from harness.scheduling.strategy import Bool, Int64

NODE_CONFLICT = "node(s) had volume node affinity conflict"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
"""Source: kube-scheduler 1.32 plugins/volumebinding ErrReasonNodeConflict, ErrReasonBindConflict."""


@dataclass(frozen=True, slots=True)
class VolumeBinding(VolumeFilter):
    """`claims`: once for each volume that names it: an unbound claim in two volumes asks for two.

    Source: kube-scheduler 1.32 plugins/volumebinding binder.go GetPodVolumeClaims, FindPodVolumes.
    """

    claims: tuple[str, ...]
    owned: tuple[OwnedClaim, ...] = ()

    plugin = "VolumeBinding"
    resolvable = False

    def pre_filter(self, state: ClusterState) -> str:
        """Why the pod is held against no node at all: what PreFilter refuses."""
        why = state.volumes.pod_volume_claims(self.claims).rejection
        for key, pod, uid in self.owned:
            claim = state.volumes.catalog.claims.get(key)
            if claim is None:
                if why == not_found(key):
                    name = key.rpartition("/")[2]
                    return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
                continue
            owner = claim.metadata.controller()
            if not why and (owner is None or owner.uid != uid):
                return f"PVC {key} was not created for pod {pod} (pod is not owner)"
        return why

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        wanted = state.volumes.pod_volume_claims(self.claims)
        out = np.full(len(state.node_table), not self.pre_filter(state))
        if not wanted.rejection:
            for volume in wanted.bound:
                out &= reachable_mask(state, (volume,))
            if wanted.to_bind:
                out &= bindable_mask(state, wanted)
        return out[nodes]

    def holds(self, state: ClusterState, node: int) -> bool:
        wanted = state.volumes.pod_volume_claims(self.claims)
        return (
            not self.pre_filter(state)
            and all(is_reachable(state, volume, node) for volume in wanted.bound)
            and (not wanted.to_bind or choose_volumes(state, wanted, node) is not None)
        )

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        wanted = state.volumes.pod_volume_claims(self.claims)
        why = self.pre_filter(state)
        if why:
            return (why,)
        here = all(is_reachable(state, volume, node) for volume in wanted.bound)
        found = not wanted.to_bind or choose_volumes(state, wanted, node) is not None
        return (*(() if here else (NODE_CONFLICT,)), *(() if found else (BIND_CONFLICT,)))

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        wanted = state.volumes.pod_volume_claims(self.claims)
        why = self.pre_filter(state)
        if why:
            return [(why, len(nodes))]
        here = np.ones(len(state.node_table), dtype=np.bool_)
        for volume in wanted.bound:
            here &= reachable_mask(state, (volume,))
        found = len(nodes) if not wanted.to_bind else int(np.count_nonzero(bindable_mask(state, wanted)[nodes]))
        return [(NODE_CONFLICT, int(np.count_nonzero(~here[nodes]))), (BIND_CONFLICT, len(nodes) - found)]


def make_filters(pod: Pod) -> tuple[VolumeBinding, ...]:
    claims = claims_of(pod)
    return (VolumeBinding(claims, owned_claims(pod)),) if claims else ()
