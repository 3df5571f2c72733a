"""A live cluster beside a bare server of the same stack: durable writes, reads with watchers, an event to 100 watches.

What is compared is the CPU that the server's process takes for a request, which other processes on the machine disturb
least; the rate is that of two cores of which the client has one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from benchmarks.notes import FULL
from harness.apiserver.http.auth.kubeconfig import access

pytestmark = [pytest.mark.live, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
WRITES, READS, EVENTS, WATCHERS = (6_000, 20_000, 300, 100) if FULL else (300, 600, 30, 20)
CONNECTIONS = 16
START_S = 120

BARE = """
import sys, uvicorn
from starlette.requests import Request
from starlette.responses import Response
from harness.apiserver.http.connections import BoundedHttp
answer = open(sys.argv[2], "rb").read()
async def app(scope, receive, send):
    request = Request(scope, receive)
    await request.body()
    await Response(answer, 201, media_type="application/json")(scope, receive, send)
uvicorn.run(app, port=int(sys.argv[1]), http=BoundedHttp, ws="wsproto", log_level="critical", access_log=False,
            server_header=False, ssl_certfile=sys.argv[3], ssl_keyfile=sys.argv[4])
"""


def cpu_s(process: subprocess.Popen[str]) -> float:
    """Of the process so far, in user and system mode."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: list[str], ready: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, *command], text=True, env=environment, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_S
        while not ready.exists() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_S)


def load(
    folder: Path,
    process: subprocess.Popen[str],
    to: tuple[str, str, bytes],
    what: str,
    requests: int,
    watchers: int = 0,
) -> tuple[float, float, int]:
    """(requests a second, ms of CPU of `process` a request, events that the watchers saw), without what it costs to
    open the connections. `to`: the server's address, a token and the authority."""
    server, token, authority = to
    host, _, port = server.removeprefix("https://").rpartition(":")
    (folder / "ca.crt").write_bytes(authority)
    command = [sys.executable, str(ROOT / "benchmarks" / "live_load.py")]
    for name, value in (
        ("host", host), ("port", port), ("token", token), ("authority", folder / "ca.crt"), ("what", what),
        ("requests", requests), ("connections", CONNECTIONS), ("watchers", watchers),
    ):  # fmt: skip
        command += [f"--{name}", str(value)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        time.sleep(0.5)
        before = cpu_s(process)
        client.stdin.write("go\n")
        client.stdin.flush()
        said = json.loads(client.stdout.read())
        spent = cpu_s(process) - before
    assert said["bad"] == 0
    return requests / said["seconds"], 1000 * spent / requests, said["events"]


class Measured:
    """A cluster on a durable store, without nodes: what is measured is the API server."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self._folder, self._process = folder, process
        self._to = access(folder / "config")

    def load(self, what: str, requests: int, watchers: int = 0) -> tuple[float, float, int]:
        to = (self._to.server, self._to.token, self._to.authority.encode())
        return load(self._folder, self._process, to, what, requests, watchers)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Measured]:
    config = tmp_path / "config"
    command = ["-c", "from harness.cli import main; main()", "up", "--nodes", "0", "--kubeconfig", str(config)]
    with running([*command, "--store", f"sqlite:{tmp_path / 'cluster.db'}"], config) as process:
        time.sleep(1)
        yield Measured(tmp_path, process)


def bare(folder: Path, requests: int) -> tuple[float, float, int]:
    """(requests a second, ms of CPU a request) of a server that only answers."""
    from benchmarks.live_load import request
    from harness.apiserver.http.auth import certs
    from harness.apiserver.http.serve import lasting_port

    authority = certs.make_authority()
    shown = certs.make(authority)
    (folder / "tls.crt").write_bytes(shown.server)
    (folder / "tls.key").write_bytes(shown.server_key)
    answer, port = folder / "answer", lasting_port()
    answer.write_bytes(request("pods", 0)[2] * 3)  # a pod with its defaults, its status and its managedFields
    command = ["-c", BARE, str(port), str(answer), str(folder / "tls.crt"), str(folder / "tls.key")]
    with running(command, answer) as process:
        time.sleep(2)
        return load(
            folder, process, (f"https://127.0.0.1:{port}", "t", authority.certificate.encode()), "pods", requests
        )


def report(benchmark: BenchmarkFixture, **figures: float) -> None:
    benchmark.extra_info.update({name: round(value, 3) for name, value in figures.items()})
    print({name: round(value, 3) for name, value in figures.items()})


@pytest.mark.parametrize("what", ["pods", "maps"])
def test_durable_writes(benchmark: BenchmarkFixture, cluster: Measured, tmp_path: Path, what: str) -> None:
    bare_rate, bare_ms, _ = bare(tmp_path, WRITES)
    rate, ms, _ = benchmark.pedantic(cluster.load, args=(what, WRITES), rounds=1)
    report(benchmark, per_second=rate, cpu_ms=ms, bare_per_second=bare_rate, bare_cpu_ms=bare_ms)


def test_reads_beside_watchers(benchmark: BenchmarkFixture, cluster: Measured, tmp_path: Path) -> None:
    """100 watchers of the same kind, while somebody reads."""
    cluster.load("pods", 100)
    bare_rate, bare_ms, _ = bare(tmp_path, READS)
    rate, ms, _ = benchmark.pedantic(cluster.load, args=("reads", READS, WATCHERS), rounds=1)
    report(benchmark, per_second=rate, cpu_ms=ms, bare_per_second=bare_rate, bare_cpu_ms=bare_ms)


def test_an_event_to_many_watches(benchmark: BenchmarkFixture, cluster: Measured) -> None:
    """What an event costs with 100 watches of its kind, above what created pods cost without. A pod makes two events:
    it is there, and the scheduler says that no node fits."""
    _, alone_ms, _ = cluster.load("more", EVENTS)
    rate, ms, seen = benchmark.pedantic(cluster.load, args=("pods", EVENTS, WATCHERS), rounds=1)
    event_ms = (ms - alone_ms) * EVENTS * WATCHERS / seen
    report(benchmark, per_second=rate, cpu_ms=ms, alone_cpu_ms=alone_ms, events=seen / WATCHERS, event_ms=event_ms)
