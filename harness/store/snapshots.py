"""A store's contents as bytes with a checksum: the same whichever implementation wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from harness.store.interface import Entry


class Codec(Protocol):
    """How values become bytes, for what leaves the process."""

    def encode(self, value: Any) -> bytes: ...

    def decode(self, data: bytes) -> Any: ...


class _Saved(msgspec.Struct, array_like=True):
    revision: int
    entries: list[tuple[str, bytes, int, int, int, int]]
    leases: dict[int, tuple[int, int]]
    next_lease: int


class Saved(msgspec.Struct):
    revision: int
    entries: list[Entry]
    leases: dict[int, tuple[int, int]]
    next_lease: int


_MAGIC = b"podyard-store-1\n"
_DIGEST = 32


def pack(
    codec: Codec, revision: int, entries: Sequence[Entry], leases: dict[int, tuple[int, int]], next_lease: int
) -> bytes:
    rows = [
        (entry.key, codec.encode(entry.value), entry.create_revision, entry.mod_revision, entry.version, entry.lease)
        for entry in entries
    ]
    body = msgspec.msgpack.encode(_Saved(revision, rows, leases, next_lease))
    return _MAGIC + blake2b(body, digest_size=_DIGEST).digest() + body


def unpack(codec: Codec, data: bytes) -> Saved:
    """Raises ValueError when it is no snapshot, or a damaged one."""
    if not data.startswith(_MAGIC):
        raise ValueError("not a store snapshot")
    digest, body = data[len(_MAGIC) : len(_MAGIC) + _DIGEST], data[len(_MAGIC) + _DIGEST :]
    if blake2b(body, digest_size=_DIGEST).digest() != digest:
        raise ValueError("the snapshot is damaged: its checksum does not match")
    saved = msgspec.msgpack.decode(body, type=_Saved)
    entries = [Entry(key, codec.decode(value), *rest) for key, value, *rest in saved.entries]
    return Saved(saved.revision, entries, saved.leases, saved.next_lease)
