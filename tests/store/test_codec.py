"""Values as bytes: every kind, with all that rides along, comes back exactly."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.objects import KINDS, Pod, Unstructured, Wire, from_wire, to_wire
from harness.model.quantity import Quantity, QuantityFormat
from harness.store.codec import ObjectCodec
from tests.examples import examples

CODEC = ObjectCodec()

# What JSON text can hold: no lone surrogates; integers of any size, as other people's resources may have.
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
EXTRA = st.none() | st.dictionaries(TEXT, JSON, min_size=1, max_size=3)


@cache
def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of an annotation of the model, defaults and rare fields alike."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, typing.NewType):
        return values_of(hint.__supertype__)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, args))
    if origin is tuple:
        return st.lists(values_of(args[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, values_of(args[1]), max_size=2)
    if hint is Quantity:
        return st.builds(Quantity, INTEGERS | st.integers(), st.sampled_from(QuantityFormat))
    if isinstance(hint, type) and issubclass(hint, Wire):
        return st.deferred(lambda: objects_of(hint))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: INTEGERS,
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
        types.NoneType: st.none(),
    }
    if hint is typing.Any:  # JSON of any form
        return st.recursive(
            TEXT | INTEGERS,
            lambda part: st.lists(part, max_size=2) | st.dictionaries(TEXT, part, max_size=2),
            max_leaves=4,
        )
    return plain[hint]


@cache
def objects_of(kind: Any) -> st.SearchStrategy[Wire]:
    hints = typing.get_type_hints(kind)
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {"extra": EXTRA}
    for field in msgspec.structs.fields(kind):
        if field.name != "extra":
            (required if field.required else optional)[field.name] = values_of(hints[field.name])
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: kind(**values))


TYPES: dict[str, Any] = {name: kind.type for name, kind in KINDS.items()}


@pytest.mark.parametrize("name", sorted(KINDS))
@given(data=st.data())
@settings(max_examples=examples(25), deadline=None)
def test_every_kind_comes_back_exactly(name: str, data: st.DataObject) -> None:
    value: Any = data.draw(values_of(TYPES[name]))
    if TYPES[name] is Unstructured:
        value = msgspec.structs.replace(value, extra={**(value.extra or {}), "kind": name})
    encoded = CODEC.encode(value)
    again = CODEC.decode(encoded)
    assert type(again) is type(value)
    assert again == value
    assert repr(again) == repr(value), "1, 1.0 and True are equal and not the same"
    assert CODEC.encode(again) == encoded


@given(JSON)
@settings(deadline=None)
def test_plain_data_comes_back_exactly(value: Any) -> None:
    again = CODEC.decode(CODEC.encode(value))
    assert repr(again) == repr(value)


def test_bytes_come_back_exactly_beside_integers_beyond_64_bits() -> None:
    value = {"raw": b"\x00\xff", "big": [2**64 - 1, 2**64, -(2**63) - 1, 10**40]}
    assert CODEC.decode(CODEC.encode(value)) == value


def test_nanoseconds_survive_where_the_wire_form_rounds() -> None:
    pod = from_wire({"kind": "Pod", "metadata": {"name": "a", "creationTimestamp": "2025-01-01T00:00:01Z"}})
    meta = msgspec.structs.replace(pod.metadata, creation_timestamp=1_000_000_001)
    pod = msgspec.structs.replace(pod, metadata=meta)
    assert from_wire(to_wire(pod)) != pod
    assert CODEC.decode(CODEC.encode(pod)) == pod


def test_quantities_beyond_64_bits_of_thousandths() -> None:
    node = from_wire({"kind": "Node", "metadata": {"name": "big"}, "status": {"capacity": {"memory": "7Ei"}}})
    assert CODEC.decode(CODEC.encode(node)) == node


@pytest.mark.parametrize(
    "data",
    [b"", b"Pod", b"\x81", b"Teapot\n\x80", b"Pod\n", b"Pod\n\x81\xa8metadata\x01", b"Pod\n\x80\x80", b"Pod+\n\xc0"],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"known kind|truncated|Expected|trailing"):
        CODEC.decode(data)


def test_what_is_no_api_object_is_refused() -> None:
    class Own(msgspec.Struct):
        a: int = 1

    with pytest.raises(TypeError, match="Own"):
        CODEC.encode(Own())
    with pytest.raises(TypeError):
        CODEC.encode(object())
    with pytest.raises(ValueError, match="surrogates"):
        CODEC.encode(Pod(extra={"a": "\ud800"}))
