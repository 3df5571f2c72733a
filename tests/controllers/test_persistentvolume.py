"""The binder of claims and the provisioner: which volume a claim gets, and what becomes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.storage.persistent_volume import PersistentVolumeController
from harness.controllers.storage.provisioner import ProvisionerController, name_hash
from harness.engine.component import Update
from harness.model.objects import from_wire
from harness.model.storage import PersistentVolume, PersistentVolumeClaim
from harness.model.volumes import BOUND_BY_CONTROLLER, IS_DEFAULT_CLASS, SELECTED_NODE, ZONE
from tests.controllers.rig import Rig
from tests.examples import examples
from tests.experiment.test_volumes import claim, storage_class, volume


def rig(*objects: Any) -> Rig:
    made = Rig(PersistentVolumeController(), ProvisionerController())
    put(made, *objects)
    made.run(5)
    return made


def put(made: Rig, *objects: Any) -> None:
    for obj in objects:
        made.create(from_wire(obj))


def claim_of(made: Rig, name: str = "c") -> PersistentVolumeClaim:
    found: PersistentVolumeClaim = made.get("PersistentVolumeClaim", name)
    return found


def volume_of(made: Rig, name: str) -> PersistentVolume:
    found: PersistentVolume = made.get("PersistentVolume", name, "")
    return found


@settings(max_examples=examples(60), deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    asked=st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_each_claim_gets_a_volume_of_its_own_that_is_large_enough(sizes: list[int], asked: list[int]) -> None:
    made = rig(*(volume(f"v{index}", "", f"{size}Gi") for index, size in enumerate(sizes)))
    left = dict(enumerate(sizes))
    for index, size in enumerate(asked):
        put(made, claim(f"c{index}", "", f"{size}Gi"))
        made.run(5)
        found = claim_of(made, f"c{index}")
        fits = [(there, number) for number, there in left.items() if there >= size]
        assert found.spec.volume_name == (f"v{min(fits)[1]}" if fits else "")
        assert found.status.phase == ("Bound" if fits else "Pending")
        if fits:
            del left[min(fits)[1]]
    assert all(volume_of(made, f"v{number}").status.phase == "Available" for number in left)


def test_claims_that_come_at_once_do_not_share() -> None:
    made = rig(*(volume(f"v{index}") for index in range(3)), *(claim(f"c{index}", "") for index in range(4)))
    made.run(60)
    given = [claim_of(made, f"c{index}").spec.volume_name for index in range(4)]
    assert sorted(given) == ["", "v0", "v1", "v2"]


def test_a_volume_that_comes_later_is_found_at_the_next_resync() -> None:
    made = rig(claim("c", ""))
    assert [event.reason for event in made.events("FailedBinding")] == ["FailedBinding"]
    put(made, volume("v"))
    made.run(5)
    assert claim_of(made).spec.volume_name == ""
    made.run(15)
    assert claim_of(made).spec.volume_name == "v"


def test_class_access_modes_and_selector_must_fit() -> None:
    made = rig(
        storage_class("now", "kubernetes.io/no-provisioner", "Immediate"),
        volume("another-class", "late"),
        volume("no-class"),
        volume("read-only", "now", accessModes=["ReadOnlyMany"]),
        {**volume("slow", "now"), "metadata": {"name": "slow", "labels": {"tier": "slow"}}},
        {**volume("fast", "now", "5Gi"), "metadata": {"name": "fast", "labels": {"tier": "fast"}}},
        claim("c", "now", selector={"matchLabels": {"tier": "fast"}}),
    )
    made.run(15)  # it came before they were Available
    assert claim_of(made).spec.volume_name == "fast"


def test_a_volume_may_be_kept_for_a_claim_and_a_claim_may_name_its_volume() -> None:
    made = rig(
        volume("a-small"),
        volume("kept", storage="9Gi", claimRef={"namespace": "default", "name": "c"}),
        volume("named", storage="8Gi"),
        claim("c", ""),
        claim("d", "", volumeName="named"),
    )
    assert claim_of(made, "c").spec.volume_name == "kept"
    assert BOUND_BY_CONTROLLER not in volume_of(made, "kept").metadata.annotations
    assert claim_of(made, "d").spec.volume_name == "named"
    assert BOUND_BY_CONTROLLER not in claim_of(made, "d").metadata.annotations
    assert claim_of(made, "d").status.phase == "Bound"
    assert volume_of(made, "a-small").status.phase == "Available"


def test_a_volume_that_is_too_small_for_the_claim_that_names_it_is_told() -> None:
    made = rig(volume("v"), claim("c", "", "2Gi", volumeName="v"))
    assert claim_of(made).status.phase == "Pending"
    (event,) = made.events("VolumeMismatch")
    assert event.message == 'Cannot bind to requested volume "v": requested PV is too small'


def test_a_claim_without_its_volume_is_lost_and_a_volume_without_its_claim_released() -> None:
    made = rig(volume("v"), volume("w"), claim("c", "", volumeName="v"), claim("d", "", volumeName="w"))
    made.server.delete("PersistentVolume", "", "v")
    made.api.flush(made.now)
    made.delete("PersistentVolumeClaim", "d")
    made.run(5)
    assert claim_of(made).status.phase == "Lost"
    assert volume_of(made, "w").status.phase == "Released"
    put(made, claim("d", ""))
    made.run(20)
    assert claim_of(made, "d").spec.volume_name == "", "what is released is not given to another"


def test_the_default_class_is_given_by_admission_or_later() -> None:
    made = rig(claim("early", None), storage_class("plain"))
    assert claim_of(made, "early").spec.storage_class_name is None
    marked = storage_class(
        "usual", "d", "Immediate", metadata={"name": "usual", "annotations": {IS_DEFAULT_CLASS: "true"}}
    )
    put(made, marked, claim("late", None), claim("none", ""))
    assert claim_of(made, "late").spec.storage_class_name == "usual"
    made.run(30)
    assert claim_of(made, "early").spec.storage_class_name == "usual"
    assert claim_of(made, "none").spec.storage_class_name == ""
    assert claim_of(made, "early").status.phase == "Bound"


def test_a_provisioner_waits_for_the_node_and_gives_up_one_that_is_gone() -> None:
    made = rig(storage_class("late", "disk.csi"), claim("c"))
    made.node("n", "z")
    made.run(60)
    assert made.events("Provisioning") == []
    found = claim_of(made)
    meta = replace(found.metadata, annotations={**found.metadata.annotations, SELECTED_NODE: "gone"})
    made.do(Update(replace(found, metadata=meta)))
    made.run(10)
    found = claim_of(made)
    assert SELECTED_NODE not in found.metadata.annotations
    assert [event.message for event in made.events("ProvisioningFailed")] == [
        'failed to get target node: node "gone" not found'
    ]
    meta = replace(found.metadata, annotations={**found.metadata.annotations, SELECTED_NODE: "n"})
    made.do(Update(replace(found, metadata=meta)))
    made.run(10)
    found = claim_of(made)
    there = volume_of(made, found.spec.volume_name)
    assert there.spec.node_affinity is not None
    assert there.spec.node_affinity.required is not None
    (expression,) = there.spec.node_affinity.required.node_selector_terms[0].match_expressions
    assert (expression.key, expression.values) == (ZONE, ("z",))
    assert there.spec.persistent_volume_reclaim_policy == "Delete"


def test_volumes_are_made_where_the_class_allows_when_nobody_chose() -> None:
    made = rig()
    for zone in "abc":
        made.node(f"n-{zone}", zone)
    allowed = [{"matchLabelExpressions": [{"key": ZONE, "values": ["b"]}]}]
    put(
        made,
        storage_class("now", mode="Immediate", allowedTopologies=allowed),
        *(claim(f"c-{i}", "now") for i in range(3)),
    )
    made.run(20)
    zones = set()
    for index in range(3):
        affinity = volume_of(made, claim_of(made, f"c-{index}").spec.volume_name).spec.node_affinity
        assert affinity is not None
        assert affinity.required is not None
        zones |= {affinity.required.node_selector_terms[0].match_expressions[0].values}
    assert zones == {("b",)}


def test_a_volume_is_kept_where_the_class_retains_it_and_survives_a_restart_of_its_controllers() -> None:
    binder, provisioner = PersistentVolumeController(), ProvisionerController()
    made = Rig(binder, provisioner)
    made.node("n", "z")
    put(made, storage_class("now", mode="Immediate", reclaimPolicy="Retain"), claim("c", "now"))
    made.run(1)
    made.start(binder)
    made.start(provisioner)
    made.run(30)
    name = claim_of(made).spec.volume_name
    assert name
    made.delete("PersistentVolumeClaim", "c")
    made.run(5)
    assert volume_of(made, name).status.phase == "Released"


def test_names_are_hashed_as_the_external_provisioner_hashes_them() -> None:
    """FNV-1, 32 bit: the published offset basis is the hash of nothing; 'a' is a published vector."""
    assert name_hash("")[0] == 0x811C9DC5
    assert name_hash("a") == (0x050C5D7E, 0)
    assert name_hash("data-web-3") == (name_hash("web")[0], 3)
    assert name_hash("logs-web-3") == name_hash("data-web-3"), "the claims of one pod go to one zone"
