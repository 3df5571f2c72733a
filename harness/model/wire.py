"""Kubernetes JSON to typed values and back, without loss: what a type does not model rides along in `extra`.

Each nesting level keeps its own unmodelled fields, so a pod made from a template carries the template's
volumes and probes. Only the edges (HTTP, manifests, durable stores) use this; in process, values pass as they are.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias, TypeVar

import msgspec

from harness.model.quantity import Quantity, parse_quantity

Json: TypeAlias = dict[str, Any]
"""An object of JSON, decoded: its fields by their names on the wire."""

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""Any value of JSON, decoded. Who reads one looks at what it is first."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """Base of every API type. `extra`: the fields of the Kubernetes schema that the type does not model."""

    extra: dict[str, Any] | None = None


Time = typing.NewType("Time", int)
"""ns since the run began; on the wire an RFC 3339 timestamp (whole seconds, as metav1.Time)."""

MicroTime = typing.NewType("MicroTime", int)
"""ns since the run began; on the wire an RFC 3339 timestamp with microseconds (metav1.MicroTime)."""

W = TypeVar("W", bound=Wire)

VIRTUAL_EPOCH_UNIX_NS = 1_735_689_600 * 10**9
"""Instant 0 of a virtual run on the wire: 2025-01-01T00:00:00Z. Live clusters use the wall clock's."""


class DecodeError(ValueError):
    """A value of the wrong shape; `path` is the field path, as in spec.containers[0].image."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{path}: {message}")


Decoder = Callable[[Any, str, int], Any]
Encoder = Callable[[Any, int], Any]


def decode(kind: type[W], data: Any, *, path: str = "", epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS) -> W:
    """A typed value from parsed JSON. Raises DecodeError with the field path."""
    value = _codec(kind)[0](data, path, epoch_unix_ns)
    assert isinstance(value, kind)
    return value


def encode(value: Wire, *, epoch_unix_ns: int = VIRTUAL_EPOCH_UNIX_NS, whole: bool = False) -> dict[str, Any]:
    """Parsed JSON from a typed value, unmodelled fields included. `whole`: empty objects, too, where Go has a struct
    and no pointer, as `spec: {}` and `resources: {}`."""
    out = _codec(type(value), whole)[1](value, epoch_unix_ns)
    assert isinstance(out, dict)
    return out


class ScaledEpoch(int):
    """When instant 0 was, for clients of a cluster whose clock runs `scale` times as fast as theirs: what happened
    `scale` seconds ago by its clock happened a second ago by theirs. Added to an instant, and taken from a time, as an
    int is."""

    scale: float

    def __new__(cls, unix_ns: int, scale: float) -> ScaledEpoch:
        made = super().__new__(cls, unix_ns)
        made.scale = scale
        return made

    def __add__(self, instant_ns: int) -> int:
        return int(self) + round(instant_ns / self.scale)

    def __rsub__(self, unix_ns: int) -> int:
        return round((unix_ns - int(self)) * self.scale)


def time_text(instant_ns: int, epoch_unix_ns: int, *, micro: bool = False) -> str:
    seconds, rest = divmod(epoch_unix_ns + instant_ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).isoformat()[:19]  # strftime does not pad years below 1000
    return f"{text}.{rest // 1000:06d}Z" if micro else text + "Z"


_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""Seconds since 1970 of the first and the last instant that RFC 3339 can write."""


def parse_time(text: str, epoch_unix_ns: int) -> int:
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    whole = int(at.replace(microsecond=0).timestamp())
    if not _FIRST_S <= whole <= _LAST_S:
        raise ValueError(f"{text!r} is beyond the years 1 to 9999")
    return whole * 10**9 + at.microsecond * 1000 - epoch_unix_ns


@cache
def _codec(kind: Any, whole: bool = False) -> tuple[Decoder, Encoder]:
    """Built once a type from its annotations."""
    origin = typing.get_origin(kind)
    args = typing.get_args(kind)
    if kind in (Time, MicroTime):
        return _time_codec(micro=kind is MicroTime)
    if kind is Quantity:
        return _decode_quantity, lambda value, _: str(value)
    if origin in (typing.Union, types.UnionType):
        options = [arg for arg in args if arg is not type(None)]
        if len(options) > 1:  # IntOrString is the only such union in the API
            return _decode_int_or_string, lambda value, _: value
        inner_decode, inner_encode = _codec(options[0], whole)
        return (
            lambda data, path, epoch: None if data is None else inner_decode(data, path, epoch),
            lambda value, epoch: None if value is None else inner_encode(value, epoch),
        )
    if origin is tuple:
        return _list_codec(args[0], whole)
    if origin in (dict, Mapping):
        return _map_codec(args[1], whole)
    if isinstance(kind, type) and issubclass(kind, Wire):
        return _struct_codec(kind, whole)
    if kind is Any:
        return lambda data, path, epoch: data, lambda value, epoch: value
    return _scalar_codec(kind)


