"""Whether there is a Ray cluster at an address, asked before anything else is done, and without Ray."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.model.errors import UserError
from harness.node.actors import address as addresses
from harness.node.actors.address import check_address

SETTINGS = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100])


@contextmanager
def saying(*pieces: bytes, closed: bool = True) -> Iterator[str]:
    """The address of a server that says this to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            there, _ = server.accept()
            for piece in pieces:
                there.sendall(piece)
            held.append(there)
            if closed:
                there.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)
        for there in held:
            there.close()


def why(address: str) -> str:
    with pytest.raises(UserError) as told:
        check_address(address)
    assert told.value.exit_code == 2
    assert len(str(told.value).splitlines()) == 1
    return str(told.value)


@pytest.mark.parametrize("address", ["6379", "host", "host:0", "host:99999", "host:port", "ray://host", ":"])
def test_what_is_no_address_is_told_as_one(address: str) -> None:
    assert why(address).startswith(f"{address!r} is no address of a Ray cluster")


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_a_port_where_nobody_listens(prefix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert (
        why(f"{prefix}127.0.0.1:{port}") == f"there is no Ray cluster at {prefix}127.0.0.1:{port}: Connection refused"
    )


def test_a_port_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "REACH_S", 0.2)
    with saying(closed=False) as address:
        assert why(address) == f"there is no Ray cluster at {address}: no answer in 0.2 s"


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"-ERR unknown\r\n"])
def test_another_server_is_told_by_what_it_says(said: bytes) -> None:
    with saying(said) as address:
        assert why(address) == f"there is no Ray cluster at {address}: something else is there, and says {said[:40]!r}"


def test_a_server_that_hangs_up_is_told() -> None:
    with saying() as address:
        assert why(address).rpartition(": ")[2] in ("the connection was closed", "Connection reset by peer")


def test_a_grpc_server_may_be_a_ray() -> None:
    with saying(SETTINGS[:4], SETTINGS[4:], closed=False) as address:
        check_address(address)


def test_of_one_that_speaks_tls_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with saying(closed=False) as address:
        check_address(address)


def test_it_is_told_before_ray_is_imported() -> None:
    """Ray's import takes seconds, and ten times as long on a machine that is busy."""
    code = (
        "import sys\nfrom harness.node.actors.session import ray_session\n"
        "try:\n    ray_session('127.0.0.1:1')\nexcept Exception as error:\n    print(error)\n"
        "print([name for name in ('ray', 'numpy', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["there is no Ray cluster at 127.0.0.1:1: Connection refused", "[]"]
