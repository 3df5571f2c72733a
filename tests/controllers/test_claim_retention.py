"""Claims of a StatefulSet's pods: which go with their set, which with a pod that is scaled away, which stay."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.convergence.checkers import converged
from harness.model.meta import OwnerReference
from harness.model.objects import from_wire
from tests.controllers.test_statefulset import CLAIM, CLASS, Story, stateful_set


def with_claims(deleted: str, scaled: str, **spec: Any) -> Story:
    story = Story()
    story.server.create(from_wire(CLASS))
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    spec = {"replicas": 2, "podManagementPolicy": "Parallel", **spec}
    made = stateful_set(volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy, **spec)
    story.server.create(made)
    story.run(60)
    assert story.ready() == ["db-0", "db-1"]
    return story


def owners_of_claims(story: Story) -> dict[str, list[str]]:
    """The kinds of owners that each claim has."""
    return {
        name.rpartition("/")[2]: [ref.kind for ref in claim.metadata.owner_references]
        for name, claim in sorted(story.server.objects("PersistentVolumeClaim").items())
    }


@pytest.mark.parametrize("ordered", ["Parallel", "OrderedReady"])
@pytest.mark.parametrize("scaled", ["Retain", "Delete"])
@pytest.mark.parametrize("deleted", ["Retain", "Delete"])
def test_claims_go_or_stay_as_the_retention_policy_says(deleted: str, scaled: str, ordered: str) -> None:
    story = with_claims(deleted, scaled, podManagementPolicy=ordered)
    owners = ["StatefulSet"] if deleted == "Delete" else []
    assert owners_of_claims(story) == {"data-db-0": owners, "data-db-1": owners}
    assert converged(story.cluster) == []
    story.change(replicas=1)
    story.run(60)
    assert sorted(owners_of_claims(story)) == (["data-db-0"] if scaled == "Delete" else ["data-db-0", "data-db-1"])
    story.change(replicas=2)
    story.run(60)
    assert story.ready() == ["db-0", "db-1"]
    assert owners_of_claims(story) == {"data-db-0": owners, "data-db-1": owners}
    story.server.delete("StatefulSet", "default", "db", propagation="Background")
    story.run(90)
    assert sorted(owners_of_claims(story)) == ([] if deleted == "Delete" else ["data-db-0", "data-db-1"])
    assert len(story.server.objects("PersistentVolume")) == len(owners_of_claims(story))


def test_another_retention_policy_is_followed_at_once_and_strangers_claims_are_left_alone() -> None:
    story = with_claims("Retain", "Retain")
    before = story.server.get("PersistentVolumeClaim", "default", "data-db-1")
    stranger = OwnerReference(api_version="v1", kind="ConfigMap", name="x", uid="x", controller=True)
    story.server.create(from_wire({"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}))
    stranger = replace(stranger, uid=story.server.get("ConfigMap", "default", "x").metadata.uid)
    story.server.update(replace(before, metadata=replace(before.metadata, owner_references=(stranger,))))
    policy = story.get().spec.persistent_volume_claim_retention_policy
    assert policy is not None
    story.change(persistent_volume_claim_retention_policy=replace(policy, when_deleted="Delete"))
    story.run(10)
    assert owners_of_claims(story) == {"data-db-0": ["StatefulSet"], "data-db-1": ["ConfigMap"]}
    story.change(persistent_volume_claim_retention_policy=policy)
    story.run(10)
    assert owners_of_claims(story) == {"data-db-0": [], "data-db-1": ["ConfigMap"]}


def test_a_new_pod_waits_for_the_claim_of_the_one_before_it_to_be_gone() -> None:
    """Scaled down and up again while the claim still goes with the pod that was scaled away."""
    story = with_claims("Retain", "Delete")
    claim = story.server.get("PersistentVolumeClaim", "default", "data-db-1")
    held = replace(claim, metadata=replace(claim.metadata, finalizers=(*claim.metadata.finalizers, "example.com/held")))
    story.server.update(held)
    story.change(replicas=1)
    story.run(40)
    story.change(replicas=2)
    story.run(60)
    assert story.ready() == ["db-0"]
    assert owners_of_claims(story)["data-db-1"] == ["Pod"]
    claim = story.server.get("PersistentVolumeClaim", "default", "data-db-1")
    story.server.update(replace(claim, metadata=replace(claim.metadata, finalizers=())))
    story.run(60)
    assert story.ready() == ["db-0", "db-1"]
    assert owners_of_claims(story) == {"data-db-0": [], "data-db-1": []}


def test_owners_that_control_nothing_stay_beside_the_set() -> None:
    """They neither keep the controller off nor are replaced by it."""
    story = with_claims("Retain", "Retain")
    story.server.create(from_wire({"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}))
    uid = story.server.get("ConfigMap", "default", "x").metadata.uid
    beside = OwnerReference(api_version="v1", kind="ConfigMap", name="x", uid=uid)
    before = story.server.get("PersistentVolumeClaim", "default", "data-db-0")
    story.server.update(replace(before, metadata=replace(before.metadata, owner_references=(beside,))))
    policy = story.get().spec.persistent_volume_claim_retention_policy
    assert policy is not None
    story.change(persistent_volume_claim_retention_policy=replace(policy, when_deleted="Delete"))
    story.run(10)
    assert owners_of_claims(story) == {"data-db-0": ["ConfigMap", "StatefulSet"], "data-db-1": ["StatefulSet"]}
    story.change(persistent_volume_claim_retention_policy=policy)
    story.run(10)
    assert owners_of_claims(story) == {"data-db-0": ["ConfigMap"], "data-db-1": []}
