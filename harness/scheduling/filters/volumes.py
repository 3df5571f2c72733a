"""VolumeRestrictions, VolumeBinding and VolumeZone: the pod's claims can be used, found and reached from the node.

Source of the semantics: kube-scheduler 1.32 plugins/volumerestrictions, volumebinding, volumezone. Without CSINode
objects NodeVolumeLimits refuses nothing, as in kube-scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.model.core import Pod
from harness.model.storage import PersistentVolume
from harness.model.volumes import REGION, ZONE, ephemeral_name
from harness.scheduling.filters.filter import Filter, Nodes, Scope
from harness.scheduling.filters.volume_fit import choose, findable, reached, reaches
from harness.scheduling.state.volume_reservations import not_found
from harness.scheduling.strategy import Bool, Int64

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot
    from harness.scheduling.filters.live_masks import DomainMask

IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)
"""Source: kube-scheduler 1.32 plugins/volumerestrictions ErrReasonReadWriteOncePodConflict."""
NODE_CONFLICT = "node(s) had volume node affinity conflict"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
"""Source: kube-scheduler 1.32 plugins/volumebinding ErrReasonNodeConflict, ErrReasonBindConflict."""
ZONE_CONFLICT = "node(s) had no available volume zone"
"""Source: kube-scheduler 1.32 plugins/volumezone ErrReasonConflict."""

_OLD_ZONE, _OLD_REGION = "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"
_NEW = {_OLD_ZONE: ZONE, _OLD_REGION: REGION}
TOPOLOGY = (_OLD_ZONE, _OLD_REGION, ZONE, REGION)
"""Source: plugins/volumezone topologyLabels; of the old ones a node's new label is looked at, too."""


Owned: TypeAlias = tuple[str, str, str]
"""A claim that is made for one pod: its key, the pod's key, the pod's uid."""


class _OnVolumes:
    """What terms on volumes share: live masks that are taken anew when a volume, a claim or a node's spec changed."""

    __slots__ = ()
    scope = Scope.CLUSTER
    node_names = None

    def live(self, state: Snapshot) -> VolumeMask:
        return VolumeMask(state, self)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class VolumeRestrictions(_OnVolumes):
    claims: tuple[str, ...]

    plugin = "VolumeRestrictions"
    resolvable = True

    def mask(self, state: Snapshot, nodes: Nodes) -> Bool:
        return np.full(len(state.node_table), not state.volumes.in_use(self.claims))[nodes]

    def holds(self, state: Snapshot, node: int) -> bool:
        return not state.volumes.in_use(self.claims)

    def reasons(self, state: Snapshot, node: int) -> tuple[str, ...]:
        return (IN_USE,)

    def count_reasons(self, state: Snapshot, nodes: Int64) -> list[tuple[str, int]]:
        return [(IN_USE, len(nodes))]


@dataclass(frozen=True, slots=True)
class VolumeBinding(_OnVolumes):
    claims: tuple[str, ...]
    owned: tuple[Owned, ...] = ()

    plugin = "VolumeBinding"
    resolvable = False

    def pre_filter(self, state: Snapshot) -> str:
        """Why the pod is held against no node at all: what PreFilter refuses."""
        why = state.volumes.wanted(self.claims).before
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

    def mask(self, state: Snapshot, nodes: Nodes) -> Bool:
        wanted = state.volumes.wanted(self.claims)
        out = np.full(len(state.node_table), not self.pre_filter(state))
        if not wanted.before:
            for volume in wanted.bound:
                out &= reached(state, (volume,))
            if wanted.to_bind:
                out &= findable(state, wanted)
        return out[nodes]

    def holds(self, state: Snapshot, node: int) -> bool:
        wanted = state.volumes.wanted(self.claims)
        return (
            not self.pre_filter(state)
            and all(reaches(state, volume, node) for volume in wanted.bound)
            and (not wanted.to_bind or choose(state, wanted, node) is not None)
        )

    def reasons(self, state: Snapshot, node: int) -> tuple[str, ...]:
        wanted = state.volumes.wanted(self.claims)
        why = self.pre_filter(state)
        if why:
            return (why,)
        here = all(reaches(state, volume, node) for volume in wanted.bound)
        found = not wanted.to_bind or choose(state, wanted, node) is not None
        return (*(() if here else (NODE_CONFLICT,)), *(() if found else (BIND_CONFLICT,)))

    def count_reasons(self, state: Snapshot, nodes: Int64) -> list[tuple[str, int]]:
        wanted = state.volumes.wanted(self.claims)
        why = self.pre_filter(state)
        if why:
            return [(why, len(nodes))]
        here = np.ones(len(state.node_table), dtype=np.bool_)
        for volume in wanted.bound:
            here &= reached(state, (volume,))
        found = len(nodes) if not wanted.to_bind else int(np.count_nonzero(findable(state, wanted)[nodes]))
        return [(NODE_CONFLICT, int(np.count_nonzero(~here[nodes]))), (BIND_CONFLICT, len(nodes) - found)]


