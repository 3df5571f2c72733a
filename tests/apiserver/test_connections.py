"""Clients that take their time: connections end, and the server answers others meanwhile."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http import app
from harness.apiserver.http.connections import BoundedHttp
from tests.apiserver.live import DEADLINE_S, Live, live

pytestmark = pytest.mark.live


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr(BoundedHttp, "head_s", 0.3)
    monkeypatch.setattr(app, "REQUEST_TIMEOUT_S", 0.3)
    with live() as running:
        yield running


def connected(cluster: Live) -> ssl.SSLSocket:
    trust = ssl.create_default_context(cadata=cluster.http.authority.decode())
    host, _, port = cluster.http.url.removeprefix("https://").rpartition(":")
    raw = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
    return trust.wrap_socket(raw, server_hostname=host)


@pytest.mark.parametrize("sent", [b"", b"GET /version HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_end_ends_the_connection(cluster: Live, sent: bytes) -> None:
    with connected(cluster) as client:
        client.sendall(sent) if sent else None
        assert client.recv(1) == b""
    assert cluster.request("GET", "/version")[0] == 200


def test_a_second_request_that_stalls_ends_it_too(cluster: Live) -> None:
    with connected(cluster) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        said = b""
        while not said.endswith(b"ok"):
            said += client.recv(1024)
        client.sendall(b"GET /readyz HT")
        assert client.recv(1) == b""


def test_a_body_that_does_not_come_is_told(cluster: Live) -> None:
    with connected(cluster) as client:
        head = (
            "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {cluster.http.token}\r\nContent-Length: 100\r\n\r\n{{"
        )
        client.sendall(head.encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("field", ["Sec-WebSocket-Protocol", "Connection", "Origin"])
def test_an_upgrade_whose_head_is_no_ascii_is_answered(cluster: Live, field: str) -> None:
    """It raised in the library that reads it, and the connection was cut without a word."""
    head = {
        "Host": "a",
        "Authorization": f"Bearer {cluster.http.token}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    head[field] = f"{head.get(field, 'x')}, \xbd"
    rows = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with connected(cluster) as client:
        client.sendall(f"GET /api/v1/namespaces/default/pods/p/exec HTTP/1.1\r\n{rows}\r\n".encode("latin1"))
        assert client.recv(1024).startswith(b"HTTP/1.1 400")
