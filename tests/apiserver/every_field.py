"""Values of any API type with every field set to something that is no default, and where two of them differ."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from harness.model.quantity import Quantity, QuantityFormat
from harness.model.wire import MicroTime, Time, Wire

FLAT = {str: "said", int: 7, bool: True, float: 7.5}


def filled(kind: Any, depth: int = 0) -> Any:
    """`depth`: types that hold themselves end somewhere."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Time, MicroTime):
        return kind(7 * 10**9)
    if kind is Quantity:
        return Quantity(7 * 1024 * 1000, QuantityFormat.BINARY)
    if kind is Any:
        return {"said": "too"}
    if origin in (typing.Union, types.UnionType):
        return filled(next(arg for arg in args if arg is not type(None)), depth)
    if origin is tuple:
        return (filled(args[0], depth),)
    if origin in (dict, Mapping):
        return {"key": filled(args[1], depth)}
    if isinstance(kind, type) and issubclass(kind, Wire):
        hints = typing.get_type_hints(kind)
        values = {
            field.name: filled(hints[field.name], depth + 1)
            for field in msgspec.structs.fields(kind)
            if field.name != "extra" and depth < 12
        }
        return kind(**values, extra={"unmodelled": {"field": 1}})
    return FLAT[kind]


def differences(was: Any, now: Any, path: str = "") -> Iterator[str]:
    """Paths at which two values differ."""
    if isinstance(was, msgspec.Struct) and type(was) is type(now):
        for name in was.__struct_fields__:
            yield from differences(getattr(was, name), getattr(now, name), f"{path}.{name}".lstrip("."))
    elif was != now:
        yield path


def defaults_within(value: Any, path: str = "") -> Iterator[str]:
    """Paths of fields that are still at their default: a value that `filled` made has none."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(type(value)):
            item = getattr(value, field.name)
            if field.default is not msgspec.NODEFAULT and item == field.default:
                yield f"{path}.{field.name}"
            yield from defaults_within(item, f"{path}.{field.name}")
    elif isinstance(value, tuple):
        for item in value:
            yield from defaults_within(item, path)
