"""Whom the claims of a StatefulSet's pods belong to, so that they go with their set, or with a pod that is scaled away.

Source: pkg/controller/statefulset/stateful_set_utils.go isClaimOwnerUpToDate, updateClaimOwnerRefForSetAndPod,
hasUnexpectedController, hasStaleOwnerRef; stateful_pod_control.go PodClaimIsStale (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from harness.controllers.runtime.pods import owner_reference
from harness.controllers.workloads.statefulset.identity import claims_for, ordinal_of, pod_name
from harness.model.core import Pod
from harness.model.meta import OwnerReference
from harness.model.storage import PersistentVolumeClaim
from harness.model.workloads import StatefulSet

DELETE = "Delete"
"""Source: apps/v1 DeletePersistentVolumeClaimRetentionPolicyType."""


def policy_of(stateful_set: StatefulSet) -> tuple[bool, bool]:
    """Whether claims go when the set is deleted, and when their pod is scaled away."""
    policy = stateful_set.spec.persistent_volume_claim_retention_policy
    return (False, False) if policy is None else (policy.when_deleted == DELETE, policy.when_scaled == DELETE)


def owners_of(stateful_set: StatefulSet, pod: Pod, *, scaled_away: bool) -> tuple[OwnerReference, ...]:
    """The references that a claim of the pod should have, of those that are the controller's to give."""
    deleted, scaled = policy_of(stateful_set)
    if scaled and scaled_away:
        return (owner_reference(pod, "v1", "Pod"),)
    return (owner_reference(stateful_set, "apps/v1", "StatefulSet"),) if deleted else ()


def reassigned(
    claim: PersistentVolumeClaim, stateful_set: StatefulSet, pod: Pod, *, scaled_away: bool
) -> PersistentVolumeClaim | None:
    """The claim with the owners that it should have; None where it has them, or is not the controller's to change: it
    goes with an earlier set or pod of the name, or is controlled by something else."""
    refs = claim.metadata.owner_references
    mine = [ref for ref in refs if _names(ref, stateful_set, pod)]
    if any(ref.uid not in (stateful_set.metadata.uid, pod.metadata.uid) for ref in mine):
        return None
    others = tuple(ref for ref in refs if ref not in mine)
    wanted = owners_of(stateful_set, pod, scaled_away=scaled_away)
    if any(policy_of(stateful_set)) and any(ref.controller for ref in others):
        wanted = ()
    if tuple(mine) == wanted:
        return None
    return replace(claim, metadata=replace(claim.metadata, owner_references=(*others, *wanted)))


def reassigned_claims(
    stateful_set: StatefulSet, pod: Pod, there: Mapping[str, PersistentVolumeClaim], *, scaled_away: bool
) -> list[PersistentVolumeClaim]:
    """Of the pod's claims those that are to belong to others than they do."""
    if not stateful_set.spec.volume_claim_templates:
        return []
    found = [there.get(item.metadata.key) for item in claims_for(stateful_set, ordinal_of(stateful_set, pod) or 0)]
    new = [reassigned(claim, stateful_set, pod, scaled_away=scaled_away) for claim in found if claim is not None]
    return [claim for claim in new if claim is not None]


def stale_claims(stateful_set: StatefulSet, ordinal: int, there: Mapping[str, PersistentVolumeClaim]) -> list[str]:
    """Keys of claims that a new pod of the ordinal waits for to be gone. Source: PodClaimIsStale."""
    name = pod_name(stateful_set, ordinal)
    if not policy_of(stateful_set)[1]:
        return []
    found = (there.get(item.metadata.key) for item in claims_for(stateful_set, ordinal))
    return [claim.metadata.key for claim in found if claim is not None and is_stale(claim, stateful_set, name)]


def is_stale(claim: PersistentVolumeClaim, stateful_set: StatefulSet, pod_name: str) -> bool:
    """Whether it is about to go with a pod that had the name before, so that a new one waits for it to be gone."""
    return policy_of(stateful_set)[1] and any(
        ref.kind == "Pod" and ref.name == pod_name for ref in claim.metadata.owner_references
    )


def _names(ref: OwnerReference, stateful_set: StatefulSet, pod: Pod) -> bool:
    if ref.kind == "Pod":
        return ref.name == pod.metadata.name
    return ref.kind == "StatefulSet" and ref.name == stateful_set.metadata.name and ref.api_version.startswith("apps/")
