"""An API server behind HTTPS with a thread that drives it: what the tests of clients talk to."""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from harness.apiserver.http.audit import AuditLog
from harness.apiserver.http.auth import kubeconfig
from harness.apiserver.http.auth.rbac import User
from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.http.serve import HttpServer
from harness.apiserver.http.web.page import Web
from harness.apiserver.server import ApiServer
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore

DEADLINE_S = 20


class Live:
    """One cluster without controllers; `server` belongs to the driving thread: reach it by `driver_queue` only."""

    def __init__(
        self, users: dict[str, User] | None = None, audit: AuditLog | None = None, web: Web | None = None
    ) -> None:
        self.server = ApiServer(MemoryStore(ObjectCodec()), seed=1)
        self.driver_queue = DriverQueue(self.server)
        self.epoch_unix_ns = time.time_ns()
        self.http = HttpServer(self.driver_queue, epoch_unix_ns=self.epoch_unix_ns, users=users, audit=audit, web=web)
        self._stopping = threading.Event()
        self._driver = threading.Thread(target=self._drive, daemon=True)
        self._started = threading.Event()

    def _drive(self) -> None:
        self.http.start()
        self._started.set()
        begun = time.monotonic_ns()
        while not self._stopping.is_set():
            self.driver_queue.wait(0.05)
            self.server.now = time.monotonic_ns() - begun
            self.driver_queue.run_pending()
        self.http.stop()

    def start(self) -> None:
        self._driver.start()
        assert self._started.wait(DEADLINE_S), "the server did not start"

    def stop(self) -> None:
        self._stopping.set()
        self.driver_queue.wake()
        self._driver.join(DEADLINE_S)
        assert not self._driver.is_alive(), "the server did not stop"

    def write_kubeconfig(self, path: Path) -> Path:
        kubeconfig.write(path, self.http.kubeconfig())
        return path

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """(status code, parsed JSON); `token` '' sends none."""
        code, data, _ = self.exchange(method, path, body, token=token, headers=headers)
        return code, data

    def exchange(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        with self.open(method, path, body, token=token, headers=headers) as answer:
            raw = answer.read()
            is_json = raw[:1] in (b"{", b"[")
            return answer.status, json.loads(raw) if is_json else raw.decode("latin1"), dict(answer.headers)

    def watch(self, path: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Events until the server ends the stream."""
        with self.open("GET", path, **options) as answer:
            for line in answer:
                yield json.loads(line)

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Iterator[Any]:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        token = self.http.token if token is None else token
        if token:
            sent["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.http.url + path, data=body, method=method, headers=sent)
        trust = ssl.create_default_context(cadata=self.http.authority.decode())
        try:
            answer = urllib.request.urlopen(request, timeout=DEADLINE_S, context=trust)
        except HTTPError as error:
            answer = error  # an answer like any other
        with answer:
            yield answer


@contextmanager
def live(users: dict[str, User] | None = None, audit: AuditLog | None = None, web: Web | None = None) -> Iterator[Live]:
    cluster = Live(users, audit, web)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
