"""What the paths mean: every resource with its group and version, and a request's path taken apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from harness.apiserver import kinds
from harness.apiserver.kinds import RULES
from harness.model.objects import KINDS, Kind
from harness.model.wire import Json

Convert = Callable[[Json], Json]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one version. `outward` and `inward` turn the stored version's JSON into this one's and back.

    `schema`: the OpenAPI schema of a kind that somebody has defined; None for what this code knows itself.
    """

    kind: Kind
    api_version: str
    preferred: bool = True
    outward: Convert | None = None
    inward: Convert | None = None
    schema: Json | None = None

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def plural(self) -> str:
        return self.kind.plural

    @property
    def read_only(self) -> str:
        """Why it is, if it is."""
        return RULES[self.kind.kind].read_only

    @property
    def subresources(self) -> tuple[str, ...]:
        """By name, in the order of discovery."""
        out = [*RULES[self.kind.kind].subresources]
        if self.kind.scale:
            out.append("scale")
        if self.kind.status:
            out.append("status")
        return tuple(sorted(out))


@lru_cache(maxsize=1)
def _resources(generation: int, count: int) -> dict[str, dict[str, Resource]]:
    """For one may be registered after the first call."""
    out: dict[str, dict[str, Resource]] = {}
    found: list[Resource] = []
    others: list[Resource] = []
    for kind in list(KINDS.values()):
        rules = RULES[kind.kind]
        found.append(_defined(kind, kind.api_version, True) if kind.wire_name else Resource(kind, kind.api_version))
        for o in rules.versions:
            if kind.wire_name:
                others.append(_defined(kind, o.api_version, False))
            else:
                others.append(Resource(kind, o.api_version, False, o.outward, o.inward))
    found += others
    for resource in found:
        out.setdefault(resource.api_version, {})[resource.plural] = resource
    return out


def resources() -> dict[str, dict[str, Resource]]:
    """By group-version, then by plural."""
    return _resources(kinds.generation, len(KINDS))


def _defined(kind: Kind, api_version: str, preferred: bool) -> Resource:
    """A kind that users define: inside it has another name, and the version it is stored in."""
    schema = RULES[kind.kind].schemas[api_version]
    outward = {"apiVersion": api_version, "kind": kind.wire}
    inward = {"apiVersion": kind.api_version, "kind": kind.kind}
    return Resource(
        kind, api_version, preferred, lambda data: {**data, **outward}, lambda data: {**data, **inward}, schema
    )


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a collection (no name) or one object, perhaps a part of it."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def target_of(path: str) -> Target | None:
    """`/api/v1/namespaces/ns/pods/x/log`; None for what is no resource here.

    Source: apiserver pkg/endpoints/request/requestinfo.go.
    """
    find = _target_of if len(path) <= _LONGEST_KEPT else _target_of.__wrapped__
    return find(path, kinds.generation, len(KINDS))


_LONGEST_KEPT = 1024


@lru_cache(maxsize=4096)
def _target_of(path: str, generation: int, count: int) -> Target | None:
    """Until a kind is defined or goes."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        api_version, rest = parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        api_version, rest = f"{parts[1]}/{parts[2]}", parts[3:]
    else:
        return None
    known = resources().get(api_version)
    if known is None:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    resource = known.get(rest[0])
    if rest[0] == "bindings" and api_version == "v1" and len(rest) == 1:
        # The old door: POST namespaces/ns/bindings with the pod's name in the body.
        return Target(known["pods"], namespace, "", "binding")
    if resource is None or len(rest) > 3 or (namespace and not resource.kind.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if name and resource.kind.namespaced and not namespace:
        return None
    if subresource and subresource not in resource.subresources:
        return None
    return Target(resource, namespace, name, subresource)
