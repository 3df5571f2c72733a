"""API objects as bytes and back, exactly: nanoseconds, quantities' forms and what is not modelled included.

The Kubernetes wire form will not do for this, since metav1.Time has whole seconds. So the typed values themselves are
written, as msgpack with their field names, behind a line with the kind:

    Pod\\n<msgpack map>      a typed object, or Unstructured
    \\n<msgpack>             anything else that is plain data: None, bool, int, float, str, bytes, list, dict
    Pod+\\n<msgpack map>     likewise, holding integers beyond 64 bits (a quantity of 20Ei is that many thousandths)
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.objects import BY_TYPE, Unstructured

_BIG = 1  # msgpack extension type: a signed integer, big-endian


class ObjectCodec:
    """`extra` and plain values hold parsed JSON (no tuples, sets or dates): the rest of an object is typed."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._types: dict[str, type[Any]] = {kind.kind: kind_type for kind_type, kind in BY_TYPE.items()} | {
            "Unstructured": Unstructured,
            "": Any,
        }
        self._prefixes = {kind_type: name.encode() + b"\n" for name, kind_type in self._types.items() if name}
        self._decoders: dict[bytes, msgspec.msgpack.Decoder[Any]] = {
            name.encode(): msgspec.msgpack.Decoder(kind_type) for name, kind_type in self._types.items()
        }

    def encode(self, value: Any) -> bytes:
        """Raises TypeError for what is neither an API object nor plain data, ValueError for text that is no UTF-8."""
        prefix = self._prefixes.get(type(value))
        if prefix is None:
            if isinstance(value, msgspec.Struct):
                raise TypeError(f"{type(value).__name__} is not an API object's type")
            prefix = b"\n"
        try:
            return prefix + self._encoder.encode(value)
        except OverflowError:
            plain = msgspec.to_builtins(value, builtin_types=(bytes,))
            return prefix[:-1] + b"+\n" + self._encoder.encode(_shrunk(plain))

    def decode(self, data: bytes) -> Any:
        """Raises ValueError for what is not an encoded object, or one of a kind that this version does not know."""
        end = data.find(b"\n")
        name = data[:end] if end >= 0 else data[:32]
        decoder = self._decoders.get(name)
        if decoder is not None and end >= 0:
            return decoder.decode(memoryview(data)[end + 1 :])
        known = self._types.get(name[:-1].decode(errors="replace")) if name.endswith(b"+") else None
        if known is None or end < 0:
            raise ValueError(f"not an encoded object of a known kind: it starts with {name!r}")
        plain = msgspec.msgpack.decode(memoryview(data)[end + 1 :], ext_hook=_grown)
        return plain if known is Any else msgspec.convert(plain, known)


def _shrunk(value: Any) -> Any:
    """Parsed JSON with each integer that msgpack cannot hold as an extension."""
    match value:
        case dict():
            return {key: _shrunk(item) for key, item in value.items()}
        case list() | tuple():
            return [_shrunk(item) for item in value]
        case int() if not -(2**63) <= value < 2**64:
            return msgspec.msgpack.Ext(_BIG, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
        case _:
            return value


def _grown(code: int, data: memoryview) -> int:
    if code != _BIG:
        raise ValueError(f"unknown msgpack extension {code}")
    return int.from_bytes(data, "big", signed=True)
