"""Answers in Kubernetes' protobuf, for who takes nothing else: objects, lists, a Status, events of watches.

Clients that would take JSON too get JSON, which is made several times faster here. Source: apimachinery
pkg/runtime/serializer/protobuf, pkg/watch, pkg/util/framer; protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from harness.apiserver.http.protobuf import MAGIC, by_number, protobuf_message
from harness.model.field_table import Field
from harness.model.status import ApiError
from harness.model.wire import Json, parse_time

_INTEGERS = "bil"


def is_known(api_version: str, kind: str) -> bool:
    """Whether objects of the kind have a form in protobuf here."""
    return protobuf_message(api_version, kind) is not None


def encode(value: Json) -> bytes:
    """An answer's JSON with its envelope. Raises ApiError NotAcceptable (406) for what has no such form."""
    version, kind = value.get("apiVersion", ""), value.get("kind", "")
    if kind == "Status":
        raw = _message(value, "Status")
    elif (message := protobuf_message(version, kind)) is not None:
        raw = _message(value, message)
    elif kind.endswith("List") and (item := protobuf_message(version, kind.removesuffix("List"))) is not None:
        items = [_part(2, _message(found, item)) for found in value["items"]]
        raw = b"".join([_part(1, _message(value["metadata"], "ListMeta")), *items])
    else:
        what = f"{kind} of {version} has no form in application/vnd.kubernetes.protobuf here: accept application/json"
        raise ApiError(406, "NotAcceptable", what)
    about = _part(1, version.encode()) + _part(2, kind.encode())
    return MAGIC + _part(1, about) + _part(2, raw) + _part(3, b"") + _part(4, b"")


def frame(change: str, obj: bytes) -> bytes:
    """One event of a watch: four bytes of length, then a WatchEvent around the encoded object."""
    event = _part(1, change.encode()) + _part(2, _part(1, obj))
    return len(event).to_bytes(4, "big") + event


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _part(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


@cache
def _by_name(message: str) -> dict[str, tuple[int, Field, int, str]]:
    """By the name in JSON: number, field; number and message of what JSON spreads over this one, 0 elsewhere."""
    out: dict[str, tuple[int, Field, int, str]] = {}
    for number, field in by_number(message).items():
        if field.embedded:
            for name, (inner, found, _, _) in _by_name(field.type).items():
                out[name] = (inner, found, number, field.type)
        else:
            out[field.name] = (number, field, 0, "")
    return out


def _message(value: Json, name: str) -> bytes:
    known = _by_name(name)
    out: list[bytes] = []
    spread: dict[tuple[int, str], Json] = {}
    for key, item in value.items():
        found = known.get(key)
        if found is None or item is None:
            continue  # apiVersion and kind stand in the envelope
        number, field, outer, message = found
        if outer:
            spread.setdefault((outer, message), {})[key] = item
        elif field.mapped:
            out += [_part(number, _part(1, k.encode()) + _one(2, field.type, v)) for k, v in item.items()]
        elif field.repeated:
            out += [_one(number, field.type, v) for v in item]
        else:
            out.append(_one(number, field.type, item))
    out += [_part(outer, _message(inside, message)) for (outer, message), inside in spread.items()]
    return b"".join(out)


def _one(number: int, kind: str, value: Any) -> bytes:
    if kind in _INTEGERS:
        return _integer(number, value)
    if kind == "s":
        return _part(number, value.encode())
    if kind == "B":
        return _part(number, base64.b64decode(value))
    special = _SPECIAL.get(kind)
    if special is not None:
        return _part(number, special(value))
    if kind == "ExtraValue":
        return _part(number, b"".join(_part(1, item.encode()) for item in value))
    return _part(number, _message(value, kind))


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, int):
        return _integer(1, 0) + _integer(2, value)
    return _integer(1, 1) + _part(3, value.encode())


def _time(text: str) -> bytes:
    seconds, nanos = divmod(parse_time(text, 0), 10**9)
    return _integer(1, seconds) + _integer(2, nanos)


_SPECIAL: dict[str, Callable[[Any], bytes]] = {
    "Quantity": lambda value: _part(1, str(value).encode()),
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _time,
    "Raw": lambda value: _part(1, msgspec.json.encode(value)),
}
