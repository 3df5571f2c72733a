"""A store's contents as bytes with a checksum: the same bytes whichever implementation wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from harness.store.interface import Codec, StoreEntry

_MAGIC = b"podyard-store-1\n"
_DIGEST = 32

Row = tuple[str, bytes, int, int, int, int]
"""(key, encoded value, create_revision, mod_revision, version, lease)"""


class Saved(msgspec.Struct, array_like=True):
    """`rows` in order of key; `leases` as id: (ttl_ns, expires_at_ns), in order of id."""

    revision: int
    rows: list[Row]
    leases: dict[int, tuple[int, int]]
    next_lease: int


def pack(revision: int, rows: Iterable[Row], leases: Mapping[int, tuple[int, int]], next_lease: int) -> bytes:
    body = msgspec.msgpack.encode(Saved(revision, list(rows), dict(sorted(leases.items())), next_lease))
    return _MAGIC + blake2b(body, digest_size=_DIGEST).digest() + body


def unpack(data: bytes) -> Saved:
    """Raises ValueError when it is no snapshot, a damaged one, or one that contradicts itself."""
    if not data.startswith(_MAGIC):
        raise ValueError("not a store snapshot")
    start = len(_MAGIC) + _DIGEST
    body = memoryview(data)[start:]
    if blake2b(body, digest_size=_DIGEST).digest() != data[len(_MAGIC) : start]:
        raise ValueError("the snapshot is damaged or cut short: its checksum does not match")
    saved = msgspec.msgpack.decode(body, type=Saved)
    last = None
    for key, _, created, modified, version, lease in saved.rows:
        if not 1 < created <= modified <= saved.revision or version < 1:
            raise ValueError(f"the snapshot contradicts itself: {key!r} was made at {created}, changed at {modified}")
        if last is not None and key <= last:
            raise ValueError(f"the snapshot contradicts itself: {key!r} follows {last!r}")
        if lease and lease not in saved.leases:
            raise ValueError(f"the snapshot contradicts itself: {key!r} hangs on lease {lease}, which is not there")
        last = key
    if any(not 0 < lease < saved.next_lease for lease in saved.leases):
        raise ValueError("the snapshot contradicts itself: a lease from the future")
    return saved


def entries(codec: Codec, saved: Saved) -> list[StoreEntry]:
    """Raises ValueError when a value is none of the codec's."""
    return [StoreEntry(key, codec.decode(value), *numbers) for key, value, *numbers in saved.rows]
