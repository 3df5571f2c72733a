"""JSON patch, RFC 6902: a list of operations, all of them or none."""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec

from harness.apiserver.http.patches.json_words import json_name
from harness.model.status import ApiError, bad_request
from harness.model.wire import Json, JsonValue

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

COPY_LIMIT = 3 * 1024 * 1024
"""Bytes that copy operations may add. Source: apiserver pkg/server/config.go JSONPatchMaxCopyBytes."""

LIMIT = 10_000
"""Operations in one patch. Source: apiserver pkg/endpoints/handlers/patch.go maxJSONPatchOperations."""


def json_patch(target: JsonValue, operations: JsonValue) -> JsonValue:
    """A new value. Raises ApiError BadRequest (no patch), Invalid (a path or a test that does not hold)."""
    if not isinstance(operations, list):
        raise bad_request(f"json: cannot unmarshal {json_name(operations)} into Go value of type jsonpatch.Patch")
    if len(operations) > LIMIT:
        what = f"The allowed maximum operations in a JSON patch is {LIMIT}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", what)
    document = copy.deepcopy(target)
    copied = [0]
    for operation in operations:
        if not isinstance(operation, dict) or "op" not in operation or not isinstance(operation.get("path"), str):
            raise bad_request(f"a JSON patch operation needs op and path: {operation!r}")
        document = _apply(document, operation, copied)
    return document


def _apply(document: JsonValue, operation: Json, copied: list[int]) -> JsonValue:
    """`copied`: bytes that copy operations have added so far."""
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _add(document, path, copy.deepcopy(operation.get("value")))
        case "remove":
            return _remove(document, path)
        case "replace":
            _read(document, path)
            if not path:
                return copy.deepcopy(operation.get("value"))
            parent = _read(document, path[:-1])
            parent[_key(parent, path[-1])] = copy.deepcopy(operation.get("value"))
            return document
        case "test":
            found = _read(document, path, missing_is_none=True)
            if found != operation.get("value"):
                raise _refused(f"testing path {operation['path']} value failed")
            return document
        case "move":
            source = _source(operation)
            value = _read(document, source)
            return _add(_remove(document, source), path, value)
        case "copy":
            value = _read(document, _source(operation))
            copied[0] += len(msgspec.json.encode(value))
            if copied[0] > COPY_LIMIT:
                what = f"Unable to complete the copy, the accumulated size increase of copy is over {COPY_LIMIT} bytes"
                raise ApiError(413, "RequestEntityTooLarge", what)
            return _add(document, path, copy.deepcopy(value))
        case other:
            raise _refused(f"Unexpected kind: {other}")


def _source(operation: Json) -> list[str]:
    source = operation.get("from")
    if not isinstance(source, str):
        raise bad_request(f"a JSON patch operation {operation['op']} needs from: {operation!r}")
    return _pointer(source)


def _pointer(text: str) -> list[str]:
    if not text:
        return []
    if not text.startswith("/"):
        raise bad_request(f"a JSON pointer starts with a slash: {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _key(parent: JsonValue, part: str) -> str | int:
    """The key or index that `part` names in `parent`, which must be there."""
    if isinstance(parent, dict):
        if part in parent:
            return part
    elif isinstance(parent, list) and _INDEX.fullmatch(part) and int(part) < len(parent):
        return int(part)
    raise _refused(f"nonexistent key: {part}")


def _read(document: Any, path: list[str], *, missing_is_none: bool = False) -> Any:
    for index, part in enumerate(path):
        if missing_is_none and index == len(path) - 1 and isinstance(document, dict) and part not in document:
            return None
        document = document[_key(document, part)]
    return document


def _add(document: JsonValue, path: list[str], value: JsonValue) -> JsonValue:
    if not path:
        return value
    parent, part = _read(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[part] = value
    elif isinstance(parent, list) and part == "-":
        parent.append(value)
    elif isinstance(parent, list) and _INDEX.fullmatch(part) and int(part) <= len(parent):
        parent.insert(int(part), value)
    else:
        raise _refused(f"cannot add at {part}")
    return document


def _remove(document: JsonValue, path: list[str]) -> JsonValue:
    if not path:
        raise _refused("the whole document cannot be removed")
    parent = _read(document, path[:-1])
    del parent[_key(parent, path[-1])]
    return document


def _refused(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")
