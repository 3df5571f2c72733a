"""Claims of devices: one for each template that a pod names, freed once no pod uses them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.objects.resource_claim import FINALIZER, POD_CLAIM, ResourceClaimController
from harness.engine.component import Create, Delete, Update
from harness.model.core import Container
from harness.model.objects import from_wire, to_wire
from harness.model.status import ApiError
from tests.controllers.rig import Rig

DEVICES = {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}
ALLOCATION = {"devices": {"results": [{"request": "gpu", "driver": "d", "pool": "n", "device": "gpu-0"}]}}


@pytest.fixture
def rig() -> Rig:
    return Rig(ResourceClaimController())


def template() -> Any:
    return from_wire(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {"name": "one", "namespace": "default"},
            "spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": DEVICES}},
        }
    )


def claim(name: str = "shared") -> Any:
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "spec": {"devices": DEVICES}}
    return from_wire({**body, "metadata": {"name": name, "namespace": "default"}})


def pod(name: str = "p", **source: str) -> Any:
    named = {"name": "gpu", **(source or {"resourceClaimTemplateName": "one"})}
    containers = [{"name": "c", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}]
    return from_wire(
        {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": containers, "resourceClaims": [named]},
        }
    )


def claims(rig: Rig) -> list[dict[str, Any]]:
    return [to_wire(item) for item in rig.server.listed("ResourceClaim")]


def allocate(rig: Rig, name: str, *users: Any) -> None:
    """As kube-scheduler does: it protects the claim first, then says what it got and for whom."""
    held = rig.get("ResourceClaim", name)
    held = rig.do(Update(replace(held, metadata=replace(held.metadata, finalizers=(FINALIZER,)))))
    reserved = [{"resource": "pods", "name": u.metadata.name, "uid": u.metadata.uid} for u in users]
    status = {"allocation": ALLOCATION, "reservedFor": reserved}
    rig.do(Update(replace(held, extra={**held.extra, "status": status}), "status"))


@pytest.mark.parametrize("first", ["template", "pod"])
def test_a_template_becomes_a_claim_of_the_pod(rig: Rig, first: str) -> None:
    made = {"template": template, "pod": pod}
    for what in (first, *(name for name in made if name != first)):
        rig.create(made[what]())
        rig.settle()
    (found,) = claims(rig)
    owner = rig.get("Pod", "p").metadata
    assert found["metadata"]["name"].startswith("p-gpu-")
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["metadata"]["annotations"] == {POD_CLAIM: "gpu"}
    assert [(o["kind"], o["uid"], o["controller"]) for o in found["metadata"]["ownerReferences"]] == [
        ("Pod", owner.uid, True)
    ]
    assert found["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1
    status = to_wire(rig.get("Pod", "p"))["status"]
    assert status["resourceClaimStatuses"] == [{"name": "gpu", "resourceClaimName": found["metadata"]["name"]}]


def test_a_template_that_is_not_there_is_told(rig: Rig) -> None:
    rig.create(claim("other"))
    rig.create(pod())
    rig.settle()
    (event,) = rig.events("FailedResourceClaimCreation")
    assert event.message == (
        'PodResourceClaim gpu: resource claim template "one": resourceclaimtemplate.resource.k8s.io "one" not found'
    )


def test_a_claim_is_freed_when_its_last_pod_ends(rig: Rig) -> None:
    rig.create(claim())
    first, second = (rig.create(pod(name, resourceClaimName="shared")) for name in ("a", "b"))
    rig.settle()
    allocate(rig, "shared", first, second)
    rig.settle()
    rig.finish(first)
    rig.settle()
    status = to_wire(rig.get("ResourceClaim", "shared"))["status"]
    assert [item["name"] for item in status["reservedFor"]] == ["b"]
    assert status["allocation"]["devices"]["results"][0]["device"] == "gpu-0"
    rig.do(Delete("Pod", "default", "b", grace_s=0))
    rig.settle()
    freed = to_wire(rig.get("ResourceClaim", "shared"))
    assert not freed.get("status")
    assert not freed["metadata"].get("finalizers")


def test_a_claim_that_is_being_allocated_keeps_its_protection(rig: Rig) -> None:
    """kube-scheduler adds the finalizer in a request of its own, before it says what the claim got."""
    rig.create(claim())
    held = rig.get("ResourceClaim", "shared")
    rig.do(Update(replace(held, metadata=replace(held.metadata, finalizers=(FINALIZER,)))))
    rig.settle()
    assert rig.get("ResourceClaim", "shared").metadata.finalizers == (FINALIZER,)


def test_a_generated_claim_goes_with_its_pod_s_work(rig: Rig) -> None:
    rig.create(template())
    made = rig.create(pod())
    rig.settle()
    allocate(rig, claims(rig)[0]["metadata"]["name"], made)
    rig.settle()
    rig.finish(rig.get("Pod", "p"))
    rig.settle()
    assert claims(rig) == []


def test_a_pod_that_was_bound_past_the_scheduler_reserves_what_is_allocated(rig: Rig) -> None:
    rig.create(claim())
    bound = rig.bind(rig.create(pod(resourceClaimName="shared")), "n")
    rig.settle()
    allocate(rig, "shared")
    rig.settle()
    status = to_wire(rig.get("ResourceClaim", "shared"))["status"]
    assert [item["uid"] for item in status["reservedFor"]] == [bound.metadata.uid]


def test_a_reservation_of_a_pod_that_never_was_is_taken_back_once_it_cannot_be_on_its_way(rig: Rig) -> None:
    rig.create(claim())
    ghost = pod("ghost")
    allocate(rig, "shared", replace(ghost, metadata=replace(ghost.metadata, uid="no-such")))
    rig.run(2)
    assert to_wire(rig.get("ResourceClaim", "shared"))["status"]["reservedFor"]
    rig.run(10)
    assert not to_wire(rig.get("ResourceClaim", "shared")).get("status")


@pytest.mark.parametrize(
    ("pod_name", "name", "prefix"),
    [
        ("p", "gpu", "p-gpu-"),
        ("p" * 52, "gpu", "p" * 52 + "-gpu-"),
        ("p" * 53, "gpu", "p" * 52 + "-gp"),
        ("p" * 100, "g" * 20, "p" * 46 + "-" + "g" * 9),
    ],
)
def test_long_names_are_shortened_in_proportion(rig: Rig, pod_name: str, name: str, prefix: str) -> None:
    """Source: controller.go handleClaim, maxBaseLen 57: what is longer with both hyphens is cut."""
    rig.create(template())
    made = pod(pod_name)
    rig.create(
        replace(made, spec=replace(made.spec, containers=(Container(name="c", image="i"),), extra=claim_named(name)))
    )
    rig.settle()
    creations = [effect.obj.metadata.generate_name for _, effect in rig.sent if isinstance(effect, Create)]
    assert creations == [prefix]


def claim_named(name: str) -> dict[str, Any]:
    return {"resourceClaims": [{"name": name, "resourceClaimTemplateName": "one"}]}


def updates(rig: Rig) -> int:
    return sum(isinstance(effect, Update) for _, effect in rig.sent)


def test_a_pod_that_is_over_gets_no_claim_and_reserves_none(rig: Rig) -> None:
    ended = rig.finish(rig.create(pod()))
    rig.create(template())
    rig.settle()
    assert claims(rig) == []
    rig.create(claim())
    over = rig.finish(rig.create(pod("q", resourceClaimName="shared")))
    allocate(rig, "shared")
    rig.settle()
    assert not to_wire(rig.get("ResourceClaim", "shared"))["status"].get("reservedFor")
    assert (ended.status.phase, over.status.phase) == ("Succeeded", "Succeeded")


def test_a_pod_that_goes_before_it_has_a_node_frees_its_claim(rig: Rig) -> None:
    rig.create(claim())
    made = pod("p", resourceClaimName="shared")
    waiting = rig.create(replace(made, metadata=replace(made.metadata, finalizers=("a/b",))))
    allocate(rig, "shared", waiting)
    rig.settle()
    assert to_wire(rig.get("ResourceClaim", "shared"))["status"]["reservedFor"]
    rig.delete("Pod", "p")
    rig.settle()
    assert not to_wire(rig.get("ResourceClaim", "shared")).get("status")


def test_a_full_claim_is_reserved_for_nobody_more(rig: Rig) -> None:
    for room, expected in ((0, 256), (1, 256)):
        rig = Rig(ResourceClaimController())
        rig.create(claim())
        bound = rig.bind(rig.create(pod(resourceClaimName="shared")), "n")
        held = rig.get("ResourceClaim", "shared")
        others = [{"apiGroup": "x", "resource": "y", "name": f"o{i}", "uid": f"o{i}"} for i in range(256 - room)]
        rig.do(
            Update(
                replace(held, extra={**held.extra, "status": {"allocation": ALLOCATION, "reservedFor": others}}),
                "status",
            )
        )
        rig.settle()
        reserved = to_wire(rig.get("ResourceClaim", "shared"))["status"]["reservedFor"]
        assert len(reserved) == expected
        assert (reserved[-1]["uid"] == bound.metadata.uid) == bool(room)


def test_what_is_no_pod_keeps_its_reservation(rig: Rig) -> None:
    rig.create(claim())
    held = rig.get("ResourceClaim", "shared")
    users = [
        {"apiGroup": "example.com", "resource": "pods", "name": "x", "uid": "x"},
        {"resource": "widgets", "name": "y", "uid": "y"},
        {"resource": "pods", "name": "z", "uid": "z"},
    ]
    rig.do(
        Update(
            replace(held, extra={**held.extra, "status": {"allocation": ALLOCATION, "reservedFor": users}}), "status"
        )
    )
    rig.run(4)
    assert len(to_wire(rig.get("ResourceClaim", "shared"))["status"]["reservedFor"]) == 3
    rig.run(2)
    assert [u["uid"] for u in to_wire(rig.get("ResourceClaim", "shared"))["status"]["reservedFor"]] == ["x", "y"]
    assert updates(rig) == 1


def test_a_reservation_of_an_earlier_pod_of_the_name_is_taken_back_at_once(rig: Rig) -> None:
    rig.create(claim())
    made = rig.create(pod("p", resourceClaimName="shared"))
    rig.settle()
    allocate(rig, "shared", replace(made, metadata=replace(made.metadata, uid="before")), made)
    rig.run(1)
    status = to_wire(rig.get("ResourceClaim", "shared"))["status"]
    assert [item["uid"] for item in status["reservedFor"]] == [made.metadata.uid]


def test_a_deleted_claim_is_let_go_when_nobody_has_reserved_it(rig: Rig) -> None:
    rig.create(claim())
    user = rig.create(pod("p", resourceClaimName="shared"))
    allocate(rig, "shared", user)
    rig.settle()
    rig.do(Delete("ResourceClaim", "default", "shared"))
    rig.settle()
    assert to_wire(rig.get("ResourceClaim", "shared"))["status"]["allocation"]
    rig.finish(user)
    rig.settle()
    assert claims(rig) == []


def test_a_claim_that_somebody_deletes_is_made_anew_for_its_pod(rig: Rig) -> None:
    rig.create(template())
    rig.create(pod())
    rig.settle()
    (first,) = claims(rig)
    rig.do(Delete("ResourceClaim", "default", first["metadata"]["name"]))
    rig.settle()
    (second,) = claims(rig)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    status = to_wire(rig.get("Pod", "p"))["status"]
    assert status["resourceClaimStatuses"] == [{"name": "gpu", "resourceClaimName": second["metadata"]["name"]}]


def test_a_claim_that_cannot_be_made_is_told(rig: Rig) -> None:
    rig.refuse = lambda name, effect: ApiError(403, "Forbidden", "no") if isinstance(effect, Create) else None
    rig.create(template())
    rig.create(pod())
    rig.run(1)
    assert rig.events("FailedResourceClaimCreation")[0].message.startswith("PodResourceClaim: create ResourceClaim: ")
    rig.refuse = lambda name, effect: None
    rig.settle()
    assert len(claims(rig)) == 1
