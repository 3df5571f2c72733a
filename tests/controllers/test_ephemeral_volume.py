"""Claims for ephemeral volumes: one each, owned by the pod, and made again as long as the pod lives."""

from __future__ import annotations

from typing import Any

import pytest

from harness.controllers.storage.ephemeral_volume import EphemeralVolumeController
from harness.engine.component import Delete
from harness.model.objects import from_wire
from harness.model.storage import PersistentVolumeClaim
from tests.controllers.rig import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig(EphemeralVolumeController())


STORAGE_CLASS = {"kind": "StorageClass", "metadata": {"name": "late"}, "provisioner": "x.csi"}


def pod(name: str = "p") -> Any:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"labels": {"of": name}}, "spec": {**spec, "storageClassName": "late"}}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "w", "emptyDir": {}}]
    return from_wire(
        {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": volumes},
        }
    )


def claims(rig: Rig) -> list[PersistentVolumeClaim]:
    return [claim for claim in rig.server.listed("PersistentVolumeClaim") if not claim.metadata.deletion_timestamp]


def remove(rig: Rig, claim: PersistentVolumeClaim) -> None:
    rig.do(Delete("PersistentVolumeClaim", "default", claim.metadata.name))


def test_a_claim_is_made_as_the_template_says_and_owned_by_the_pod(rig: Rig) -> None:
    rig.create(from_wire(STORAGE_CLASS))
    made = rig.create(pod())
    rig.run(1)
    (claim,) = claims(rig)
    assert claim.metadata.name == "p-v"
    assert claim.metadata.labels == {"of": "p"}
    assert claim.spec.storage_class_name == "late"
    (owner,) = claim.metadata.owner_references
    assert (owner.kind, owner.uid, owner.controller) == ("Pod", made.metadata.uid, True)


def test_a_pod_that_was_there_before_the_class_gets_its_claim(rig: Rig) -> None:
    rig.create(pod())
    rig.run(1)
    rig.create(from_wire(STORAGE_CLASS))
    rig.create(from_wire({**STORAGE_CLASS, "metadata": {"name": "other"}}))
    rig.run(1)
    assert [claim.metadata.name for claim in claims(rig)] == ["p-v"]


def test_a_claim_that_goes_comes_again_while_its_pod_lives(rig: Rig) -> None:
    rig.create(from_wire(STORAGE_CLASS))
    lives, ended = rig.create(pod("lives")), rig.create(pod("ended"))
    rig.run(1)
    rig.finish(ended)
    rig.set_ready(lives)
    before = {claim.metadata.uid for claim in claims(rig)}
    assert len(before) == 2
    for claim in claims(rig):
        remove(rig, claim)
    rig.run(1)
    (claim,) = claims(rig)
    assert claim.metadata.name == "lives-v"
    assert claim.metadata.uid not in before
    rig.delete("Pod", "lives")
    remove(rig, claim)
    rig.run(1)
    assert claims(rig) == []
