"""The record beside a store's file of how many writes were acknowledged.

SQLite reads its write-ahead log up to the first frame that does not check, so that a damaged log ends earlier without a
word (sqlite.org/fileformat2.html#wal_file_format, "Recovery"). What must be there stands in a file of its own.
"""

from __future__ import annotations

import os
import struct
from hashlib import blake2b
from pathlib import Path

_TAIL = struct.Struct(">8sQQ8s")  # magic, writes, revision, checksum of both
_MAGIC = b"podytail"


class DamagedTail(Exception):
    """The tail record is there and says nothing that can be trusted."""


class TailRecord:
    """`FILE-tail`: how many writes were acknowledged, and the revision after the last.

    It is there while a store is open, and after its process died; a closed store has none. It is not synchronised to
    the disk: a power cut may leave an older one, which detects less.
    """

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(store.name + "-tail")
        self._file: int | None = None

    def read(self) -> tuple[int, int] | None:
        """(writes, revision); None where there is no record. Raises DamagedTail."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if len(data) != _TAIL.size:
            raise DamagedTail
        magic, writes, revision, check = _TAIL.unpack(data)
        if magic != _MAGIC or check != _check(writes, revision):
            raise DamagedTail
        return writes, revision

    def write(self, writes: int, revision: int) -> None:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(self._file, _TAIL.pack(_MAGIC, writes, revision, _check(writes, revision)), 0)

    def close(self, *, remove: bool) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if remove:
            self.path.unlink(missing_ok=True)


def _check(writes: int, revision: int) -> bytes:
    return blake2b(b"%s %d %d" % (_MAGIC, writes, revision), digest_size=8).digest()
