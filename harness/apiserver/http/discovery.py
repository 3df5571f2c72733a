"""Which groups, versions and resources there are, in the aggregated form and in the plain one.

Source: kubernetes.io/docs/concepts/overview/kubernetes-api (discovery API).
"""

from __future__ import annotations

import hashlib

import msgspec

from harness.apiserver.http.resources import Resource, resources
from harness.model.wire import Json

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"

_SUBRESOURCE_KINDS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "attach": ("", "v1", "PodAttachOptions", ("create", "get")),
    "exec": ("", "v1", "PodExecOptions", ("create", "get")),
    "portforward": ("", "v1", "PodPortForwardOptions", ("create", "get")),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}

REVIEWS: dict[str, dict[str, str]] = {
    "authorization.k8s.io/v1": {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "selfsubjectrulesreviews": "SelfSubjectRulesReview",
        "subjectaccessreviews": "SubjectAccessReview",
        "localsubjectaccessreviews": "LocalSubjectAccessReview",
    },
    "authentication.k8s.io/v1": {"selfsubjectreviews": "SelfSubjectReview", "tokenreviews": "TokenReview"},
}
"""Questions rather than objects: created, answered, kept nowhere."""

LOCAL = "localsubjectaccessreviews"
"""The one of them that is asked in a namespace."""

_BINDINGS = {"v1": {"bindings": "Binding"}}
"""Written to a pod, and kept nowhere either."""


def _created_only(api_version: str) -> list[tuple[str, str, bool]]:
    """(plural, kind, whether in a namespace) of what is created and never read."""
    found = REVIEWS.get(api_version) or _BINDINGS.get(api_version) or {}
    return [(plural, kind, plural in (LOCAL, "bindings")) for plural, kind in found.items()]


def verbs(resource: Resource) -> tuple[str, ...]:
    return ("get", "list") if resource.read_only else VERBS


def groups() -> dict[str, list[str]]:
    """Group to versions, the preferred one first, in the order in which kubectl looks through them."""
    out: dict[str, list[str]] = {}
    for api_version, of_version in resources().items():
        group, _, version = api_version.rpartition("/")
        preferred = any(resource.preferred for resource in of_version.values())
        held = out.setdefault(group, [])
        held.insert(0, version) if preferred else held.append(version)
    for api_version in REVIEWS:
        group, _, version = api_version.rpartition("/")
        out.setdefault(group, []).append(version)
    return out


def _subresource(resource: Resource, name: str) -> tuple[Json, tuple[str, ...]]:
    if name in _SUBRESOURCE_KINDS:
        group, version, kind, allowed = _SUBRESOURCE_KINDS[name]
        return {"group": group, "version": version, "kind": kind}, allowed
    own = {"group": resource.group, "version": resource.version, "kind": resource.kind.wire}
    return own, {"log": ("get",), "finalize": ("update",)}.get(name, ("get", "patch", "update"))


def _aggregated_resource(resource: Resource) -> Json:
    kind = resource.kind
    out: Json = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": kind.wire},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(verbs(resource)),
    }
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    parts = []
    for name in resource.subresources:
        response, allowed = _subresource(resource, name)
        parts.append({"subresource": name, "responseKind": response, "verbs": list(allowed)})
    if parts:
        out["subresources"] = parts
    return out


def _aggregated_version(group: str, version: str) -> Json:
    api_version = f"{group}/{version}" if group else version
    found = [_aggregated_resource(resource) for resource in resources().get(api_version, {}).values()]
    for plural, kind, namespaced in _created_only(api_version):
        found.append(
            {
                "resource": plural,
                "responseKind": {"group": group, "version": version, "kind": kind},
                "scope": "Namespaced" if namespaced else "Cluster",
                "singularResource": kind.lower(),
                "verbs": ["create"],
            }
        )
    return {"version": version, "freshness": "Current", "resources": found}


def aggregated(*, core: bool, version: str) -> Json:
    """APIGroupDiscoveryList for /api (core) or /apis; `version`: v2 or v2beta1."""
    items = []
    for group, versions in groups().items():
        if (group == "") is core:
            meta: Json = {"name": group} if group else {}
            items.append({"metadata": meta, "versions": [_aggregated_version(group, found) for found in versions]})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _plain_group(group: str) -> Json:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in groups()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def plain(path: str, address: str) -> Json | None:
    """The document at /api, /apis, /apis/GROUP, /api/v1 or /apis/GROUP/VERSION; None where nothing is."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api"]:
            every = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": every}
        case ["apis"]:
            named = [_plain_group(group) for group in groups() if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}
        case ["apis", group] if group in groups():
            return {"kind": "APIGroup", "apiVersion": "v1", **_plain_group(group)}
        case ["api", version]:
            return _plain_resources("", version)
        case ["apis", group, version]:
            return _plain_resources(group, version)
        case _:
            return None


def _plain_resources(group: str, version: str) -> Json | None:
    if version not in groups().get(group, ()):
        return None
    api_version = f"{group}/{version}" if group else version
    out: list[Json] = []
    for resource in resources().get(api_version, {}).values():
        kind = resource.kind
        entry: Json = {
            "name": resource.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.wire,
            "verbs": list(verbs(resource)),
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        out.append(entry)
        for name in resource.subresources:
            response, allowed = _subresource(resource, name)
            out.append(
                {
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": kind.namespaced,
                    **response,
                    "verbs": list(allowed),
                }
            )
    for plural, name, namespaced in _created_only(api_version):
        out.append(
            {
                "name": plural,
                "singularName": name.lower(),
                "namespaced": namespaced,
                "kind": name,
                "verbs": ["create"],
            }
        )
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": out}


def etag(document: Json) -> str:
    return '"' + hashlib.sha256(msgspec.json.encode(document)).hexdigest().upper() + '"'
