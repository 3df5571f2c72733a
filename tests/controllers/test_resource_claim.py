"""Claims of devices: one for each template that a pod names, freed once no pod uses them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.objects.resource_claim import FINALIZER, POD_CLAIM, ResourceClaimController
from harness.engine.component import Delete, Update
from harness.model.objects import from_wire, to_wire
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
