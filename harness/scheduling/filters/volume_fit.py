"""Where volumes let a pod go: over all nodes in columns, and on one node with the choice that would be made there.

Source: kube-scheduler 1.32 plugins/volumebinding binder.go FindPodVolumes, checkVolumeProvisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.model.volumes import NO_PROVISIONER
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.node_selectors import Requirement, all_hold
from harness.scheduling.state.volume_catalog import Affinity
from harness.scheduling.state.volume_reservations import ClaimToBind, PodVolumeClaims, VolumeReservation
from harness.scheduling.strategy import Bool


def is_reachable(state: ClusterState, volume: PersistentVolume, node: int) -> bool:
    """Whether the volume can be reachable_mask from the node."""
    return _allows(state, state.volumes.catalog.affinity(volume), node)


def reachable_mask(state: ClusterState, volumes: Iterable[PersistentVolume]) -> Bool:
    """From where at least one of them can be reachable_mask, bool [nodes]."""
    affinity = state.volumes.catalog.affinity
    found = {id(of): of for of in map(affinity, volumes)}  # held by the book, so that identities do not come again
    return _any_of(state, found.values())


def choose_volumes(state: ClusterState, wanted: PodVolumeClaims, node: int) -> VolumeReservation | None:
    """What the claims would be bound to on one node; None where some claim finds nothing."""
    name = state.node_table.names[node]
    chosen: set[str] = set()
    bindings: list[tuple[PersistentVolumeClaim, PersistentVolume]] = []
    provisions: list[PersistentVolumeClaim] = []
    for item in wanted.to_bind:
        if item.node and item.node != name:
            return None
        volume = None
        for offered in (item.prebound,) if item.prebound is not None else item.candidates:
            if offered.metadata.name not in chosen and is_reachable(state, offered, node):
                volume = offered
                break
        if volume is not None:
            chosen.add(volume.metadata.name)
            bindings.append((item.claim, volume))
        elif _allows(state, _provisionable(item.storage_class), node):
            provisions.append(item.claim)
        else:
            return None
    return VolumeReservation(name, tuple(bindings), tuple(provisions))


def bindable_mask(state: ClusterState, wanted: PodVolumeClaims) -> Bool:
    """Where `choose_volumes` finds something for every claim, bool [nodes]."""
    items = wanted.to_bind
    out = np.ones(len(state.node_table), dtype=np.bool_)
    for item in items:
        if item.node:
            here = np.zeros_like(out)
            index = state.node_table.index.get(item.node)
            if index is not None:
                here[index] = True
            out &= here
    offers = [(item.prebound,) if item.prebound is not None else item.candidates for item in items]
    names = [volume.metadata.name for offer in offers for volume in offer]
    if len(set(names)) == len(names):  # no two claims compete for a volume
        for item, offer in zip(items, offers, strict=True):
            out &= reachable_mask(state, offer) | _any_of(state, (_provisionable(item.storage_class),))
        return out
    return out & _competing(state, items, offers)


def _competing(state: ClusterState, items: Sequence[ClaimToBind], offers: Sequence[Sequence[PersistentVolume]]) -> Bool:
    """Which claim gets which volume decides: tried once for all nodes that reach the same volumes."""
    catalog = state.volumes.catalog
    affinities = {catalog.affinity(volume): None for offer in offers for volume in offer}
    affinities |= {_provisionable(item.storage_class): None for item in items}
    reach = np.array([_any_of(state, (affinity,)) for affinity in affinities])
    _, first, alike = np.unique(np.packbits(reach, axis=0), axis=1, return_index=True, return_inverse=True)
    # Of claims whose volume is to be made for one node, `bindable_mask` knows: here that node stands for no other.
    free = PodVolumeClaims(to_bind=tuple(_anywhere(item) for item in items))
    verdicts = np.array([choose_volumes(state, free, node) is not None for node in first.tolist()], dtype=np.bool_)
    found: Bool = verdicts[alike.reshape(-1)]
    return found


def _anywhere(item: ClaimToBind) -> ClaimToBind:
    return ClaimToBind(item.claim, item.storage_class, item.prebound, item.candidates, "")


def _provisionable(storage_class: StorageClass) -> Affinity:
    """Where the class makes volumes, in the form of an affinity; () where nowhere."""
    if storage_class.provisioner in ("", NO_PROVISIONER):
        return ()
    topologies = storage_class.allowed_topologies
    if not topologies:
        return None
    return tuple(
        tuple(Requirement(each.key, "In", each.values) for each in term.match_label_expressions) for term in topologies
    )


def _allows(state: ClusterState, affinity: Affinity, node: int) -> bool:
    name, labels = state.node_table.names[node], state.node_table.labels[node]
    return affinity is None or any(all(each.holds_on(name, labels) for each in term) for term in affinity)


def _any_of(state: ClusterState, affinities: Iterable[Affinity]) -> Bool:
    """Where at least one of them allows it. Terms of one `In` each, as volumes' are, are taken together by label."""
    node_table = state.node_table
    n = len(node_table)
    out = np.zeros(n, dtype=np.bool_)
    values: dict[str, dict[str, None]] = {}
    for affinity in affinities:
        if affinity is None:
            out[:] = True
            return out
        for term in affinity:
            alone = _alone(term)
            if alone is None:
                out |= all_hold(term, node_table, slice(0, n))
            else:
                values.setdefault(alone.key, {}).update(dict.fromkeys(alone.values))
    for requirement in _joined(values):
        out |= requirement.mask(node_table, slice(0, n))
    return out


def _alone(term: tuple[Requirement, ...]) -> Requirement | None:
    return term[0] if len(term) == 1 and term[0].operator == "In" and not term[0].field else None


def _joined(values: dict[str, dict[str, None]]) -> Iterator[Requirement]:
    for key, allowed in values.items():
        yield Requirement(key, "In", tuple(allowed))