def _time_codec(*, micro: bool) -> tuple[Decoder, Encoder]:
    def decode_time(data: Any, path: str, epoch: int) -> Any:
        try:
            return parse_time(data, epoch)
        except (TypeError, ValueError, AttributeError, OverflowError):
            raise DecodeError(path, f"{data!r} is not an RFC 3339 time") from None

    return decode_time, lambda value, epoch: time_text(value, epoch, micro=micro)


def _decode_quantity(data: Any, path: str, epoch: int) -> Quantity:
    if isinstance(data, (str, int, float)) and not isinstance(data, bool):
        try:
            return parse_quantity(data)
        except ValueError as error:
            raise DecodeError(path, str(error)) from None
    raise DecodeError(path, f"{data!r} is not a quantity")


def _decode_int_or_string(data: Any, path: str, epoch: int) -> int | str:
    if isinstance(data, (int, str)) and not isinstance(data, bool):
        return data
    raise DecodeError(path, f"{data!r} is neither an integer nor a string")


def _list_codec(item: Any, whole: bool) -> tuple[Decoder, Encoder]:
    item_decode, item_encode = _codec(item, whole)

    def decode_list(data: Any, path: str, epoch: int) -> Any:
        if data is None:
            return ()
        if not isinstance(data, list):
            raise DecodeError(path, f"expected a list, found {type(data).__name__}")
        return tuple(item_decode(value, f"{path}[{index}]", epoch) for index, value in enumerate(data))

    return decode_list, lambda value, epoch: [item_encode(item, epoch) for item in value]


def _map_codec(item: Any, whole: bool) -> tuple[Decoder, Encoder]:
    item_decode, item_encode = _codec(item, whole)

    def decode_map(data: Any, path: str, epoch: int) -> Any:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            raise DecodeError(path, f"expected a map, found {type(data).__name__}")
        return {str(key): item_decode(value, f"{path}.{key}", epoch) for key, value in data.items()}

    return decode_map, lambda value, epoch: {key: item_encode(item, epoch) for key, item in value.items()}


def _scalar_codec(kind: Any) -> tuple[Decoder, Encoder]:
    def decode_scalar(data: Any, path: str, epoch: int) -> Any:
        if kind is float and isinstance(data, int) and not isinstance(data, bool):
            return float(data)
        if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
            raise DecodeError(path, f"expected {_WORDS.get(kind, kind)}, found {data!r}")
        return data

    return decode_scalar, lambda value, epoch: value


_WORDS = {str: "a string", int: "an integer", bool: "true or false", float: "a number"}


def _struct_codec(kind: type[Wire], whole: bool) -> tuple[Decoder, Encoder]:
    hints = typing.get_type_hints(kind)
    fields = [field for field in msgspec.structs.fields(kind) if field.name != "extra"]
    codecs = {field.encode_name: (field.name, *_lazy(hints[field.name], whole)) for field in fields}
    defaults = {
        field.encode_name: field.default
        if field.default is not msgspec.NODEFAULT
        else (field.default_factory() if field.default_factory is not msgspec.NODEFAULT else msgspec.NODEFAULT)
        for field in fields
    }

    def decode_struct(data: Any, path: str, epoch: int) -> Any:
        if data is None:
            data = {}
        if not isinstance(data, Mapping):
            raise DecodeError(path, f"expected an object, found {data!r}")
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in data.items():
            known = codecs.get(key)
            if known is None:
                extra[key] = value
            elif value is not None:
                values[known[0]] = known[1](value, f"{path}.{key}" if path else key, epoch)
        try:
            return kind(**values, extra=extra or None)
        except TypeError:
            missing = [n for n, d in defaults.items() if d is msgspec.NODEFAULT and codecs[n][0] not in values]
            raise DecodeError(f"{path}.{missing[0]}" if path else missing[0], "Required value") from None

    def encode_struct(value: Any, epoch: int) -> Any:
        out: dict[str, Any] = {}
        for name, (attribute, _, encoder) in codecs.items():
            item = getattr(value, attribute)
            if item is None or (item == defaults[name] and not _said(item) and not (whole and isinstance(item, Wire))):
                continue
            out[name] = item if type(item) in _PLAIN else encoder(item, epoch)
        if value.extra:
            for name, item in value.extra.items():
                out.setdefault(name, item)
        return out

    return decode_struct, encode_struct


_PLAIN = (str, bool)
"""Types of which each value is its own JSON. An int is not among them: it may be an instant or a quantity."""


def _said(item: Any) -> bool:
    """A default that is a value and not an absence (protocol TCP) is written, as Kubernetes writes it."""
    return isinstance(item, str) and item != ""


def _lazy(kind: Any, whole: bool) -> tuple[Decoder, Encoder]:
    """Deferred, so that recursive types end."""
    found: list[tuple[Decoder, Encoder]] = []

    def decode_later(data: Any, path: str, epoch: int) -> Any:
        if not found:
            found.append(_codec(kind, whole))
        return found[0][0](data, path, epoch)

    def encode_later(value: Any, epoch: int) -> Any:
        if not found:
            found.append(_codec(kind, whole))
        return found[0][1](value, epoch)

    return decode_later, encode_later
