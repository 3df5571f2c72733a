"""Manifests against the table of Kubernetes' fields: each field that is written, or what is wrong with it.

Whether a field is modelled here does not matter. Kinds that are not in the table (`harness/model/field_table.py`) are
not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.errors import did_you_mean
from harness.model.field_table import Field, json_fields, kind_messages


@dataclass(frozen=True, slots=True)
class Problem:
    """A field that is not in the schema, or holds what it cannot hold."""

    path: str
    what: str
    found: str | None = None
    expected: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A field that is written, and is in the table: `field` of `message`, as Container.image."""

    path: str
    message: str
    field: str
    value: Any


def is_known(api_version: str, kind: str) -> bool:
    return (api_version, kind) in kind_messages()


def walk(api_version: str, kind: str, data: Mapping[str, Any]) -> Iterator[Problem | Visit]:
    """Every field that is written, or what is wrong with it; nothing for a kind that is not known."""
    message = kind_messages().get((api_version, kind))
    if message is not None:
        yield from _message(message, data, "")


def _message(message: str, data: Any, path: str) -> Iterator[Problem | Visit]:
    fields = json_fields(message)
    for name, value in data.items():
        at = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            hint = did_you_mean(name, fields)
            known = None if hint and len(fields) > 12 else ", ".join(sorted(fields))
            yield Problem(at, "there is no such field", name, known, hint)
        elif value is not None:
            yield Visit(at, message, name, value)
            yield from _value(field, value, at)


def _value(field: Field, value: Any, path: str) -> Iterator[Problem | Visit]:
    if field.repeated:
        if not isinstance(value, list):
            yield _wrong(path, "a list", value)
            return
        for index, item in enumerate(value):
            yield from _one(field.type, item, f"{path}[{index}]")
    elif field.mapped:
        if not isinstance(value, dict):
            yield _wrong(path, "a mapping", value)
            return
        for name, item in value.items():
            yield from _one(field.type, item, f"{path}.{name}")
    else:
        yield from _one(field.type, value, path)


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "s": ((str,), "text"),
    "B": ((str,), "text in base64"),
    "b": ((bool,), "true or false"),
    "i": ((int,), "a whole number"),
    "l": ((int,), "a whole number"),
    "d": ((int, float), "a number"),
    "Quantity": ((str, int, float), "a quantity, as 500m or 2Gi"),
    "IntOrString": ((int, str), "a whole number or text"),
    "Time": ((str,), "a time, as 2025-01-01T00:00:00Z"),
    "MicroTime": ((str,), "a time, as 2025-01-01T00:00:00.000000Z"),
}


_UNJUDGED = ("Raw", "ExtraValue", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool")


def _one(kind: str, value: Any, path: str) -> Iterator[Problem | Visit]:
    known = _TYPES.get(kind)
    if known is not None:
        types, words = known
        # A null in a list or map is what an absent value is.
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            yield _wrong(path, words, value)
    elif kind not in _UNJUDGED:
        if isinstance(value, dict):
            yield from _message(kind, value, path)
        elif value is not None:
            yield _wrong(path, "a mapping", value)


def _wrong(path: str, expected: str, value: Any) -> Problem:
    hint = f'quotes around it: "{value}"' if expected == "text" and isinstance(value, (int, float)) else None
    return Problem(path, "wrong type", repr(value)[:80], expected, hint)
