"""The fields of Kubernetes' kinds, from its OpenAPI: what may be written in a manifest, whether it is modelled or not.

`fields.txt` says where it comes from. Kinds that are not in it are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from harness.model.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class Field:
    """`kind`: a letter (string s, bool b, integer i, number f, time t, quantity q, anything o) or a model's name."""

    name: str
    kind: str
    many: bool = False  # a list of them
    mapped: bool = False  # a map from strings to them


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
    """A field that is written, and is in the schema: `field` of `model`, as Container.image."""

    path: str
    model: str
    field: str
    value: Any


@cache
def _table() -> tuple[dict[tuple[str, str], str], dict[str, dict[str, Field]]]:
    roots: dict[tuple[str, str], str] = {}
    models: dict[str, dict[str, Field]] = {}
    for line in files("harness.model.schema").joinpath("fields.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("@"):
            _, version, kind, model = line.split()
            roots[version, kind] = model
        elif not line.startswith("#"):
            model, _, rest = line.partition(": ")
            models[model] = {field.name: field for field in map(_field, rest.split(", ")) if field.name}
    return roots, models


def _field(text: str) -> Field:
    name, _, kind = text.partition(" ")
    return Field(name, kind.lstrip("*%"), "*" in kind, "%" in kind)


def is_known(api_version: str, kind: str) -> bool:
    return (api_version, kind) in _table()[0]


def model_of(api_version: str, kind: str) -> str | None:
    return _table()[0].get((api_version, kind))


def fields_of(model: str) -> Mapping[str, Field]:
    """Of a model of fields.txt, such as V1PodSpec."""
    return _table()[1].get(model, {})


def walk(api_version: str, kind: str, data: Mapping[str, Any]) -> Iterator[Problem | Visit]:
    """Every field that is written, or what is wrong with it; nothing for a kind that is not known."""
    model = _table()[0].get((api_version, kind))
    if model is not None:
        yield from _model(model, data, "")


def _model(model: str, data: Any, path: str) -> Iterator[Problem | Visit]:
    fields = fields_of(model)
    for name, value in data.items():
        at = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            hint = did_you_mean(name, fields)
            known = None if hint and len(fields) > 12 else ", ".join(sorted(fields))
            yield Problem(at, "there is no such field", name, known, hint)
        elif value is not None:
            yield Visit(at, model, name, value)
            yield from _value(field, value, at)


def _value(field: Field, value: Any, path: str) -> Iterator[Problem | Visit]:
    if field.many:
        if not isinstance(value, list):
            yield _wrong(path, "a list", value)
            return
        for index, item in enumerate(value):
            yield from _one(field.kind, item, f"{path}[{index}]")
    elif field.mapped:
        if not isinstance(value, dict):
            yield _wrong(path, "a mapping", value)
            return
        for name, item in value.items():
            yield from _one(field.kind, item, f"{path}.{name}")
    else:
        yield from _one(field.kind, value, path)


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "s": ((str,), "text"),
    "t": ((str,), "a time, as 2025-01-01T00:00:00Z"),
    "b": ((bool,), "true or false"),
    "i": ((int,), "a whole number"),
    "f": ((int, float), "a number"),
    "q": ((str, int, float), "a quantity, as 500m or 2Gi"),
}


def _one(kind: str, value: Any, path: str) -> Iterator[Problem | Visit]:
    known = _TYPES.get(kind)
    if known is not None:
        types, words = known
        # A null in a list or map is what an absent value is.
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            yield _wrong(path, words, value)
    elif kind != "o":
        if isinstance(value, dict):
            yield from _model(kind, value, path)
        elif value is not None:
            yield _wrong(path, "a mapping", value)


def _wrong(path: str, expected: str, value: Any) -> Problem:
    hint = f'quotes around it: "{value}"' if expected == "text" and isinstance(value, (int, float)) else None
    return Problem(path, "wrong type", repr(value)[:80], expected, hint)