@dataclass(frozen=True, slots=True)
class VolumeZone(_OnVolumes):
    claims: tuple[str, ...]

    plugin = "VolumeZone"
    resolvable = False

    def _needs(self, state: Snapshot) -> Iterator[tuple[str, frozenset[str]]]:
        for volume in state.volumes.wanted(self.claims).bound:
            yield from _topology(volume)

    def mask(self, state: Snapshot, nodes: Nodes) -> Bool:
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

    def holds(self, state: Snapshot, node: int) -> bool:
        labels = state.node_table.labels[node]
        if not any(key in labels for key in TOPOLOGY):
            return True
        for key, values in self._needs(state):
            value = labels.get(key, labels.get(_NEW.get(key, "")))
            if value is None or value not in values:
                return False
        return True

    def reasons(self, state: Snapshot, node: int) -> tuple[str, ...]:
        return (ZONE_CONFLICT,)

    def count_reasons(self, state: Snapshot, nodes: Int64) -> list[tuple[str, int]]:
        return [(ZONE_CONFLICT, len(nodes))]


class VolumeMask:
    """A NodeMask of one of these terms."""

    def __init__(self, state: Snapshot, term: Filter) -> None:
        self._state = state
        self._term = term
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
        return self._term.holds(self._state, node)

    def refresh(self) -> None:
        now = self._now()
        if now == self._seen:
            return
        state = self._state
        self._seen = now
        self.mask = np.zeros(state.room, dtype=np.bool_)
        self.mask[: len(state.node_table)] = self._term.mask(state, slice(0, len(state.node_table)))
        self.stamp += 1


def volumes(pod: Pod) -> tuple[Filter, ...]:
    """In kube-scheduler's filter order; nothing for pods without claims."""
    claims = claims_of(pod)
    if not claims:
        return ()
    return VolumeRestrictions(claims), VolumeBinding(claims, owned_by(pod)), VolumeZone(claims)


def claims_of(pod: Pod) -> tuple[str, ...]:
    """The pod's claims, 'namespace/name', in the order of its volumes."""
    given: list[dict[str, Any]] = (pod.spec.extra or {}).get("volumes") or []
    names: dict[str, None] = {}
    for volume in given:
        if isinstance(volume.get("persistentVolumeClaim"), dict):
            names[str(volume["persistentVolumeClaim"].get("claimName", ""))] = None
        elif "ephemeral" in volume:
            names[ephemeral_name(pod, volume)] = None
    return tuple(f"{pod.metadata.namespace}/{name}" for name in names)


def owned_by(pod: Pod) -> tuple[Owned, ...]:
    """Claims that are made for this pod alone."""
    given: list[dict[str, Any]] = (pod.spec.extra or {}).get("volumes") or []
    meta = pod.metadata
    return tuple(
        (f"{meta.namespace}/{ephemeral_name(pod, volume)}", meta.key, meta.uid)
        for volume in given
        if "ephemeral" in volume
    )


def _topology(volume: PersistentVolume) -> Iterator[tuple[str, frozenset[str]]]:
    """Source: plugins/volumezone getPVTopologies; a label may hold several zones, joined by two underscores."""
    for key in TOPOLOGY:
        text = volume.metadata.labels.get(key)
        if text is None:
            continue
        values = [value.strip() for value in text.split("__")]
        if all(values):
            yield key, frozenset(values)
