"""A real etcd on loopback (Debian's etcd-server), and the few calls of its JSON gateway that a comparison needs.

The gateway is documented at etcd.io/docs/v3.5/dev-guide/api_grpc_gateway: keys and values in base64, numbers as text,
fields that are zero left out.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.store.interface import Compacted, Compare, FutureRevision, LeaseNotFound, Put, Remove, prefix_end

_ERRORS = {"has been compacted": Compacted, "is a future revision": FutureRevision}


@contextlib.contextmanager
def running_etcd() -> Iterator[Etcd]:
    """An etcd of its own on free ports, its data in memory where the machine has /dev/shm; ended with the block."""
    program = shutil.which("etcd")
    assert program is not None
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="podyard-etcd-", dir=memory if memory.is_dir() else None) as folder:
        client, peer = (f"http://127.0.0.1:{port}" for port in _free_ports(2))
        arguments = {
            "data-dir": f"{folder}/data",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "max-txn-ops": "1000",
        }
        command = [program, *(f"--{name}={value}" for name, value in arguments.items())]
        etcd = Etcd(client.removeprefix("http://"), command, Path(folder, "log"))
        try:
            etcd.start()
            yield etcd
            etcd.close()
        finally:
            etcd.stop()


class Etcd:
    def __init__(self, address: str, command: list[str], log: Path) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen[bytes] | None = None
        self._address = address
        self.url = f"http://{address}"
        self._connection = http.client.HTTPConnection(address, timeout=30)
        self.version = (0, 0, 0)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self._connection.close()
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """As by a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(600):
            assert process.poll() is None, "etcd ended"
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._connection.request("GET", "/version")
                said = json.loads(self._connection.getresponse().read())["etcdserver"]
                self.version = tuple(int(part) for part in said.split("-")[0].split("."))  # type: ignore[assignment]
                self.call("kv/range", key=_text("a"))
                return
            self._connection.close()
            time.sleep(0.05)
        raise AssertionError("etcd did not answer")

    def close(self) -> None:
        self._connection.close()

    def call(self, path: str, **body: Any) -> dict[str, Any]:
        self._connection.request("POST", f"/v3/{path}", json.dumps(body))
        answer = self._connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        if answer.status == 200:
            return found
        said = found["error"]
        for words, error in _ERRORS.items():
            if words in said:
                raise error(0, 0)
        if "lease not found" in said:
            raise LeaseNotFound(0)
        raise ValueError(said)

    def empty(self) -> None:
        self.call("kv/deleterange", key=_text("\0"), range_end=_text("\0"))

    @property
    def revision(self) -> int:
        return int(self.call("kv/range", key=_text("a"), count_only=True)["header"]["revision"])

    def get(self, key: str, revision: int = 0) -> tuple[Any, ...] | None:
        found = self.call("kv/range", key=_text(key), revision=str(revision)).get("kvs")
        return _entry(found[0]) if found else None

    def range(self, prefix: str, *, revision: int = 0, start_after: str = "", limit: int = 0) -> list[tuple[Any, ...]]:
        low = start_after + "\0" if start_after >= prefix else prefix
        end = prefix_end(prefix)
        body = {"key": _text(low or "\0"), "range_end": _text(end if end is not None else "\0")}
        found = self.call("kv/range", **body, revision=str(revision), limit=str(limit))
        return [_entry(kv) for kv in found.get("kvs", ())]

    def put(self, key: str, value: str, lease: int = 0) -> int:
        found = self.call("kv/put", key=_text(key), value=_text(value), lease=str(lease))
        return int(found["header"]["revision"])

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Put | Remove], otherwise: Sequence[Put | Remove]
    ) -> tuple[bool, int]:
        asked = [
            {"key": _text(c.key), "target": "MOD", "result": "EQUAL", "mod_revision": str(c.mod_revision)}
            for c in compares
        ]
        branches = {"success": [_write(w) for w in then], "failure": [_write(w) for w in otherwise]}
        found = self.call("kv/txn", compare=asked, **branches)
        return bool(found.get("succeeded")), int(found["header"]["revision"])

    def compact(self, revision: int) -> None:
        """Returns when the revisions are gone, not when etcd has decided that they will go."""
        self.call("kv/compaction", revision=str(revision), physical=True)

    def grant(self, lease: int) -> None:
        self.call("lease/grant", ID=str(lease), TTL="100000")

    def revoke(self, lease: int) -> int:
        return int(self.call("lease/revoke", ID=str(lease))["header"]["revision"])

    def changes(self, since: int, until: int) -> list[tuple[Any, ...]]:
        """(revision, key, entry, before) of every change from `since` to the one of `until`, which must be one."""
        out: list[tuple[Any, ...]] = []
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            create = {"key": _text("\0"), "range_end": _text("\0"), "start_revision": str(since), "prev_kv": True}
            connection.request("POST", "/v3/watch", json.dumps({"create_request": create}))
            answer = connection.getresponse()
            while not out or out[-1][0] < until:
                result = json.loads(answer.readline())["result"]
                if int(result.get("compact_revision", 0)):
                    raise Compacted(since, int(result["compact_revision"]))
                for event in result.get("events", ()):
                    kv, before = event["kv"], event.get("prev_kv")
                    entry = None if event.get("type") == "DELETE" else _entry(kv)
                    key = base64.b64decode(kv["key"]).decode()
                    out.append((int(kv["mod_revision"]), key, entry, _entry(before) if before else None))
            return out
        finally:
            connection.close()


def _text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _entry(kv: dict[str, str]) -> tuple[Any, ...]:
    """(key, value, create_revision, mod_revision, version, lease)."""
    key, value = (base64.b64decode(kv.get(part, "")).decode() for part in ("key", "value"))
    return key, value, *(int(kv.get(part, 0)) for part in ("create_revision", "mod_revision", "version", "lease"))


def _write(write: Put | Remove) -> dict[str, Any]:
    if isinstance(write, Put):
        put = {"key": _text(write.key), "value": _text(write.value), "lease": str(write.lease)}
        return {"request_put": put}
    return {"request_delete_range": {"key": _text(write.key)}}


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
