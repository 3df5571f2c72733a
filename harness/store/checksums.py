"""Checksums of what a store's file holds: one in each row, and the sum of all rows' in each transaction.

SQLite notices a damaged B-tree, not a value in which a bit turned, nor a page that an older one replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

_MODULUS = 1 << 64


def row_checksum(value: bytes | None, *columns: Any) -> int:
    """A signed 64-bit number, as SQLite keeps integers. Columns are integers, text or None."""
    digest = blake2b(repr(columns).encode("utf-8", "surrogatepass"), digest_size=8)
    if value is not None:
        digest.update(b"\0" + value)
    return int.from_bytes(digest.digest(), "big", signed=True)


def add_up(start: int, added: Iterable[int], removed: Iterable[int] = ()) -> int:
    """The sum of checksums does not depend on the order of rows: a row that goes is subtracted."""
    total = (start + sum(added) - sum(removed)) % _MODULUS
    return total - _MODULUS if total >= _MODULUS >> 1 else total
