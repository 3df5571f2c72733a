"""The table of Kubernetes' fields: `kubernetes_fields.txt`, which says where it comes from.

Everything that must know a field reads it here: the check of manifests (`harness.model.schema`), the API server's check
of bodies (`harness.model.field_types`), its OpenAPI documents, server-side apply, and protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec


class Field(msgspec.Struct, frozen=True):
    """`type`: a letter of the file (s, b, i, l, d, B), a type with a JSON form of its own, or the name of a message.

    `number`: in protobuf; 0 where it has no form in protobuf here. `pointer`: a zero of it says something. `embedded`:
    JSON spreads the message over the object around it.
    """

    name: str
    type: str
    number: int = 0
    repeated: bool = False
    mapped: bool = False
    pointer: bool = False
    embedded: bool = False


class Marks(msgspec.Struct, frozen=True):
    """How server-side apply sees a message. `lists`: of a field, ('set',) or the keys of its items; a list without an
    entry is replaced as a whole, as are maps in `atomic_fields`, and the message itself when it is `atomic`."""

    atomic: bool = False
    lists: Mapping[str, tuple[str, ...]] = {}
    atomic_fields: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()


SET = ("set",)


@cache
def _lines() -> tuple[str, ...]:
    return tuple(files("harness.model").joinpath("kubernetes_fields.txt").read_text(encoding="utf-8").splitlines())


@cache
def kind_messages() -> Mapping[tuple[str, str], str]:
    """The message of each (apiVersion, kind)."""
    out: dict[tuple[str, str], str] = {}
    for line in _lines():
        if line.startswith("@"):
            _, version, *names = line.split()
            for name in names:
                kind, _, message = name.partition("=")
                out[version, kind] = message or kind
    return out


@cache
def messages() -> Mapping[str, tuple[Field, ...]]:
    """The fields of each message."""
    out: dict[str, tuple[Field, ...]] = {}
    for line in _lines():
        if not line.startswith(("#", "=", "@")):
            name, _, rest = line.partition(":")
            out[name] = tuple(_field(text) for text in rest.strip().split(", ") if text)
    return out


def _field(text: str) -> Field:
    *number, name, kind = text.split()
    return Field(
        name=name.lstrip("+"),
        type=kind.strip("*%?"),
        number=int(number[0]) if number else 0,
        repeated=kind.startswith("*"),
        mapped=kind.startswith("%"),
        pointer=kind.endswith("?"),
        embedded=name.startswith("+"),
    )


@cache
def json_fields(message: str) -> Mapping[str, Field]:
    """The fields of a message's JSON by name, with those of its embedded messages."""
    out: dict[str, Field] = {}
    for field in messages()[message]:
        if field.embedded:
            out |= json_fields(field.type)
        else:
            out[field.name] = field
    return out


@cache
def field_marks() -> Mapping[str, Marks]:
    """By message, for those that have any."""
    out: dict[str, Marks] = {}
    for line in _lines():
        if not line.startswith("= "):
            continue
        message, _, rest = line[2:].partition(": ")
        said = [part.partition("=") for part in rest.split(", ")]
        out[message] = Marks(
            atomic=any(name == "atomic" for name, _, _ in said),
            lists={name: tuple(kind.split("+")) for name, _, kind in said if kind and kind != "atomic"},
            atomic_fields=frozenset(name for name, _, kind in said if kind == "atomic"),
            required=tuple(name[:-1] for name, _, _ in said if name.endswith("!")),
        )
    return out
