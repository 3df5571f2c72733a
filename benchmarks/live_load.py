"""A client that keeps several connections to an HTTPS server busy, and counts; it parses no more than it must.

Run as a process of its own, so that its CPU is not the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"labels": {"app": "load"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "ports": [{"containerPort": 80}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }
        ]
    },
}
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


EVENT = b'","object":{"'
"""Once in each line of a watch."""

QUIET_S = 0.5
"""After which no more events are expected."""


class Connection:
    def __init__(self, host: str, port: int, trust: ssl.SSLContext, token: str) -> None:
        self._at = (host, port, trust)
        self._head = f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> None:
        host, port, trust = self._at
        self._reader, self._writer = await asyncio.open_connection(host, port, ssl=trust)

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, int]:
        """(status, content length), -1 where the answer goes on."""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), -1)
        return int(lines[0].split()[1]), length

    async def call(self, method: str, path: str, body: bytes = b"") -> int:
        status, length = await self.send(method, path, body)
        if length > 0:
            await self._reader.readexactly(length)
        return status

    async def events(self, count: int) -> int:
        """Read on until `count` events of a watch have come, one a line, and nothing comes any more. How many came."""
        seen, rest = 0, b""
        while True:
            try:
                async with asyncio.timeout(QUIET_S if seen >= count else None):
                    data = rest + await self._reader.read(1 << 16)
            except TimeoutError:
                return seen
            seen += data.count(EVENT)
            rest = data[-len(EVENT) + 1 :]


def request(what: str, number: int) -> tuple[str, str, bytes]:
    match what:
        case "pods" | "more":
            name = f"{what[0]}{number}"
            return "POST", PODS, json.dumps({**POD, "metadata": {"name": name, **POD["metadata"]}}).encode()
        case "maps":
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m{number}"}, "data": {"a": "b"}}
            return "POST", MAPS, json.dumps(body).encode()
        case _:
            return "GET", f"{PODS}/p{number % 100}", b""


async def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("host", "port", "token", "authority", "what", "requests", "connections", "watchers"):
        options.add_argument(f"--{name}", required=True)
    asked = options.parse_args()
    trust = ssl.create_default_context(cadata=Path(asked.authority).read_text())
    trust.check_hostname = False

    async def opened() -> Connection:
        made = Connection(asked.host, int(asked.port), trust, asked.token)
        await made.open()
        return made

    watching = [await opened() for _ in range(int(asked.watchers))]
    for one in watching:
        await one.send("GET", f"{PODS}?watch=true&timeoutSeconds=600")
    connections = [await opened() for _ in range(int(asked.connections))]
    total, bad = int(asked.requests), 0
    numbers = iter(range(total))

    async def work(connection: Connection) -> None:
        nonlocal bad
        for number in numbers:
            bad += await connection.call(*request(asked.what, number)) >= 300

    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    begun = time.perf_counter()
    events = [asyncio.ensure_future(one.events(total)) for one in watching if asked.what == "pods"]
    await asyncio.gather(*map(work, connections))
    taken = time.perf_counter() - begun
    seen = await asyncio.gather(*events)
    print(json.dumps({"seconds": taken, "bad": bad, "events": sum(seen)}))


if __name__ == "__main__":
    asyncio.run(main())
