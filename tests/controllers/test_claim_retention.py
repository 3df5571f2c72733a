"""Claims of a StatefulSet's pods: which go with their set, which with a pod that is scaled away, which stay."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.workloads.statefulset.controller import StatefulSetController
from harness.convergence.checkers import converged
from harness.engine.component import Update
from harness.model.core import Pod
from harness.model.meta import ObjectMeta, OwnerReference
from harness.model.objects import from_wire
from tests.controllers.rig import Rig
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


def by_hand() -> Rig:
    """A StatefulSet of one pod whose claim goes with it when it is scaled away."""
    rig = Rig(StatefulSetController())
    policy = {"whenDeleted": "Retain", "whenScaled": "Delete"}
    rig.create(from_wire(CLASS))
    rig.create(stateful_set(volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy, replicas=1))
    rig.run(5)
    rig.set_ready(rig.get("Pod", "db-0"))
    rig.run(5)
    return rig


def test_a_new_pod_is_not_made_before_the_claim_of_the_one_before_is_gone() -> None:
    rig = by_hand()
    claim, pod = rig.get("PersistentVolumeClaim", "data-db-0"), rig.get("Pod", "db-0")
    before = OwnerReference(api_version="v1", kind="Pod", name="db-0", uid="before")
    rig.do(Update(replace(claim, metadata=replace(claim.metadata, owner_references=(before,)))))
    rig.kubelet_kills(pod)
    rig.run(30)
    assert rig.pods() == []
    rig.delete("PersistentVolumeClaim", "data-db-0")
    rig.run(5)
    assert [item.metadata.name for item in rig.pods()] == ["db-0"]
    assert rig.get("PersistentVolumeClaim", "data-db-0").metadata.uid != claim.metadata.uid


def test_only_pods_that_live_and_have_an_ordinal_are_adopted() -> None:
    rig = by_hand()
    member = rig.get("Pod", "db-0")
    for name, phase in (("stray", ""), ("db-3", "Failed"), ("db-x", ""), ("db-2", "")):
        meta = ObjectMeta(name=name, namespace="default", labels=member.metadata.labels)
        made = rig.create(Pod(metadata=meta, spec=replace(member.spec, node_name="")))
        if phase:
            rig.finish(made, phase)
    rig.run(5)
    there = {item.metadata.name: item.metadata.controller() is not None for item in rig.pods()}
    assert {name: owned for name, owned in there.items() if name != "db-2"} == {
        "db-0": True,
        "db-3": False,
        "db-x": False,
        "stray": False,
    }
    adopted = [e.obj.metadata.name for _, e in rig.sent if isinstance(e, Update) and isinstance(e.obj, Pod)]
    assert adopted[0] == "db-2", "which is then scaled away"


def test_a_pod_that_is_selected_no_more_or_not_by_its_name_is_let_go() -> None:
    rig = by_hand()
    pod = rig.get("Pod", "db-0")
    owned = replace(pod.metadata, name="other-0", uid="", resource_version="", finalizers=("a/b",))
    rig.create(Pod(metadata=owned, spec=replace(pod.spec, node_name="")))
    rig.run(5)
    assert rig.get("Pod", "other-0").metadata.controller() is None
    rig.do(Update(replace(pod, metadata=replace(pod.metadata, labels={"app": "debugged"}))))
    rig.run(5)
    assert rig.get("Pod", "db-0").metadata.controller() is None
