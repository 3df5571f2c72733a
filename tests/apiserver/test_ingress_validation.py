"""Ingresses that Kubernetes refuses, and what is told of one that asks for TLS."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.http.patches.json_patch import json_patch
from harness.apiserver.http.patches.strategic import strategic_patch
from harness.apiserver.kinds import RULES
from harness.apiserver.server import ApiServer
from harness.apiserver.validation.ingresses import ingress_problems
from harness.model.ingress import backend_of
from harness.model.meta import ObjectMeta
from harness.model.objects import Unstructured
from harness.model.status import ApiError
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

TO_WEB = {"service": {"name": "web", "port": {"number": 80}}}


def ingress(**spec: Any) -> Unstructured:
    extra = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec}
    return Unstructured(metadata=ObjectMeta(name="i", namespace="default"), extra=extra)


def rule(path: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"rules": [{"http": {"paths": [path]}, **others}]}


def at(path: str, kind: str = "Prefix", **backend: Any) -> dict[str, Any]:
    return {"path": path, "pathType": kind, "backend": backend or TO_WEB}


PATH = "spec.rules[0].http.paths[0]"
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "spec", "either `defaultBackend` or `rules` must be specified"),
    (rule({"path": "/", "backend": TO_WEB}), f"{PATH}.pathType", "pathType must be specified"),
    (rule(at("/", "Suffix")), f"{PATH}.pathType", 'supported values: "Exact", "ImplementationSpecific", "Prefix"'),
    (rule(at("shop")), f"{PATH}.path", "must be an absolute path"),
    (rule(at("", "Exact")), f"{PATH}.path", "must be an absolute path"),
    (rule(at("a", "ImplementationSpecific")), f"{PATH}.path", "must be an absolute path"),
    (rule(at("/a//b")), f"{PATH}.path", "must not contain '//'"),
    (rule(at("/a/..")), f"{PATH}.path", "cannot end with '/..'"),
    (rule(at("/"), host="10.0.0.1"), "spec.rules[0].host", "must be a DNS name, not an IP address"),
    (rule(at("/"), host="Shop"), "spec.rules[0].host", "RFC 1123 subdomain"),
    (rule(at("/"), host="a.*.b"), "spec.rules[0].host", "must start with '*.'"),
    ({"rules": [{"http": {"paths": []}}]}, "spec.rules[0].http.paths", "Required value"),
    (rule(at("/", service={"port": {"number": 80}})), f"{PATH}.backend.service.name", "Required value"),
    (rule(at("/", service={"name": "web"})), f"{PATH}.backend", "port name or number is required"),
    (
        rule(at("/", service={"name": "web", "port": {"number": 80, "name": "http"}})),
        f"{PATH}.backend",
        "cannot set both port name & port number",
    ),
    (rule(at("/", service={"name": "web", "port": {"number": 70000}})), f"{PATH}.backend.service.port.number", "65535"),
    (rule({"path": "/", "pathType": "Prefix"}), f"{PATH}.backend", "resource or service backend is required"),
    ({"defaultBackend": {**TO_WEB, "resource": {}}}, "spec.defaultBackend", "cannot set both resource and service"),
    ({"defaultBackend": TO_WEB, "tls": [{"hosts": ["a", "B"]}]}, "spec.tls[0].hosts[1]", "RFC 1123 subdomain"),
    ({"defaultBackend": TO_WEB, "tls": [{"secretName": "a_b"}]}, "spec.tls[0].secretName", "RFC 1123 subdomain"),
    ({"defaultBackend": TO_WEB, "ingressClassName": "N"}, "spec.ingressClassName", "RFC 1123 subdomain"),
]


@pytest.mark.parametrize(("spec", "field", "why"), WRONG)
def test_what_kubernetes_refuses_is_refused_in_its_words(spec: dict[str, Any], field: str, why: str) -> None:
    server = ApiServer(MemoryStore(ObjectCodec()), seed=1)
    with pytest.raises(ApiError) as refused:
        server.create(ingress(**spec))
    assert (refused.value.code, [cause.field for cause in refused.value.causes]) == (422, [field])
    assert why in refused.value.causes[0].message


def test_tls_is_kept_and_told_of() -> None:
    """Nothing is encrypted: who tries TLS is told, instead of measuring what is not there."""
    warn = RULES["Ingress"].warnings
    assert warn is not None
    plain = ingress(**rule(at("/"), host="*.example.com"))
    assert (ingress_problems(plain, None), warn(plain)) == ([], [])
    secure = ingress(**rule(at("/")), tls=[{"hosts": ["*.example.com"], "secretName": "certificate"}])
    assert ingress_problems(secure, None) == []
    assert warn(secure) == [
        "spec.tls is kept and not modelled: nothing is encrypted, and requests are routed by host and path alone"
    ]


@given(
    kind=st.sampled_from(["Exact", "Prefix", "ImplementationSpecific"]),
    path=st.lists(st.sampled_from(["a", "bc", "%2e", "..", ".", ""]), max_size=3).map(
        lambda parts: "/" + "/".join(parts)
    ),
)
def test_a_path_that_is_accepted_is_reached(kind: str, path: str) -> None:
    """The data path and validation agree: an accepted rule routes its own path."""
    made = ingress(**rule(at(path, kind)))
    if not ingress_problems(made, None):
        assert backend_of(made.extra or {}, "any.example.com", path) is not None


@pytest.mark.parametrize(("patch", "word"), [("text", "string"), (1.5, "number"), (True, "bool"), ([1], "array")])
def test_a_patch_that_is_no_patch_is_told_in_gos_words(patch: Any, word: str) -> None:
    with pytest.raises(ApiError, match=f"json: cannot unmarshal {word} into Go value of type map"):
        strategic_patch({}, patch, "Pod")
    with pytest.raises(ApiError, match=r"json: cannot unmarshal object into Go value of type jsonpatch\.Patch"):
        json_patch({}, {})
