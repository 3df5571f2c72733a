"""Volumes and claims: the words by which controller, provisioner and scheduler agree, and which volume suits a claim.

Source: k8s.io/component-helpers/storage/volume (v1.32): annotations.go, helpers.go, pv_helpers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from harness.model.core import ObjectReference, Pod, ResourceList
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
"""Where a claim or volume named its class before the field was there; it goes before the field."""
IS_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
NO_PROVISIONER = "kubernetes.io/no-provisioner"

WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


def claim_class(claim: PersistentVolumeClaim) -> str:
    """'' where it asks for none."""
    return claim.metadata.annotations.get(OLD_CLASS, claim.spec.storage_class_name or "")


def volume_class(volume: PersistentVolume) -> str:
    return volume.metadata.annotations.get(OLD_CLASS, volume.spec.storage_class_name)


def fully_bound(claim: PersistentVolumeClaim) -> bool:
    """Both sides of the binding are written."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """Of several, the youngest, then the first by name. Source: pkg/volume/util/storageclass.go GetDefaultClass."""
    marked = [item for item in classes if item.metadata.annotations.get(IS_DEFAULT_CLASS) == "true"]
    return min(marked, key=lambda item: (-(item.metadata.creation_timestamp or 0), item.metadata.name), default=None)


def storage_bytes(amounts: ResourceList) -> int:
    """Thousandths of a byte: only ever compared."""
    found = amounts.get("storage")
    return 0 if found is None else found.milli


def is_for(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """The volume is bound to the claim, or reserved for it. Source: IsVolumeBoundToClaim."""
    reference, meta = volume.spec.claim_ref, claim.metadata
    return (
        reference is not None
        and reference.name == meta.name
        and reference.namespace == meta.namespace
        and reference.uid in ("", meta.uid)
    )


def big_enough(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """In size and mode, and it stays."""
    return (
        storage_bytes(volume.spec.capacity) >= storage_bytes(claim.spec.resources.requests)
        and (volume.spec.volume_mode or "Filesystem") == (claim.spec.volume_mode or "Filesystem")
        and volume.metadata.deletion_timestamp is None
    )


def suits(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether a claim that is bound to nothing may take this volume, its nodes aside. Source: FindMatchingVolume."""
    selector = claim.spec.selector
    return (
        volume.spec.claim_ref is None
        and volume.status.phase == "Available"
        and big_enough(volume, claim)
        and (selector is None or selector.matches(volume.metadata.labels))
        and volume_class(volume) == claim_class(claim)
        and set(claim.spec.access_modes) <= set(volume.spec.access_modes)
    )


def smallest_first(volume: PersistentVolume) -> tuple[int, str]:
    """Where kube-scheduler takes any of equal ones, the first by name is taken here."""
    return storage_bytes(volume.spec.capacity), volume.metadata.name


def claim_reference(claim: PersistentVolumeClaim) -> ObjectReference:
    meta = claim.metadata
    return ObjectReference(
        kind="PersistentVolumeClaim",
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        api_version="v1",
        resource_version=meta.resource_version,
    )


def bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
    """The volume with the claim written into it. Source: GetBindVolumeToClaim."""
    annotations = volume.metadata.annotations
    if volume.spec.claim_ref is None:
        annotations = {**annotations, BOUND_BY_CONTROLLER: "yes"}
    return replace(
        volume,
        metadata=replace(volume.metadata, annotations=annotations),
        spec=replace(volume.spec, claim_ref=claim_reference(claim)),
    )


def ephemeral_name(pod: Pod, volume: Mapping[str, Any]) -> str:
    """The claim that is made for one volume of one pod. Source: component-helpers/storage/ephemeral VolumeClaimName."""
    return f"{pod.metadata.name}-{volume.get('name', '')}"


def claims_of(pod: Pod) -> tuple[str, ...]:
    """The pod's claims, 'namespace/name', in the order of its volumes; once for each volume that names it. Pods from
    files need not have been validated."""
    given = (pod.spec.extra or {}).get("volumes") or ()
    names: list[str] = []
    for volume in given if isinstance(given, list) else ():
        if not isinstance(volume, dict):
            continue
        if isinstance(volume.get("persistentVolumeClaim"), dict):
            names.append(str(volume["persistentVolumeClaim"].get("claimName", "")))
        elif "ephemeral" in volume:
            names.append(ephemeral_name(pod, volume))
    return tuple(f"{pod.metadata.namespace}/{name}" for name in names)
