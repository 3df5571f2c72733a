"""The fields of the Kubernetes API: what the JSON of a kind may hold, and of which types.

Types of this package model what somebody here reads; everything else rides along in `extra`. This says what may ride
along: a field that is not in the table is unknown (a typo, mostly), and one of another type is wrong. Kinds that are
not in the table (`harness/model/field_table.py`) have the fields of their type here. `harness.model.schema` judges
manifests by the same table, with hints for people.
"""

from __future__ import annotations

import base64
import binascii
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import msgspec

from harness.model.field_table import json_fields, kind_messages
from harness.model.objects import KINDS, Kind, Unstructured
from harness.model.quantity import Quantity, parse_quantity
from harness.model.wire import Json, MicroTime, Time, Wire, parse_time


class Findings:
    """What is wrong with the JSON of an object: `unknown` paths, and (path, message) of values of a wrong type."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.wrong: list[tuple[str, str]] = []


Check: TypeAlias = Callable[[Any, str, Findings], Any]
"""(value, path, findings) -> the value without its unknown fields, the same one where it has none."""


def check_fields(kind: Kind, api_version: str, data: Json) -> tuple[Json, Findings]:
    """An object's JSON without what is not in the schema of its kind, and what is wrong with it.

    `api_version`: the version that it is written in, which may be another one than the kind's own.
    """
    findings = Findings()
    message = kind_messages().get((api_version, kind.kind))
    if message is not None:
        check = _message(message)
    elif kind.kind in KINDS and kind.type is not Unstructured and api_version == kind.api_version:
        check = _typed(kind.type)
    else:
        return data, findings
    head = {name: data[name] for name in ("apiVersion", "kind") if name in data}
    body = {name: value for name, value in data.items() if name not in head}
    pruned = check(body, "", findings)
    return (data if pruned is body else head | pruned), findings


def check_metadata(data: Any) -> tuple[Any, Findings]:
    """The metadata of any object, likewise."""
    findings = Findings()
    return _message("ObjectMeta")(data, "", findings), findings


def check_body(api_version: str, kind: str, data: Any) -> Findings:
    """What is wrong with the JSON of something that is no stored kind: a Scale, a Binding, DeleteOptions, a review."""
    findings = Findings()
    _message(kind_messages()[api_version, kind])(data, "", findings)
    return findings


# -- by the table ------------------------------------------------------------------------------------------------------


@cache
def _message(name: str) -> Check:
    return _object(lambda: _of_message(name))


def _of_message(name: str) -> dict[str, Check]:
    out: dict[str, Check] = {}
    for field in json_fields(name).values():
        check = _SCALARS.get(field.type) or _message(field.type)
        out[field.name] = _list(check) if field.repeated else _map(check) if field.mapped else check
    return out


# -- by a type ---------------------------------------------------------------------------------------------------------


_BY_TYPE: dict[type[Wire], Check] = {}


def _typed(kind: type[Wire]) -> Check:
    found = _BY_TYPE.get(kind)
    if found is None:
        found = _BY_TYPE[kind] = _object(lambda: _of_type(kind))
    return found


def _of_type(kind: type[Wire]) -> dict[str, Check]:
    hints = typing.get_type_hints(kind)
    fields = [field for field in msgspec.structs.fields(kind) if field.name != "extra"]
    return {field.encode_name: _of_hint(hints[field.name]) for field in fields}


def _of_hint(hint: Any) -> Check:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        options = [arg for arg in args if arg is not type(None)]
        return _of_hint(options[0]) if len(options) == 1 else _SCALARS["IntOrString"]
    if origin is tuple:
        return _list(_of_hint(args[0]))
    if origin in (dict, Mapping):
        return _map(_of_hint(args[1]))
    if isinstance(hint, type) and issubclass(hint, Wire):
        # What every kind shares has its own schema.
        return _message(hint.__name__) if hint.__name__ in ("ObjectMeta", "LabelSelector") else _typed(hint)
    return _SCALARS[_LETTERS[hint]]


# -- values ------------------------------------------------------------------------------------------------------------


def _object(fields_of: Callable[[], dict[str, Check]]) -> Check:
    known: dict[str, Check] = {}

    def check(value: Any, path: str, findings: Findings) -> Any:
        if value is None:
            return value
        if not isinstance(value, dict):
            findings.wrong.append((path, f"expected an object, found {_shown(value)}"))
            return value
        if not known:
            known.update(fields_of())
        changed: Json = {}
        unknown: list[str] = []
        for name, item in value.items():
            at = f"{path}.{name}" if path else name
            found = known.get(name)
            if found is None:
                findings.unknown.append(at)
                unknown.append(name)
                continue
            kept = found(item, at, findings)
            if kept is not item:
                changed[name] = kept
        if not unknown and not changed:
            return value
        return {name: changed.get(name, item) for name, item in value.items() if name not in unknown}

    return check


def _list(item: Check) -> Check:
    def check(value: Any, path: str, findings: Findings) -> Any:
        if value is None:
            return value
        if not isinstance(value, list):
            findings.wrong.append((path, f"expected a list, found {_shown(value)}"))
            return value
        kept = [_within(item, found, f"{path}[{index}]", findings) for index, found in enumerate(value)]
        return value if all(a is b for a, b in zip(kept, value, strict=True)) else kept

    return check


def _map(item: Check) -> Check:
    def check(value: Any, path: str, findings: Findings) -> Any:
        if value is None:
            return value
        if not isinstance(value, dict):
            findings.wrong.append((path, f"expected a map, found {_shown(value)}"))
            return value
        kept = {name: _within(item, found, f"{path}.{name}", findings) for name, found in value.items()}
        return value if all(kept[name] is value[name] for name in value) else kept

    return check


def _within(item: Check, value: Any, path: str, findings: Findings) -> Any:
    """An item of a list or map: a null there is an empty object, as Go reads it, and no string or number."""
    if value is not None:
        return item(value, path, findings)
    if item in _SCALARS.values():
        findings.wrong.append((path, "expected a value, found null"))
        return value
    return {}


def _scalar(words: str, holds: Callable[[Any], bool]) -> Check:
    def check(value: Any, path: str, findings: Findings) -> Any:
        if value is not None and not holds(value):
            findings.wrong.append((path, f"expected {words}, found {_shown(value)}"))
        return value

    return check


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}.."


def _integer(bits: int) -> Callable[[Any], bool]:
    most = 1 << (bits - 1)
    return lambda value: type(value) is int and -most <= value < most


def _is_base64(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_quantity(value: Any) -> bool:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return False
    try:
        parse_quantity(value)
    except ValueError:
        return False
    return True


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return False
    try:
        parse_time(value, 0)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return False
    return True


_SCALARS: dict[str, Check] = {
    "s": _scalar("a string", lambda value: isinstance(value, str)),
    "b": _scalar("true or false", lambda value: isinstance(value, bool)),
    "i": _scalar("an integer of 32 bits", _integer(32)),
    "l": _scalar("an integer of 64 bits", _integer(64)),
    "d": _scalar("a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)),
    "B": _scalar("text in base64", _is_base64),
    "Quantity": _scalar("a quantity, as 250m, 2 or 1.5Gi", _is_quantity),
    "IntOrString": _scalar(
        "an integer of 32 bits or a string", lambda value: isinstance(value, str) or _integer(32)(value)
    ),
    "Time": _scalar("an RFC 3339 time", _is_time),
    "MicroTime": _scalar("an RFC 3339 time", _is_time),
    "Raw": lambda value, path, findings: value,
}
_SCALARS["ExtraValue"] = _list(_SCALARS["s"])
_SCALARS["JSONSchemaPropsOrArray"] = _SCALARS["JSONSchemaPropsOrBool"] = lambda value, path, findings: (
    _message("JSONSchemaProps")(value, path, findings) if isinstance(value, dict) else value
)
_LETTERS: dict[Any, str] = {
    str: "s", int: "l", bool: "b", float: "d", Quantity: "Quantity", Time: "Time", MicroTime: "MicroTime", Any: "Raw",
}  # fmt: skip
