"""What should be gone and is not: deleted objects, dependents of nothing, volumes of claims that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.convergence.cluster_state import KNOWN_FINALIZERS, ClusterState, on_dead_node
from harness.convergence.refusals import next_of_index_refused
from harness.engine.component import MINUTE, SECOND
from harness.model.attachments import may_be_shared, place_of
from harness.model.core import Pod
from harness.model.meta import OwnerReference, is_ready
from harness.model.objects import KINDS
from harness.model.volumes import claims_of

GRACE_SLACK_NS = MINUTE
"""Beyond its grace period an object may take so long to be gone: kubelet, API calls, retries."""


def terminating(state: ClusterState) -> Iterator[tuple[str, str]]:
    """What was deleted is gone, unless its node is dead, a foreign finalizer holds it, or it holds such things."""
    held_uids: set[str] = set()
    held_namespaces: set[str] = set()
    late: list[tuple[str, Any]] = []
    there = state.objects("Node")
    for kind in sorted(KINDS):
        for obj in state.listed(kind):
            meta = obj.metadata
            if any(name not in KNOWN_FINALIZERS for name in meta.finalizers) or (
                isinstance(obj, Pod) and meta.deletion_timestamp is not None and on_dead_node(state, obj, there)
            ):
                held_namespaces.add(meta.namespace)
                held_uids.update(owner.uid for owner in meta.owner_references)
            elif meta.deletion_timestamp is not None and meta.deletion_timestamp + GRACE_SLACK_NS < state.now:
                late.append((kind, obj))
    for kind, obj in late:
        meta = obj.metadata
        if kind == "Namespace" and meta.name in held_namespaces:
            continue
        if meta.uid in held_uids and "foregroundDeletion" in meta.finalizers:
            continue
        if isinstance(obj, Pod) and next_of_index_refused(state, obj):
            continue
        yield f"{kind} {meta.key}", f"terminating for {(state.now - meta.deletion_timestamp) // SECOND} s too long"


def orphans(state: ClusterState) -> Iterator[tuple[str, str]]:
    """What has lost all its owners is gone. Source: kubernetes.io/docs, "Garbage Collection"."""
    uids: set[str] = set()
    owned: list[tuple[str, Any, tuple[OwnerReference, ...]]] = []
    for kind in sorted(KINDS):
        for obj in state.listed(kind):
            uids.add(obj.metadata.uid)
            if obj.metadata.owner_references and obj.metadata.deletion_timestamp is None:
                owned.append((kind, obj, obj.metadata.owner_references))
    for kind, obj, owners in owned:
        if not any(owner.uid in uids for owner in owners):
            yield f"{kind} {obj.metadata.key}", f"its owner, {owners[0].kind} {owners[0].name}, is gone"


def volumes(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Claims and volumes agree on who belongs to whom; what was provisioned for a claim goes with it."""
    claims, there = state.objects("PersistentVolumeClaim"), state.objects("PersistentVolume")
    attached = {place_of(each)[0] for each in state.listed("VolumeAttachment")}
    for claim in state.listed("PersistentVolumeClaim"):
        name = claim.spec.volume_name
        volume = there.get(name) if name else None
        if volume is not None and volume.spec.claim_ref is not None and volume.spec.claim_ref.uid == claim.metadata.uid:
            if (claim.status.phase, volume.status.phase) != ("Bound", "Bound"):
                what = f"{claim.status.phase}, its volume {name} is {volume.status.phase}; both should be Bound"
                yield f"PersistentVolumeClaim {claim.metadata.key}", what
        elif name and volume is None and claim.status.phase != "Lost" and claim.metadata.deletion_timestamp is None:
            yield f"PersistentVolumeClaim {claim.metadata.key}", f"{claim.status.phase}, its volume {name} is gone"
    for volume in state.listed("PersistentVolume"):
        ref = volume.spec.claim_ref
        if ref is None or not ref.uid:
            continue
        claim = claims.get(f"{ref.namespace}/{ref.name}")
        if claim is None or claim.metadata.uid != ref.uid:
            delete = volume.spec.persistent_volume_reclaim_policy == "Delete"
            if volume.metadata.name in attached:
                continue  # it goes when it is detached
            if delete and "pv.kubernetes.io/provisioned-by" in volume.metadata.annotations:
                yield f"PersistentVolume {volume.metadata.name}", "its claim is gone, it should be deleted"
            elif volume.status.phase not in ("Released", "Failed"):
                yield f"PersistentVolume {volume.metadata.name}", f"{volume.status.phase}, its claim is gone"


def attachments(state: ClusterState) -> Iterator[tuple[str, str]]:
    """A volume is attached where a pod uses it, and to one node alone unless it may be shared. One that is unused stays
    on a node that is not ready until it is detached by force."""
    there, nodes = state.objects("PersistentVolume"), state.objects("Node")
    used = {(key, pod.spec.node_name) for pod in state.listed("Pod") for key in claims_of(pod)}
    seen: dict[str, str] = {}
    for attachment in state.listed("VolumeAttachment"):
        name, node, _ = place_of(attachment)
        volume, host = there.get(name), nodes.get(node)
        if volume is None or volume.spec.claim_ref is None:
            continue
        if not may_be_shared(volume) and seen.setdefault(name, node) != node:
            yield f"PersistentVolume {name}", f"attached to {seen[name]} and to {node}"
        claim = f"{volume.spec.claim_ref.namespace}/{volume.spec.claim_ref.name}"
        if host is not None and is_ready(host.status.conditions) and (claim, node) not in used:
            yield f"PersistentVolume {name}", f"attached to {node}, where no pod uses it"
