"""Clients that take their time: connections end, and the server answers others meanwhile."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http import app, connections, serve
from tests.apiserver.live import DEADLINE_S, Live, live

pytestmark = pytest.mark.live


@pytest.fixture(params=["BoundedH11", "BoundedHttpTools"])
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """Behind each of the two that read HTTP."""
    protocol = getattr(connections, request.param, None)
    if protocol is None:
        pytest.skip("httptools is not installed")
    monkeypatch.setattr(serve, "BoundedHttp", protocol)
    monkeypatch.setattr(connections.Bounded, "head_s", 0.3)
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


def test_a_head_without_end_is_refused(cluster: Live) -> None:
    with connected(cluster) as client, contextlib.suppress(OSError):
        # It is cut off while it is still sent; where it were read on, this would wait until its deadline.
        client.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * (2 * connections.LARGEST_HEAD))
        client.settimeout(DEADLINE_S)
        assert client.recv(1024)[:12] in (b"", b"HTTP/1.1 400")
    assert cluster.request("GET", "/version")[0] == 200


def test_a_body_that_nobody_reads_any_more_ends_the_connection(cluster: Live) -> None:
    """It was refused for what its head says."""
    with connected(cluster) as client:
        head = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"
        client.sendall(head.encode())
        said = b""
        while piece := client.recv(1024):
            said += piece
        assert said.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("path", ["//api/v1/namespaces", "/version?a=b%20c", "/%76ersion"])
def test_a_path_is_read_as_it_is_meant(cluster: Live, path: str) -> None:
    assert cluster.request("GET", path)[0] == 200


def test_an_upgrade_that_is_not_known_is_answered_as_a_request(cluster: Live) -> None:
    with connected(cluster) as client:
        head = "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 200")
