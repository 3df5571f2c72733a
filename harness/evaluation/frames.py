"""Messages between the judge and the process of a strategy: MessagePack with their length before them, over pipes.

Nothing that arrives is executed or unpickled; what is too long, or no map, is refused.
"""

from __future__ import annotations

import os
import select
import struct
import time
from typing import Any

import msgspec

MOST_BYTES = 4 << 20
"""Of one message from a strategy: a decision takes dozens."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Ended(Exception):
    """The other side is gone."""


class Late(Exception):
    """Nothing whole arrived in time."""


class Malformed(Exception):
    """What arrived is no message."""


class Channel:
    """Reads from one descriptor, writes to another. One message at a time either way."""

    def __init__(self, read: int, write: int) -> None:
        self.read, self.write = read, write
        self._buffer = b""

    def send(self, message: dict[str, Any], due: float | None = None) -> None:
        """`due`: an instant of time.monotonic(), for a descriptor that does not block: who does not read makes the pipe
        full. Raises Ended and Late."""
        body = _encode(message)
        data = memoryview(struct.pack("<I", len(body)) + body)
        try:
            while data:
                if due is not None and not select.select([], [self.write], [], max(due - time.monotonic(), 0.0))[1]:
                    raise Late
                data = data[os.write(self.write, data) :]
        except OSError:
            raise Ended from None

    def receive(self, due: float | None = None) -> dict[str, Any]:
        """The next message. `due`: an instant of time.monotonic(). Raises Ended, Late and Malformed."""
        head = self._take(4, due)
        size = struct.unpack("<I", head)[0]
        if size > MOST_BYTES and due is not None:
            raise Malformed(f"a message of {size} bytes; {MOST_BYTES} at most")
        try:
            return _decode(self._take(size, due))
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:  # of nesting, and of text that is not UTF-8
            raise Malformed(f"no message: {error}") from None

    def _take(self, size: int, due: float | None) -> bytes:
        while len(self._buffer) < size:
            if due is not None:
                left = due - time.monotonic()
                if left <= 0 or not select.select([self.read], [], [], left)[0]:
                    raise Late
            try:
                more = os.read(self.read, 1 << 16)
            except OSError:
                more = b""
            if not more:
                raise Ended
            self._buffer += more
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
