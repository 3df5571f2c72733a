"""resource.k8s.io in each version that a kube-scheduler of 1.32 to 1.34 asks for: one object, three shapes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.http import protobuf
from harness.apiserver.http.call import outward
from harness.apiserver.http.protobuf_answers import encode
from harness.apiserver.http.resources import resources
from harness.apiserver.registry.dynamic_resources import from_beta1, to_beta1
from harness.model.objects import from_wire
from tests.controllers.test_statefulset import Story

EXACT = {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 2}
REQUESTS = [
    {"name": "gpu", "exactly": EXACT},
    {"name": "any", "firstAvailable": [{"name": "big", "deviceClassName": "big.example.com"}]},
]
DEVICE = {"attributes": {"model": {"string": "A"}}, "capacity": {"memory": {"value": "4Gi"}}}


def spec_of(kind: str) -> dict[str, Any]:
    claim = {"devices": {"requests": REQUESTS}}
    match kind:
        case "ResourceClaim":
            return claim
        case "ResourceClaimTemplate":
            return {"spec": claim}
        case "ResourceSlice":
            pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
            return {"driver": "d", "nodeName": "n", "pool": pool, "devices": [{"name": "gpu-0", **DEVICE}]}
        case _:
            return {"selectors": [{"cel": {"expression": "true"}}]}


def stored(kind: str) -> Any:
    return from_wire(
        {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec_of(kind)}
    )


KINDS = ("ResourceClaim", "ResourceClaimTemplate", "ResourceSlice", "DeviceClass")


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1beta2"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_version_says_it_in_json_and_in_protobuf(kind: str, version: str) -> None:
    known = resources()[f"resource.k8s.io/{version}"]
    resource = next(item for item in known.values() if item.kind.kind == kind)
    shown = outward(resource, stored(kind), 0)
    assert shown["apiVersion"] == f"resource.k8s.io/{version}"
    again = protobuf.decode(encode(shown))
    assert again["spec"] == shown["spec"], "what protobuf says is what JSON says"
    back = shown if resource.inward is None else resource.inward(shown)
    assert back["spec"] == spec_of(kind)


def test_what_the_first_beta_calls_otherwise() -> None:
    claim = to_beta1({"kind": "ResourceClaim", "spec": spec_of("ResourceClaim")})
    assert claim["spec"]["devices"]["requests"] == [{"name": "gpu", **EXACT}, REQUESTS[1]]
    slice_ = to_beta1({"kind": "ResourceSlice", "spec": spec_of("ResourceSlice")})
    assert slice_["spec"]["devices"] == [{"name": "gpu-0", "basic": DEVICE}]


FIELDS = st.dictionaries(
    st.sampled_from(["deviceClassName", "count", "selectors", "adminAccess"]), st.integers(), min_size=1
)


@given(st.lists(st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"exactly": FIELDS})))
def test_there_and_back_is_the_same(requests: list[dict[str, Any]]) -> None:
    obj = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "spec": {"devices": {"requests": requests}}}
    assert from_beta1(to_beta1(obj)) == obj


@pytest.mark.parametrize(
    "spec", [None, 1, {}, {"devices": None}, {"devices": {"requests": None}}, {"spec": 3}, {"devices": [1]}]
)
def test_what_has_another_shape_is_left_as_it_is(spec: Any) -> None:
    for kind in KINDS:
        obj = {"apiVersion": "resource.k8s.io/v1", "kind": kind, "spec": spec}
        if kind != "ResourceSlice":
            assert from_beta1(to_beta1(obj)) == obj


def test_a_request_is_for_one_device_unless_it_says_otherwise() -> None:
    server = Story(0).server
    request = {"name": "gpu", "exactly": {"deviceClassName": "c"}}
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "c"}}
    made = server.create(from_wire({**body, "spec": {"devices": {"requests": [request]}}}))
    (held,) = made.extra["spec"]["devices"]["requests"]
    assert held["exactly"] == {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}
    every = {"name": "gpu", "exactly": {"deviceClassName": "c", "allocationMode": "All"}}
    body["metadata"] = {"name": "all"}
    made = server.create(from_wire({**body, "spec": {"devices": {"requests": [every]}}}))
    assert made.extra["spec"]["devices"]["requests"] == [every]
