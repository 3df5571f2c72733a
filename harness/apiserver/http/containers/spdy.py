"""As much of SPDY/3.1 as port-forward uses, which sends it within a WebSocket: streams, their headers, their data.

Source: the SPDY protocol, draft 3.1 (2.2 framing, 2.6.10.1 the dictionary for headers). There is no flow control, as
in the library that kubectl uses.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from harness.model.errors import RunFailed

SYN_STREAM, SYN_REPLY, RST_STREAM, PING = 1, 2, 3, 6
FIN = 1

LARGEST_FRAME = 1 << 20
"""Bytes of one frame; clients send at most 32 KiB at a time."""

LARGEST_HEADERS = 64 * 1024
"""Bytes of a block of headers when it is unpacked."""

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug "
    "Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + _REST.encode()
)


class DamagedError(RunFailed):
    """Bytes that are no SPDY."""


@dataclass(frozen=True, slots=True)
class Opened:
    stream: int
    headers: dict[str, str]
    ended: bool


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    frame: bytes


Frame = Opened | Data | Reset | Ping


class Session:
    """The server's side of one connection; no I/O: bytes in, frames out."""

    def __init__(self) -> None:
        self._held = b""
        self._unpack = zlib.decompressobj(zdict=DICTIONARY)
        self._pack = zlib.compressobj(zdict=DICTIONARY)

    def received(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises DamagedError."""
        self._held += data
        out: list[Frame] = []
        while len(self._held) >= 8:
            first, rest = struct.unpack(">II", self._held[:8])
            flags, size = rest >> 24, rest & 0xFFFFFF
            if size > LARGEST_FRAME:
                raise DamagedError(f"a frame of {size} bytes")
            if len(self._held) < 8 + size:
                break
            whole, self._held = self._held[: 8 + size], self._held[8 + size :]
            frame = self._frame(first, flags, whole)
            if frame is not None:
                out.append(frame)
        return out

    def _frame(self, first: int, flags: int, whole: bytes) -> Frame | None:
        payload = whole[8:]
        if not first >> 31:
            return Data(first, payload, bool(flags & FIN))
        kind = first & 0xFFFF
        if kind == SYN_STREAM:
            if len(payload) < 10:
                raise DamagedError("a stream without a number")
            (stream,) = struct.unpack(">I", payload[:4])
            return Opened(stream & 0x7FFFFFFF, self._headers(payload[10:]), bool(flags & FIN))
        if kind == RST_STREAM and len(payload) >= 4:
            return Reset(struct.unpack(">I", payload[:4])[0] & 0x7FFFFFFF)
        if kind == PING:
            return Ping(whole)
        return None  # settings, windows, goodbyes: nothing here depends on them

    def _headers(self, packed: bytes) -> dict[str, str]:
        try:
            block = self._unpack.decompress(packed, LARGEST_HEADERS)
            (count,) = struct.unpack_from(">I", block)
            at, out = 4, {}
            for _ in range(count):
                pair = []
                for _ in range(2):
                    (size,) = struct.unpack_from(">I", block, at)
                    pair.append(block[at + 4 : at + 4 + size].decode("latin1"))
                    at += 4 + size
                out[pair[0].lower()] = pair[1]
        except (zlib.error, struct.error):
            raise DamagedError("headers that cannot be unpacked") from None
        return out

    def reply(self, stream: int) -> bytes:
        """The stream is taken."""
        block = self._pack.compress(struct.pack(">I", 0)) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        payload = struct.pack(">I", stream) + block
        return struct.pack(">II", 1 << 31 | 3 << 16 | SYN_REPLY, len(payload)) + payload

    @staticmethod
    def data(stream: int, data: bytes, *, ended: bool = False) -> bytes:
        return struct.pack(">II", stream, (FIN if ended else 0) << 24 | len(data)) + data
