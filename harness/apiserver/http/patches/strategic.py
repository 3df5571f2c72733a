"""Strategic merge patch: merge patch that knows which lists are sets, and by which key.

Source: apimachinery pkg/util/strategicpatch/patch.go, and
kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.http.patches.json_words import json_name
from harness.apiserver.kinds import RULES
from harness.model.status import bad_request
from harness.model.wire import Json, JsonValue

MERGE_KEYS: dict[str, str] = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "env": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "podIPs": "ip",
    "hostIPs": "ip",
    "topologySpreadConstraints": "topologyKey",
    "schedulingGates": "name",
    "resourceClaims": "name",
    "resourceClaimStatuses": "name",
    "ownerReferences": "uid",
    "webhooks": "name",
    "validations": "expression",
}
"""List field to merge key, for every list of objects that merges. Source: the x-kubernetes-patch-merge-key of the API's
OpenAPI definitions, v1.32. Where a kind differs its rules say so (`merge_keys`)."""

SETS = frozenset({"finalizers", "podCIDRs"})
"""Lists of plain values that merge."""

_PORTS_OF_A_CONTAINER = "containerPort"

_DIRECTIVES = ("$patch", "$retainKeys")
_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


def strategic_patch(target: object, patch: object, kind: str) -> Json:
    """A new object. `kind`: of the object, which decides how some lists merge. Raises ApiError BadRequest."""
    if not isinstance(patch, dict):
        raise bad_request(f"json: cannot unmarshal {json_name(patch)} into Go value of type map[string]interface {{}}")
    return _objects(target if isinstance(target, dict) else {}, patch, kind, ())


def merge_key(kind: str, path: tuple[str, ...]) -> str | None:
    """By which field the list at `path` merges; None for a list that is replaced."""
    field = path[-1]
    rules = RULES.get(kind)
    if rules is not None and (at := ".".join(path)) in rules.merge_keys:
        return rules.merge_keys[at]
    if field == "ports" and len(path) > 1 and path[-2] in ("containers", "initContainers", "ephemeralContainers"):
        return _PORTS_OF_A_CONTAINER
    return MERGE_KEYS.get(field)


def _objects(target: Json, patch: Json, kind: str, path: tuple[str, ...]) -> Json:
    match patch.get("$patch"):
        case None | "merge":
            out = dict(target)
        case "replace":
            return {name: _stripped(value) for name, value in patch.items() if name != "$patch" and value is not None}
        case "delete":
            return {}
        case other:
            raise bad_request(f"Unknown patch type found: {other}")
    retained = patch.get("$retainKeys")
    if retained is not None:
        if not isinstance(retained, list):
            raise bad_request("invalid patch format of retainKeys")
        out = {name: value for name, value in out.items() if name in retained}
    for name, value in patch.items():
        if name in _DIRECTIVES or name.startswith(_ORDER):
            continue
        if name.startswith(_DELETE):
            field = name[len(_DELETE) :]
            if isinstance(out.get(field), list):
                out[field] = [item for item in out[field] if item not in value]
        elif value is None:
            out.pop(name, None)
        elif isinstance(value, dict):
            present = out.get(name)
            out[name] = _objects(present if isinstance(present, dict) else {}, value, kind, (*path, name))
            if value.get("$patch") == "delete":
                del out[name]
        elif isinstance(value, list):
            present = out.get(name)
            out[name] = _lists(present if isinstance(present, list) else [], value, kind, (*path, name))
        else:
            out[name] = value
    for name, order in patch.items():
        if name.startswith(_ORDER):
            field = name[len(_ORDER) :]
            if isinstance(out.get(field), list):
                out[field] = _ordered(out[field], order, merge_key(kind, (*path, field)))
    return out


def _lists(target: list[JsonValue], patch: list[JsonValue], kind: str, path: tuple[str, ...]) -> list[JsonValue]:
    key = merge_key(kind, path)
    if key is None:
        if path[-1] in SETS:
            return target + [item for item in patch if item not in target]
        return [_stripped(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    replace = any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch)
    out: list[Any] = [] if replace else list(target)
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request(f"{'.'.join(path)}: expected an object, found {item!r}")
        directive = item.get("$patch")
        if directive == "replace":
            continue
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        at = next((i for i, held in enumerate(out) if isinstance(held, dict) and held.get(key) == item[key]), None)
        if directive == "delete":
            out = [held for held in out if not (isinstance(held, dict) and held.get(key) == item[key])]
        elif at is None:
            out.append(_objects({}, item, kind, path))
        else:
            out[at] = _objects(out[at], item, kind, path)
    return out


def _ordered(items: list[JsonValue], order: JsonValue, key: str | None) -> list[JsonValue]:
    """What `order` names stands in its order; what only the server has keeps its place behind its predecessor."""
    if not isinstance(order, list):
        raise bad_request("setElementOrder is a list")

    def name(item: JsonValue) -> JsonValue:
        return item.get(key) if key is not None and isinstance(item, dict) else item

    wanted = [name(item) for item in order]
    places = {_hashable(value): index for index, value in enumerate(wanted)}
    listed = sorted(
        (item for item in items if _hashable(name(item)) in places), key=lambda item: places[_hashable(name(item))]
    )
    out: list[JsonValue] = []
    for item in items:
        if _hashable(name(item)) in places:
            out.append(listed.pop(0))
        else:
            out.append(item)
    return out


def _hashable(value: JsonValue) -> str | int | float | None:
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def _stripped(value: JsonValue) -> JsonValue:
    """Without directives and nulls, as new content is."""
    if isinstance(value, dict):
        return {
            name: _stripped(item)
            for name, item in value.items()
            if item is not None and name not in _DIRECTIVES and not name.startswith((_ORDER, _DELETE))
        }
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value
