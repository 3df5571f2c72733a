"""As much OpenAPI as kubectl needs: which paths there are and that the server validates; no schemas of kinds.

Source: kubernetes.io/docs/concepts/overview/kubernetes-api (OpenAPI v2, v3); what kubectl asks: cli-runtime
pkg/resource/query_param_verifier_v3.go looks for `fieldValidation` on a kind's PATCH.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from harness.apiserver.http.resources import Resource, resources

Json = dict[str, Any]

V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V2_ANSWERED = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The first is no valid media type; clients refuse an answer that repeats it. Source: kube-openapi pkg/handler."""


def v2_document(version: str) -> bytes:
    """An openapi.v2.Document with swagger and info alone, in protobuf: field 1 and field 2 {1: title, 2: version}."""
    title, text = b"Kubernetes", version.encode()
    info = bytes((0x0A, len(title))) + title + bytes((0x12, len(text))) + text
    return b"\x0a\x032.0\x12" + bytes((len(info),)) + info


def v2_json(version: str) -> Json:
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": version}, "paths": {}}


def v3_paths() -> Json:
    """/openapi/v3: where each group-version's document is."""
    out = {}
    for api_version in resources():
        path = _root(api_version)
        digest = hashlib.sha256(msgspec.json.encode(v3_document(api_version))).hexdigest()[:16].upper()
        out[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": out}


def v3_document(api_version: str) -> Json:
    paths: Json = {}
    for resource in resources()[api_version].values():
        if not resource.read_only:
            paths |= _paths(resource)
    info = {"title": "Kubernetes", "version": "unversioned"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}


def version_of(path: str) -> str | None:
    """The group-version behind `api/v1` or `apis/apps/v1`; None for one that is not served."""
    for api_version in resources():
        if _root(api_version) == path:
            return api_version
    return None


def _root(api_version: str) -> str:
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"


def _paths(resource: Resource) -> Json:
    base = f"/{_root(resource.api_version)}/"
    if resource.kind.namespaced:
        base += "namespaces/{namespace}/"
    base += resource.plural
    named = {"group": resource.group, "version": resource.version, "kind": resource.kind.kind}

    def operation(action: str, *, writes: bool) -> Json:
        names = ["dryRun", "fieldManager", "fieldValidation", "pretty"] if writes else ["pretty"]
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": named,
            "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
            "responses": {"200": {"description": "OK"}},
        }

    return {
        base: {"get": operation("list", writes=False), "post": operation("post", writes=True)},
        base + "/{name}": {
            "get": operation("get", writes=False),
            "put": operation("put", writes=True),
            "patch": operation("patch", writes=True),
            "delete": operation("delete", writes=False),
        },
    }
