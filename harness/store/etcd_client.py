"""The calls of etcd's JSON gateway that a store needs, over one connection.

Source: etcd.io/docs/v3.5/dev-guide/api_grpc_gateway: keys and values in base64, numbers as text, zeros left out.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from harness.model.errors import UserError
from harness.model.wire import Json

TIMEOUT_S = 10.0
"""Of one call. Source: etcd's own request timeout is 5 s and two election timeouts (server/etcdserver ReqTimeout)."""


class KeyValue(msgspec.Struct, frozen=True):
    key: bytes
    value: bytes
    mod_revision: int


class Event(msgspec.Struct, frozen=True):
    """`kv.value` of a deletion is empty; `before`: None where the key was not there, or that is compacted."""

    deleted: bool
    kv: KeyValue
    before: KeyValue | None


class Refused(Exception):
    """What etcd said instead of an answer."""


class EtcdClient:
    """`url`: http://HOST:PORT or https://HOST:PORT. Raises OSError or http.client.HTTPException when nobody answers."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port or 2379
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.path not in ("", "/"):
            raise UserError("no address of an etcd", found=url, expected="etcd:http://127.0.0.1:2379")
        if parts.username or parts.query:
            raise UserError("users, passwords and options of an etcd are not supported", found=url)
        self.url = url
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._connection = self._make()

    def _make(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._connection.close()

    def reconnect(self) -> None:
        self._connection.close()
        self._connection = self._make()

    def call(self, path: str, body: Json) -> Json:
        """Raises Refused."""
        self._connection.request("POST", f"/v3/{path}", json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        data = answer.read()
        try:
            found: Json = json.loads(data)
        except ValueError:
            raise Refused(f"{answer.status} {answer.reason}: no etcd of version 3.4 or later") from None
        if answer.status != 200:
            raise Refused(str(found.get("error") or found.get("message") or found))
        return found

    # -- keys ----------------------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> tuple[int, KeyValue | None]:
        """(revision of the store, the key)."""
        found = self.call("kv/range", {"key": _text(key)})
        kvs = found.get("kvs", ())
        return int(found["header"]["revision"]), _kv(kvs[0]) if kvs else None

    def count(self) -> int:
        """Of all keys."""
        found = self.call("kv/range", {"key": _text(b"\0"), "range_end": _text(b"\0"), "count_only": True})
        return int(found.get("count", 0))

    def range(self, low: bytes, high: bytes, page: int) -> Iterator[KeyValue]:
        while True:
            body = {"key": _text(low), "range_end": _text(high), "limit": str(page)}
            kvs = [_kv(item) for item in self.call("kv/range", body).get("kvs", ())]
            yield from kvs
            if len(kvs) < page:
                return
            low = kvs[-1].key + b"\0"

    def txn(self, guard: tuple[bytes, int], operations: list[Json]) -> tuple[bool, int]:
        """All of it when `guard` (a key and its mod_revision) holds: (held, revision after)."""
        key, modified = guard
        compare = [{"key": _text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(modified)}]
        found = self.call("kv/txn", {"compare": compare, "success": operations})
        return bool(found.get("succeeded")), int(found["header"]["revision"])

    def compact(self, revision: int) -> None:
        self.call("kv/compaction", {"revision": str(revision)})

    def compacted(self) -> int:
        """The revision up to which all is compacted; 0: nothing is."""
        lines = self._watch({"key": _text(b"\0"), "range_end": _text(b"\0"), "start_revision": "1"})
        for result in lines:
            return int(result.get("compact_revision", 0))
        return 0

    def history(self, since: int, until: int) -> Iterator[Event]:
        """Every change from `since` to the one of `until`, which must be one."""
        create = {"key": _text(b"\0"), "range_end": _text(b"\0"), "start_revision": str(since), "prev_kv": True}
        for result in self._watch(create):
            for event in result.get("events", ()):
                before = event.get("prev_kv")
                kv = _kv(event["kv"])
                yield Event(event.get("type") == "DELETE", kv, _kv(before) if before else None)
            events = result.get("events", ())
            if events and int(events[-1]["kv"]["mod_revision"]) >= until:
                return

    def _watch(self, create: Json) -> Iterator[Json]:
        """Results after the one that says that the watch is there, or that it cannot be."""
        connection = self._make()
        try:
            connection.request("POST", "/v3/watch", json.dumps({"create_request": create}))
            answer = connection.getresponse()
            while line := answer.readline():
                result: Json = json.loads(line)["result"]
                if result.get("created") and not result.get("canceled") and not result.get("events"):
                    continue
                yield result
        finally:
            connection.close()

    # -- leases --------------------------------------------------------------------------------------------------------

    def grant(self, lease: int, ttl_s: int) -> bool:
        """Whether there was none of that number."""
        try:
            self.call("lease/grant", {"ID": str(lease), "TTL": str(ttl_s)})
        except Refused as refused:
            if "already exists" in str(refused):
                return False
            raise
        return True

    def keep_alive(self, lease: int) -> bool:
        """Whether it was there."""
        found = self.call("lease/keepalive", {"ID": str(lease)})
        return int(found.get("result", {}).get("TTL", 0)) > 0

    def revoke(self, lease: int) -> None:
        self.call("lease/revoke", {"ID": str(lease)})


def put_of(key: bytes, value: bytes) -> Json:
    return {"request_put": {"key": _text(key), "value": _text(value)}}


def delete_of(key: bytes, end: bytes = b"") -> Json:
    return {"request_delete_range": {"key": _text(key), **({"range_end": _text(end)} if end else {})}}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _kv(item: Json) -> KeyValue:
    data = [base64.b64decode(item.get(part, "")) for part in ("key", "value")]
    return KeyValue(data[0], data[1], int(item.get("mod_revision", 0)))
