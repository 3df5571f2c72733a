"""Frames of bytes over a connected socket: eight bytes of length, then so many."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

_LENGTH = 8
_PIECE = 1 << 20


class Closed(Exception):
    """The process at the other end is gone."""


class Channel:
    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    @staticmethod
    def connect(path: str) -> Channel:
        """Raises OSError where nobody listens there, or there is no such place on this machine."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.connect(path)
        except OSError:
            connected.close()
            raise
        return Channel(connected)

    def send(self, frame: bytes) -> None:
        """Raises Closed."""
        try:
            self.socket.sendall(len(frame).to_bytes(_LENGTH, "big") + frame)
        except OSError as error:
            raise Closed from error

    def receive(self) -> bytes:
        """Waits for the next frame. Raises Closed."""
        try:
            length = int.from_bytes(self._exactly(_LENGTH), "big")
            return self._exactly(length)
        except OSError as error:
            raise Closed from error

    def tell(self, *words: Any) -> None:
        """Plain values, as one frame. Raises Closed."""
        self.send(msgspec.msgpack.encode(words))

    def told(self) -> list[Any]:
        """What the other end told. Raises Closed."""
        words: list[Any] = msgspec.msgpack.decode(self.receive())
        return words

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, length: int) -> bytes:
        first = self.socket.recv(min(length, _PIECE)) if length else b""
        if len(first) == length:
            return first
        parts, left = [first], length - len(first)
        while left:
            if not parts[-1]:
                raise Closed
            parts.append(self.socket.recv(min(left, _PIECE)))
            left -= len(parts[-1])
        return b"".join(parts)
