"""The OpenAPI documents: which paths there are, that the server validates, and the schemas of all kinds.

Source: kubernetes.io/docs/concepts/overview/kubernetes-api (OpenAPI v2, v3); what kubectl asks: cli-runtime
pkg/resource/query_param_verifier_v3.go looks for `fieldValidation` on a kind's PATCH.
"""

from __future__ import annotations

import hashlib

import msgspec

from harness.apiserver.http.bodies import JSON
from harness.apiserver.http.resources import Resource, resources
from harness.apiserver.http.schemas import REFERENCE, Schemas
from harness.model.wire import Json

V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V2_ANSWERED = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The first is no valid media type; clients refuse an answer that repeats it. Source: kube-openapi pkg/handler."""


def v2_document(version: str) -> bytes:
    """An openapi.v2.Document with swagger and info alone, in protobuf: field 1 and field 2 {1: title, 2: version}."""
    title, text = b"Kubernetes", version.encode()
    info = bytes((0x0A, len(title))) + title + bytes((0x12, len(text))) + text
    return b"\x0a\x032.0\x12" + bytes((len(info),)) + info


def v2_json(version: str) -> Json:
    """The schemas of all kinds, in the words of version 2."""
    definitions: Json = {}
    for api_version in resources():
        definitions |= _made(_key(api_version))[0]["components"]["schemas"]
    text = msgspec.json.encode(definitions).replace(REFERENCE.encode(), b"#/definitions/")
    info = {"title": "Kubernetes", "version": version}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": msgspec.json.decode(text)}


def v3_paths() -> Json:
    """/openapi/v3: where each group-version's document is."""
    out = {}
    for api_version in resources():
        path = _root(api_version)
        out[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={_made(_key(api_version))[1]}"}
    return {"paths": out}


def v3_document(api_version: str) -> Json:
    return _made(_key(api_version))[0]


def _key(api_version: str) -> tuple[str, tuple[Resource, ...]]:
    return api_version, tuple(resources()[api_version].values())


_documents: dict[str, tuple[tuple[Resource, ...], tuple[Json, str]]] = {}
"""By group-version: what it was made of, and the document with its digest."""


def _made(key: tuple[str, tuple[Resource, ...]]) -> tuple[Json, str]:
    api_version, served = key
    held = _documents.get(api_version)
    if held is not None and all(a is b for a, b in zip(held[0], served, strict=False)) and len(held[0]) == len(served):
        return held[1]
    paths: Json = {}
    schemas = Schemas()
    for resource in served:
        name = schemas.add(resource)
        paths |= _paths(resource, name)
    info = {"title": "Kubernetes", "version": "unversioned"}
    document: Json = {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas.named}}
    digest = hashlib.sha256(msgspec.json.encode(document)).hexdigest()[:16].upper()
    _documents[api_version] = (served, (document, digest))
    return document, digest


def version_of(path: str) -> str | None:
    """The group-version behind `api/v1` or `apis/apps/v1`; None for one that is not served."""
    for api_version in resources():
        if _root(api_version) == path:
            return api_version
    return None


def _root(api_version: str) -> str:
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"


def _paths(resource: Resource, schema: str) -> Json:
    base = f"/{_root(resource.api_version)}/"
    if resource.kind.namespaced:
        base += "namespaces/{namespace}/"
    base += resource.plural
    named = {"group": resource.group, "version": resource.version, "kind": resource.kind.wire}

    def operation(action: str, *, writes: bool) -> Json:
        names = ["dryRun", "fieldManager", "fieldValidation", "pretty"] if writes else ["pretty"]
        return {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": named,
            "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
            "responses": {
                "200": {"description": "OK", "content": {JSON: {"schema": {"$ref": REFERENCE + schema}}}},
            },
        }

    if resource.read_only:
        return {
            base: {"get": operation("list", writes=False)},
            base + "/{name}": {"get": operation("get", writes=False)},
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
