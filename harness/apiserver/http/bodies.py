"""A request's body into plain data: bounded in size, depth and aliases, whatever a client sends."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import msgspec

from harness.apiserver.http import protobuf
from harness.model.errors import UserError
from harness.model.field_types import check_body
from harness.model.loading import Limits, TooLarge, load_one
from harness.model.status import ApiError, bad_request
from harness.model.wire import Json, JsonValue

LARGEST_BODY = 3 * 1024 * 1024
"""Bytes. Source: apiserver pkg/server/config.go MaxRequestBodyBytes."""

DEEPEST = 100
"""Objects and lists within each other. No kind of Kubernetes nests half as deep."""

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML_TYPES = ("application/yaml", "application/apply-patch+yaml")

_LIMITS = Limits(yaml_bytes=LARGEST_BODY, json_bytes=LARGEST_BODY, depth=DEEPEST, values=400_000)


def too_large(what: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", what)


def parsed(body: bytes, content_type: str, duplicates: list[str] | None = None) -> JsonValue:
    """The value in a body; None when it is empty. Raises ApiError BadRequest, UnsupportedMediaType, 413.

    `duplicates`, where given, gets the path of each field that the JSON has more than once; the last one counts.
    """
    if len(body) > LARGEST_BODY:
        raise too_large(f"Request entity too large: limit is {LARGEST_BODY}")
    if not body:
        return None
    media = content_type.partition(";")[0].strip().lower()
    if media == PROTOBUF:
        return protobuf.decode(body)
    if media in YAML_TYPES:
        return _from_yaml(body)
    # No type at all is JSON, as the Python client sends it.
    if media and media != JSON and not media.endswith("+json"):
        what = (
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON}, application/yaml, {PROTOBUF}"
        )
        raise ApiError(415, "UnsupportedMediaType", what)
    escaped = _SURROGATE.search(body) is not None
    try:
        if escaped:
            value = _with_whole_characters(_with_duplicates(body, [] if duplicates is None else duplicates))
        elif duplicates is None:
            value = msgspec.json.decode(body)
        else:
            value = _without_duplicates(body)
            if value is None:
                value = _with_duplicates(body, duplicates)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, ValueError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from None
    if not _is_within_depth(value):
        raise _too_deep()
    return value


def checked(api_version: str, kind: str, body: JsonValue) -> Json:
    """The body of a request that is no stored object, an empty one where there is none. Raises ApiError BadRequest."""
    if body is None:
        return {}
    wrong = check_body(api_version, kind, body).wrong
    if wrong:
        path, message = wrong[0]
        raise bad_request(f"{kind} in version {api_version!r} cannot be handled as a {kind}: {path}: {message}")
    assert isinstance(body, dict)
    return body


def _too_deep() -> ApiError:
    return bad_request(f"the object provided is unrecognized: exceeded max depth: {DEEPEST}")


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _with_whole_characters(value: JsonValue) -> JsonValue:
    """Half of a surrogate pair is U+FFFD. Source: encoding/json decode.go unquoteBytes."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {str(_with_whole_characters(name)): _with_whole_characters(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_whole_characters(item) for item in value]
    return value


def _is_within_depth(value: JsonValue) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        below: list[JsonValue] = []
        for item in level:
            if isinstance(item, dict):
                below += [found for found in item.values() if isinstance(found, (dict, list))]
            elif isinstance(item, list):
                below += [found for found in item if isinstance(found, (dict, list))]
        if not below:
            return True
        level = below
    return False


def _from_yaml(body: bytes) -> JsonValue:
    try:
        value: JsonValue = load_one(body.decode(), "the body", _LIMITS).data
    except TooLarge as error:
        raise too_large(f"Request entity too large: {error}") from None
    except (UserError, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding YAML: {error}") from None
    return value


_SPACED = re.compile(rb'"[ \t\r\n]+:')


def _without_duplicates(body: bytes) -> Any:
    """The value, if no object in it can have a field twice: each field is one `":`, which strings may hold besides.
    None where that does not tell, or the JSON is wrong."""
    if _SPACED.search(body):
        return None
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if _fields(value) == body.count(b'":') else None


def _fields(value: JsonValue) -> int:
    """In all objects within."""
    count = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            count += len(item)
            waiting += item.values()
        elif type(item) is list:
            waiting += item
    return count


class _Repeating(Json):
    """A JSON object in which fields stand more than once."""

    names: tuple[str, ...] = ()


def _with_duplicates(body: bytes, duplicates: list[str]) -> Any:
    seen = False

    def collect(pairs: list[tuple[str, Any]]) -> Json:
        nonlocal seen
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        seen = True
        names = [name for name, _ in pairs]
        repeating = _Repeating(made)
        repeating.names = tuple(name for name in made if names.count(name) > 1)
        return repeating

    value = json.loads(body.decode(), object_pairs_hook=collect, parse_constant=_no_constant, parse_float=_finite)
    if seen:
        _name_duplicates(value, "", duplicates)
    return value


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"number out of range: {text[:80]}")
    return value


def _name_duplicates(value: JsonValue, path: str, duplicates: list[str]) -> None:
    if isinstance(value, dict):
        duplicates += [f"{path}.{name}".lstrip(".") for name in getattr(value, "names", ())]
        for name, item in value.items():
            _name_duplicates(item, f"{path}.{name}".lstrip("."), duplicates)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _name_duplicates(item, f"{path}[{index}]", duplicates)
