"""Volumes as kube-scheduler 1.32 reads them, in plain loops over objects: slow, and easy to check.

Nothing here is shared with the implementation but the model's types. Source: plugins/volumebinding binder.go
FindPodVolumes, component-helpers/storage/volume FindMatchingVolume, plugins/volumezone, plugins/volumerestrictions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.model.core import Node
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass

OLD = "failure-domain.beta.kubernetes.io/"
NEW = "topology.kubernetes.io/"
SELECTED = "volume.kubernetes.io/selected-node"


@dataclass
class Storage:
    """`running`: the claims of pods that run. `taken`, `selected`: what was promised to pods on their way."""

    nodes: dict[str, Node] = field(default_factory=dict)
    claims: dict[str, PersistentVolumeClaim] = field(default_factory=dict)
    volumes: dict[str, PersistentVolume] = field(default_factory=dict)
    classes: dict[str, StorageClass] = field(default_factory=dict)
    running: list[list[str]] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)  # volume -> claim
    selected: dict[str, str] = field(default_factory=dict)  # claim -> node


def bound(claim: PersistentVolumeClaim) -> bool:
    return claim.spec.volume_name != "" and "pv.kubernetes.io/bind-completed" in claim.metadata.annotations


def before(world: Storage, names: list[str]) -> str:
    """Why no node is looked at. VolumeRestrictions comes first, and misses claims alone; then VolumeBinding."""
    for name in names:
        if name not in world.claims:
            return f'persistentvolumeclaim "{name}" not found'
    for name in names:
        claim = world.claims[name]
        if claim.status.phase == "Lost":
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
        if claim.metadata.deletion_timestamp is not None:
            return f'persistentvolumeclaim "{name}" is being deleted'
    for name in names:
        claim = world.claims[name]
        if not bound(claim):
            storage_class = world.classes.get(claim.spec.storage_class_name or "")
            waits = storage_class is not None and storage_class.volume_binding_mode == "WaitForFirstConsumer"
            if not waits or claim.spec.volume_name:
                return "pod has unbound immediate PersistentVolumeClaims"
    for name in names:
        claim = world.claims[name]
        if bound(claim) and claim.spec.volume_name not in world.volumes:
            return f'persistentvolume "{claim.spec.volume_name}" not found'
    return ""


def reaches(volume: PersistentVolume, node: Node) -> bool:
    if volume.spec.node_affinity is None or volume.spec.node_affinity.required is None:
        return True
    for term in volume.spec.node_affinity.required.node_selector_terms:
        met = bool(term.match_expressions)
        for requirement in term.match_expressions:
            value = node.metadata.labels.get(requirement.key)
            if requirement.operator == "In":
                met = met and value in requirement.values
            elif requirement.operator == "NotIn":
                met = met and (value is None or value not in requirement.values)
            else:
                raise AssertionError(requirement.operator)
        if met:
            return True
    return False


def size(amounts: dict[str, object]) -> int:
    return amounts["storage"].milli  # type: ignore[attr-defined, no-any-return]


def for_claim(world: Storage, volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    if volume.metadata.name in world.taken:
        return world.taken[volume.metadata.name] == claim.metadata.name
    reference = volume.spec.claim_ref
    return (
        reference is not None
        and (reference.namespace, reference.name) == ("default", claim.metadata.name)
        and reference.uid in ("", claim.metadata.uid)
    )


def match(world: Storage, claim: PersistentVolumeClaim, node: Node, excluded: list[str]) -> PersistentVolume | None:
    best: PersistentVolume | None = None
    reserved: list[PersistentVolume] = []
    for name in sorted(world.volumes):
        volume = world.volumes[name]
        if name in excluded or volume.spec.storage_class_name != claim.spec.storage_class_name:
            continue
        mine = for_claim(world, volume, claim)
        if (volume.spec.claim_ref is not None or name in world.taken) and not mine:
            continue
        if size(volume.spec.capacity) < size(claim.spec.resources.requests):  # type: ignore[arg-type]
            continue
        if volume.metadata.deletion_timestamp is not None:
            continue
        if mine:
            reserved.append(volume)
            continue
        if volume.status.phase != "Available" or not reaches(volume, node):
            continue
        if claim.spec.selector is not None and any(
            volume.metadata.labels.get(key) != value for key, value in claim.spec.selector.match_labels.items()
        ):
            continue
        if any(mode not in volume.spec.access_modes for mode in claim.spec.access_modes):
            continue
        if best is None or size(volume.spec.capacity) < size(best.spec.capacity):  # type: ignore[arg-type]
            best = volume
    if reserved:  # of several, where kube-scheduler takes any: the one promised, then the smallest
        first = min(reserved, key=lambda v: (v.metadata.name not in world.taken, size(v.spec.capacity)))  # type: ignore[arg-type]
        return first if reaches(first, node) else None
    return best


def found(world: Storage, names: list[str], node: Node) -> tuple[dict[str, str], list[str]] | None:
    """(claim -> volume, claims whose volume is to be made); None where some claim finds nothing."""
    waiting = [world.claims[name] for name in names if not bound(world.claims[name])]
    make, find = [], []
    for claim in waiting:
        selected = world.selected.get(claim.metadata.name) or claim.metadata.annotations.get(SELECTED)
        if selected:
            if selected != node.metadata.name:
                return None
            make.append(claim)
        else:
            find.append(claim)
    chosen: dict[str, str] = {}
    for claim in sorted(find, key=lambda claim: size(claim.spec.resources.requests)):  # type: ignore[arg-type]
        volume = match(world, claim, node, list(chosen.values()))
        if volume is None:
            make.append(claim)
        else:
            chosen[claim.metadata.name] = volume.metadata.name
    for claim in make:
        storage_class = world.classes[claim.spec.storage_class_name or ""]
        if storage_class.provisioner == "kubernetes.io/no-provisioner":
            return None
        terms = storage_class.allowed_topologies
        if terms and not any(
            all(node.metadata.labels.get(each.key) in each.values for each in term.match_label_expressions)
            for term in terms
        ):
            return None
    return chosen, [claim.metadata.name for claim in make]


def zone_fits(volume: PersistentVolume, node: Node) -> bool:
    labels = node.metadata.labels
    keys = [OLD + "zone", OLD + "region", NEW + "zone", NEW + "region"]
    if not any(key in labels for key in keys):
        return True
    for key in keys:
        if key in volume.metadata.labels:
            value = labels.get(key)
            if value is None and key.startswith(OLD):
                value = labels.get(key.replace(OLD, NEW))
            if value is None or value not in volume.metadata.labels[key].split("__"):
                return False
    return True


def reasons(world: Storage, names: list[str], node: Node) -> list[str]:
    """Of one node, those of the first plugin that refuses it. For pods that `before` lets pass."""
    used = [name for claims in world.running for name in claims]
    if any("ReadWriteOncePod" in world.claims[name].spec.access_modes and name in used for name in names):
        return ["node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"]
    theirs = [world.volumes[world.claims[name].spec.volume_name] for name in names if bound(world.claims[name])]
    out = []
    if not all(reaches(volume, node) for volume in theirs):
        out.append("node(s) had volume node affinity conflict")
    if found(world, names, node) is None:
        out.append("node(s) didn't find available persistent volumes to bind")
    if out:
        return out
    return [] if all(zone_fits(volume, node) for volume in theirs) else ["node(s) had no available volume zone"]
