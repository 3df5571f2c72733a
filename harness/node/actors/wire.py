"""What passes between the control plane and an actor, as msgpack: typed values come out as they went in.

A frame is one byte that says what is wanted, and a document. Messages are arrays [number of the class, fields..]; API
objects inside are extensions with the store's own encoding, tuples extensions of their own, so that nothing that was a
tuple comes back as a list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from harness.engine.component import (
    BindPod,
    Create,
    Delete,
    EvictPod,
    FaultInjected,
    Observe,
    Outcome,
    Packet,
    PatchStatus,
    Record,
    Relist,
    StandingLease,
    Start,
    Subscribe,
    Timer,
    Update,
    Watch,
)
from harness.engine.loop import ADDRESS_BITS, ADDRESS_MASK
from harness.engine.messages import Observed
from harness.model.faults import NodeFault
from harness.model.objects import BY_TYPE, Unstructured
from harness.model.status import ApiError, Cause
from harness.node.backend import PowerOff
from harness.node.usage import Flow
from harness.store.codec import ObjectCodec

RESET, ADVANCE, INSPECT = b"r", b"a", b"i"
"""Forget everything, a new run begins; run to a horizon; say how the machines are."""

POWER_ON = -1
"""Instead of a class: [POWER_ON, node, number of its settings, seed]."""

_CLASSES: tuple[type[Any], ...] = (
    Watch,
    Relist,
    Timer,
    Outcome,
    Packet,
    Start,
    FaultInjected,
    PowerOff,
    Create,
    Update,
    PatchStatus,
    Delete,
    Record,
    StandingLease,
    Subscribe,
    Observe,
    Flow,
    BindPod,
    EvictPod,
)
_OBSERVED = len(_CLASSES)
_OBJECT, _MESSAGE, _TUPLE, _ERROR, _FAULT = 1, 2, 3, 4, 5
"""Numbers of extensions."""


class Wire:
    """Encodes and decodes messages. Raises TypeError for what is none."""

    def __init__(self) -> None:
        self._codec = ObjectCodec()
        self._encode = msgspec.msgpack.Encoder().encode
        self._fault = msgspec.msgpack.Decoder(NodeFault)
        self._decoder = msgspec.msgpack.Decoder(ext_hook=self._extension)
        self._wraps: dict[type[Any], Callable[[Any], Any]] = {
            **dict.fromkeys((str, int, bool, float, type(None), bytes), _same),
            **dict.fromkeys(_CLASSES, self._message_extension),
            **dict.fromkeys((*BY_TYPE, Unstructured), self._object),
            **dict.fromkeys(NodeFault.__args__, self._node_fault),
            tuple: self._tuple,
            list: lambda value: [self.pack_value(item) for item in value],
            dict: lambda value: {key: self.pack_value(item) for key, item in value.items()},
            ApiError: self._error,
        }
        self._fields: dict[type[Any], tuple[int, tuple[str, ...]]] = {
            kind: (number, kind.__struct_fields__) for number, kind in enumerate(_CLASSES)
        }

    def encode(self, document: Any) -> bytes:
        """`document`: plain values; messages in it as `pack` makes them."""
        return self._encode(document)

    def decode(self, data: bytes | memoryview) -> Any:
        return self._decoder.decode(data)

    def pack(self, message: Any) -> list[Any]:
        """As a part of a document."""
        if type(message) is Observed:
            return [_OBSERVED, message.at, message.source, message.topic, self.pack_value(message.data)]
        number, fields = self._fields[type(message)]
        wraps = self._wraps
        packed: list[Any] = [number]
        for name in fields:
            value = getattr(message, name)
            packed.append((wraps.get(type(value)) or self.pack_value)(value))
        return packed

    def unpack(self, packed: list[Any]) -> Any:
        number = packed[0]
        if number == _OBSERVED:
            _, at, source, topic, data = packed
            return Observed(at, source, Observe(topic, data))
        return _CLASSES[number](*packed[1:])

    def pack_value(self, value: Any) -> Any:
        """What a message holds, or a document besides messages."""
        wrap = self._wraps.get(type(value))
        if wrap is None:
            if isinstance(value, (str, int)):  # a name or number with a class of its own, as IntEnum
                return value.value if hasattr(value, "value") else value
            raise TypeError(f"{type(value).__name__} does not pass between processes: {value!r}")
        return wrap(value)

    def _message_extension(self, value: Any) -> msgspec.msgpack.Ext:
        return msgspec.msgpack.Ext(_MESSAGE, self._encode(self.pack(value)))

    def _object(self, value: Any) -> msgspec.msgpack.Ext:
        return msgspec.msgpack.Ext(_OBJECT, self._codec.encode(value))

    def _node_fault(self, value: Any) -> msgspec.msgpack.Ext:
        return msgspec.msgpack.Ext(_FAULT, self._encode(value))

    def _tuple(self, value: tuple[Any, ...]) -> msgspec.msgpack.Ext:
        return msgspec.msgpack.Ext(_TUPLE, self._encode([self.pack_value(item) for item in value]))

    def _error(self, value: ApiError) -> msgspec.msgpack.Ext:
        causes = [(cause.field, cause.reason, cause.message) for cause in value.causes]
        parts = (value.code, value.reason, value.message, value.kind, value.name, value.group, causes)
        return msgspec.msgpack.Ext(_ERROR, self._encode((*parts, value.retry_after_s)))

    def _extension(self, code: int, data: memoryview) -> Any:
        match code:
            case 1:
                return self._codec.decode(bytes(data))
            case 2:
                return self.unpack(self._decoder.decode(data))
            case 3:
                return tuple(self._decoder.decode(data))
            case 4:
                number, reason, message, kind, name, group, causes, retry = self._decoder.decode(data)
                return ApiError(
                    number,
                    reason,
                    message,
                    kind=kind,
                    name=name,
                    group=group,
                    causes=tuple(Cause(*cause) for cause in causes),
                    retry_after_s=retry,
                )
            case 5:
                return self._fault.decode(data)
            case _:
                raise ValueError(f"unknown msgpack extension {code}")


def split_tag(tag: int) -> tuple[int, int]:
    """(instant of sending, address of the sender): a tag has more than 64 bits after some minutes."""
    return tag >> ADDRESS_BITS, tag & ADDRESS_MASK


def join_tag(sent_at: int, sent_by: int) -> int:
    return sent_at << ADDRESS_BITS | sent_by


def _same(value: Any) -> Any:
    return value
