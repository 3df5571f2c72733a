"""Kubernetes' protobuf request bodies as the JSON that they mean; answers are always JSON.

kubectl from 1.32 on sends protobuf for its typed commands (create deployment, autoscale, auth can-i, ..) and takes no
refusal. Source: apimachinery pkg/runtime/serializer/protobuf; protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from harness.model.field_table import Field, kind_messages, messages
from harness.model.status import ApiError, bad_request
from harness.model.wire import Json, time_text

MAGIC = b"k8s\x00"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 64


def decode(body: bytes) -> Json:
    """Raises ApiError BadRequest for what is damaged, UnsupportedMediaType (415) for a kind that is not known here."""
    if not body.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix: k8s")
    try:
        unknown = {number: value for number, _, value in _fields(body[len(MAGIC) :])}
        about = {number: value for number, _, value in _fields(unknown.get(1, b""))}
        version, kind = about.get(1, b"").decode(), about.get(2, b"").decode()
        message = protobuf_message(version, kind)
        if message is None and kind == "DeleteOptions":
            message = "DeleteOptions"  # sent under the version of whatever is deleted
        if message is None:
            what = f"{kind or 'an object'} in version {version!r} is not taken in protobuf; send application/json"
            raise ApiError(415, "UnsupportedMediaType", what)
        return {"apiVersion": version, "kind": kind, **_message(unknown.get(2, b""), message, 0)}
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise bad_request(f"the protobuf body is damaged: {error}") from None


@cache
def by_number(message: str) -> Mapping[int, Field]:
    return {field.number: field for field in messages()[message] if field.number}


def protobuf_message(api_version: str, kind: str) -> str | None:
    """The message of a kind that has a form in protobuf here; those that users define have none anywhere."""
    message = kind_messages().get((api_version, kind))
    return message if message is not None and by_number(message) else None


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, int or bytes) of each field. Raises ValueError, IndexError."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        value: Any
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("a field reaches beyond its message")
            value, at = data[at : at + size], at + size
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, kind, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")


def _message(data: bytes, name: str, depth: int) -> Json:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    fields = by_number(name)
    out: Json = {}
    for number, wire, raw in _fields(data):
        field = fields.get(number)
        if field is None:
            continue  # of a later version
        if field.mapped:
            key, value = _entry(raw, field.type, depth)
            out.setdefault(field.name, {})[key] = value
        elif field.repeated:
            values = _packed(raw) if field.type in "ilb" and wire == _BYTES else [raw]
            out.setdefault(field.name, []).extend(_value(item, field.type, depth) for item in values)
        elif field.embedded:
            out.update(_value(raw, field.type, depth))
        else:
            value = _value(raw, field.type, depth)
            if value is None or (value in (0, "") and not isinstance(value, dict) and not field.pointer):
                continue
            out[field.name] = value
    return out


def _packed(data: bytes) -> list[int]:
    out, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        out.append(value)
    return out


def _entry(data: bytes, kind: str, depth: int) -> tuple[str, Any]:
    key, value = "", _value(b"", kind, depth) if kind not in "ilb" else 0
    for number, _, raw in _fields(data):
        if number == 1:
            key = raw.decode()
        elif number == 2:
            value = _value(raw, kind, depth)
    return key, value


def _value(raw: Any, kind: str, depth: int) -> Any:
    match kind:
        case "s":
            return raw.decode()
        case "b":
            return bool(raw)
        case "i" | "l":
            return raw - (1 << 64) if raw >> 63 else raw
        case "B":
            return base64.b64encode(raw).decode()
    special = _SPECIAL.get(kind)
    if special is not None:
        return special({number: value for number, _, value in _fields(raw)})
    if kind == "ExtraValue":
        return [value.decode() for _, _, value in _fields(raw)]
    return _message(raw, kind, depth + 1)


def _int_or_string(fields: dict[int, Any]) -> int | str:
    if fields.get(1, 0) == 1:
        return str(fields.get(3, b"").decode())
    number: int = _value(fields.get(2, 0), "i", 0)
    return number


def _time(fields: dict[int, Any], *, micro: bool) -> str | None:
    """Seconds and nanoseconds since 1970; no fields: no time."""
    if not fields:
        return None
    instant = _value(fields.get(1, 0), "i", 0) * 10**9 + _value(fields.get(2, 0), "i", 0)
    return time_text(instant, 0, micro=micro)


_SPECIAL: dict[str, Callable[[dict[int, Any]], Any]] = {
    "Quantity": lambda fields: fields.get(1, b"").decode() or "0",
    "IntOrString": _int_or_string,
    "Time": lambda fields: _time(fields, micro=False),
    "MicroTime": lambda fields: _time(fields, micro=True),
    "Raw": lambda fields: msgspec.json.decode(fields[1]) if fields.get(1) else None,
}
