"""The garbage collector: who goes when an owner goes, and what an owner waits for."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.objects.garbage_collector import GarbageCollector
from harness.engine.component import Delete, Update
from harness.model.core import Pod
from harness.model.meta import ObjectMeta, OwnerReference
from harness.model.status import ApiError
from harness.model.workloads import ReplicaSet, ReplicaSetSpec
from tests.controllers.rig import Rig, selector, template


@pytest.fixture
def rig() -> Rig:
    return Rig(GarbageCollector())


def owner(rig: Rig, name: str) -> ReplicaSet:
    spec = ReplicaSetSpec(replicas=0, selector=selector(app=name), template=template(app=name))
    made: ReplicaSet = rig.create(ReplicaSet(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
    return made


def reference(obj: Any, *, blocks: bool | None = None, uid: str = "") -> OwnerReference:
    meta = obj.metadata
    return OwnerReference(
        api_version="apps/v1", kind="ReplicaSet", name=meta.name, uid=uid or meta.uid, block_owner_deletion=blocks
    )


def owned(rig: Rig, name: str, *owners: OwnerReference) -> Pod:
    meta = ObjectMeta(name=name, namespace="default", owner_references=owners)
    made: Pod = rig.create(Pod(metadata=meta, spec=template().spec))
    return made


def names(rig: Rig, kind: str = "Pod") -> list[str]:
    return sorted(obj.metadata.name for obj in rig.server.listed(kind) if obj.metadata.deletion_timestamp is None)


def delete(rig: Rig, name: str, propagation: str) -> None:
    rig.do(Delete("ReplicaSet", "default", name, propagation=propagation))


def test_with_two_owners_it_stays_as_long_as_one_is_there(rig: Rig) -> None:
    a, b = owner(rig, "a"), owner(rig, "b")
    owned(rig, "both", reference(a), reference(b))
    owned(rig, "one", reference(a))
    rig.run(10)
    delete(rig, "a", "Background")
    rig.run(1)
    assert names(rig) == ["both"]
    rig.run(60)
    assert names(rig) == ["both"]
    delete(rig, "b", "Background")
    rig.run(1)
    assert names(rig) == []


def test_what_changed_hands_goes_with_its_new_owner(rig: Rig) -> None:
    a, b = owner(rig, "a"), owner(rig, "b")
    pod = owned(rig, "p", reference(a))
    rig.run(1)
    rig.do(Update(replace(pod, metadata=replace(pod.metadata, owner_references=(reference(b),)))))
    rig.run(1)
    delete(rig, "a", "Foreground")
    rig.run(1)
    assert names(rig, "ReplicaSet") == ["b"], "it waits for no pod that is not its own any more"
    assert rig.server.listed("ReplicaSet") == [rig.get("ReplicaSet", "b")]
    rig.run(60)
    assert names(rig) == ["p"]
    delete(rig, "b", "Background")
    rig.run(1)
    assert names(rig) == []


def test_what_has_no_owner_any_more_stays(rig: Rig) -> None:
    a = owner(rig, "a")
    pod = owned(rig, "p", reference(a))
    rig.run(1)
    rig.do(Update(replace(pod, metadata=replace(pod.metadata, owner_references=()))))
    rig.run(1)
    delete(rig, "a", "Background")
    rig.run(60)
    assert names(rig) == ["p"]


def test_an_owner_that_nobody_has_seen_may_still_turn_up_for_five_seconds(rig: Rig) -> None:
    """Watches of different kinds are not ordered."""
    ghost = replace(owner(rig, "a"), metadata=ObjectMeta(name="ghost"))
    owned(rig, "p", reference(ghost, uid="not-there"))
    rig.run(4.9)
    assert names(rig) == ["p"]
    rig.run(0.5)
    assert names(rig) == []


def test_an_owner_of_the_same_name_is_another_one(rig: Rig) -> None:
    first = owner(rig, "a")
    owned(rig, "p", reference(first))
    rig.run(1)
    delete(rig, "a", "Background")
    owner(rig, "a")
    rig.run(1)
    assert names(rig) == []


def test_an_owner_of_a_kind_that_is_not_watched_may_be_there(rig: Rig) -> None:
    made = OwnerReference(api_version="example.com/v1", kind="Widget", name="w", uid="w-1")
    owned(rig, "p", made)
    rig.run(60)
    assert names(rig) == ["p"]


def test_in_the_foreground_an_owner_waits_for_those_that_block_it(rig: Rig) -> None:
    a = owner(rig, "a")
    blocking = owned(rig, "blocking", reference(a, blocks=True))
    free = owned(rig, "free", reference(a))
    for pod in (blocking, free):
        rig.set_ready(pod)
    rig.run(1)
    delete(rig, "a", "Foreground")
    rig.run(1)
    assert names(rig) == [], "both are told to go"
    assert len(rig.server.listed("ReplicaSet")) == 1
    rig.kubelet_kills(blocking)
    rig.run(1)
    assert rig.server.listed("ReplicaSet") == [], "the one that does not block it may take its time"
    assert [pod.metadata.name for pod in rig.server.listed("Pod")] == ["free"]


def test_orphaned_they_lose_the_reference_to_this_owner_alone(rig: Rig) -> None:
    a, b = owner(rig, "a"), owner(rig, "b")
    owned(rig, "p", reference(a), reference(b))
    rig.run(1)
    delete(rig, "a", "Orphan")
    rig.run(2)
    assert names(rig, "ReplicaSet") == ["b"]
    assert [ref.name for ref in rig.get("Pod", "p").metadata.owner_references] == ["b"]


def test_what_could_not_be_deleted_is_deleted_later(rig: Rig) -> None:
    a = owner(rig, "a")
    owned(rig, "p", reference(a))
    rig.run(1)
    rig.refuse = lambda name, effect: ApiError(500, "InternalError", "no") if isinstance(effect, Delete) else None
    delete(rig, "a", "Background")
    rig.run(2)
    assert names(rig) == ["p"]
    rig.refuse = lambda name, effect: None
    rig.run(60)
    assert names(rig) == []


def test_when_all_is_done_nothing_is_written(rig: Rig) -> None:
    a = owner(rig, "a")
    owned(rig, "p", reference(a))
    rig.run(10)
    rig.sent.clear()
    rig.run(3600)
    assert rig.sent == []
