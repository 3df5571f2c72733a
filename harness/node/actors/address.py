"""The address of a Ray cluster, and whether one answers there: without Ray, whose import takes seconds."""

from __future__ import annotations

import os
import socket
import time

from harness.model.errors import UserError
from harness.model.whole_numbers import whole_number

REACH_S = 4.0
"""So long a port may take to be opened and to say something: a machine that is not there answers nothing at all."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with; an empty frame of settings follows. Source: RFC 9113, 3.4."""

_SETTINGS = 4
_EMPTY_SETTINGS = bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])


def check_address(address: str) -> None:
    """Raises UserError where nobody listens, or what does is no gRPC server, as Ray's control service is."""
    if address in ("auto", "local"):
        return
    host, colon, port = address.partition("://")[2 if "://" in address else 0].rpartition(":")
    number = whole_number(port) or 0
    if not colon or not 0 < number < 65536:
        raise UserError(f"{address!r} is no address of a Ray cluster; one is HOST:PORT, ray://HOST:PORT, auto or local")
    try:
        said = _answer(host.strip("[]"), number)
    except TimeoutError:
        raise _none(address, f"no answer in {REACH_S:g} s") from None
    except OSError as error:
        raise _none(address, error.strerror or str(error)) from None
    if said is not None and (len(said) < len(_EMPTY_SETTINGS) or said[3] != _SETTINGS):
        raise _none(
            address, f"something else is there, and says {said[:40]!r}" if said else "the connection was closed"
        )


def _answer(host: str, port: int) -> bytes | None:
    """The first bytes that the other side says, some nine at least if there are as many; None where it speaks TLS, and
    nothing can be told. Raises OSError."""
    until = time.monotonic() + REACH_S
    with socket.create_connection((host, port), REACH_S) as there:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return None
        there.sendall(_PREFACE + _EMPTY_SETTINGS)
        said = b""
        while len(said) < len(_EMPTY_SETTINGS):
            there.settimeout(max(until - time.monotonic(), 0.001))
            piece = there.recv(1024)
            if not piece:
                break
            said += piece
        return said


def _none(address: str, why: str) -> UserError:
    return UserError(f"there is no Ray cluster at {address}: {why}")
