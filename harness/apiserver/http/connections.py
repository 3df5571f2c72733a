"""How long a client may take: for the head of a request, for its body, and between two requests."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 32
"""From the first byte of a request (or the opening of the connection) to the end of its head.

Source: apiserver pkg/server/secure_serving.go ReadHeaderTimeout, 32 s.
"""

IDLE_S = 90
"""Between two requests. Source: secure_serving.go IdleTimeout, 90 s."""


class BoundedHttp(H11Protocol):
    """HTTP/1.1 that closes a connection on which a head does not come to its end."""

    head_s: float = HEAD_S
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._arm()  # a head has begun
        else:
            self._disarm()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._disarm()
        if not all(value.isascii() for value in (event.target, *(value for _, value in event.headers))):
            # wsproto decodes them as ASCII, and raises where they are not.
            self.send_400_response("Invalid HTTP request received.")
            return
        super().handle_websocket_upgrade(event)

    def _arm(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self._expired)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _expired(self) -> None:
        self._head_timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
