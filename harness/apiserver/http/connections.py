"""How long a client may take: for the head of a request, for its body, and between two requests.

HTTP is read by httptools (llhttp, in C) where that is installed, as with the `live` extra: it costs a third of what it
costs with h11, which reads it everywhere else.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from harness.apiserver.http.auth import peers

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # uvicorn has no parser of its own; h11 is always there
    HttpToolsProtocol = None  # type: ignore[assignment, misc]

HEAD_S = 32
"""From the first byte of a request (or the opening of the connection) to the end of its head.

Source: apiserver pkg/server/secure_serving.go ReadHeaderTimeout, 32 s.
"""

IDLE_S = 90
"""Between two requests. Source: secure_serving.go IdleTimeout, 90 s."""

WRITER = "podyard.writer"
"""Among the extensions of a request's scope: a ChunkWriter, where the server has one."""

LARGEST_HEAD = 64 * 1024
"""Bytes. Source: uvicorn's h11_max_incomplete_event_size, which holds for h11."""


class Bounded(asyncio.Protocol):
    """Closes a connection on which what has begun does not come to its end in time."""

    head_s: float = HEAD_S
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    app_state: dict[str, Any]
    _timer: asyncio.TimerHandle | None = None

    def _late(self) -> bool:
        """What the timer is for is still not there."""
        raise NotImplementedError

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if state := peers.state_of(transport):
            self.app_state = {**self.app_state, **state}  # copied into the scope of each request, of upgrades too
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _set_timer(self) -> None:
        """After each piece of data: the timer runs while something is late."""
        if self._late() and not self.transport.is_closing():
            self._arm()
        else:
            self._disarm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_s, self._expired)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        if self._late() and not self.transport.is_closing():
            self.transport.close()


class BoundedH11(Bounded, H11Protocol):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_timer()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._disarm()
        if not _is_ascii(event.target, event.headers):
            self.send_400_response("Invalid HTTP request received.")
            return
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._late() and self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._arm()  # a body that nobody reads any more

    def _late(self) -> bool:
        state = self.conn.their_state
        return state is h11.IDLE or (state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete)


def _is_ascii(target: bytes, headers: Any) -> bool:
    """wsproto decodes them as ASCII, and raises where they are not."""
    return all(value.isascii() for value in (target, *(value for _, value in headers)))


class ChunkWriter:
    """Writes pieces of an answer that has begun, in chunks, without a turn of the event loop for each."""

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle

    @property
    def ready(self) -> bool:
        """The client has taken what it was sent, and the answer goes on."""
        cycle = self._cycle
        open_ = cycle.response_started and not cycle.response_complete and not cycle.disconnected
        return bool(open_ and cycle.chunked_encoding and not cycle.flow.write_paused)

    def write(self, piece: bytes) -> None:
        """While `ready`."""
        self._cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))


_STATUS_LINE = b"HTTP/1.1 "


class WholeAnswers:
    """The transport of one request: the head of an answer waits for the body that follows in the same turn of the
    loop, and both are encrypted and sent at once. A head that nothing follows goes out when the turn ends."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_STATUS_LINE):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


if HttpToolsProtocol is None:
    BoundedHttp: type[asyncio.Protocol] = BoundedH11
else:

    class BoundedHttpTools(Bounded, HttpToolsProtocol):
        _begun = True
        """A head is to come: the connection has been opened, or a request's first byte has arrived."""
        _unread = False
        """Of a request's body something is still to come."""
        _head_bytes = 0

        def data_received(self, data: bytes) -> None:
            if self._begun:
                self._head_bytes += len(data)
            super().data_received(data)
            if self._begun and self._head_bytes > LARGEST_HEAD and not self.transport.is_closing():
                self.send_400_response("Invalid HTTP request received.")  # which closes the connection
            self._set_timer()

        def _late(self) -> bool:
            return self._begun or (self._unread and self.cycle is not None and self.cycle.response_complete)

        def on_message_begin(self) -> None:
            self._begun = self._unread = True
            self._head_bytes = 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._begun = False
            if self.url[:2] == b"//":
                self.url = b"/" + self.url.lstrip(b"/")  # else it would be read as a host
            cycle = self.cycle
            super().on_headers_complete()
            if self.cycle is not cycle:
                self.cycle.transport = WholeAnswers(self.transport, self.loop)  # type: ignore[assignment]
                extensions: dict[str, Any] = {WRITER: ChunkWriter(self.cycle)}
                self.scope["extensions"] = extensions

        def on_message_complete(self) -> None:
            self._unread = False
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._unread and not self.transport.is_closing():
                self._arm()  # a body that nobody reads any more

        def _unsupported_upgrade_warning(self) -> None:
            # The parser reads nothing behind an upgrade: the request is answered, then the connection ends.
            if self.cycle is not None:
                self.cycle.keep_alive = False

        def handle_websocket_upgrade(self) -> None:
            self._disarm()
            if not _is_ascii(self.url, self.headers):
                self.send_400_response("Invalid HTTP request received.")
                return
            super().handle_websocket_upgrade()

    BoundedHttp = BoundedHttpTools
