"""/podyard/snapshot: everything in the store, read by GET, replaced by PUT. None of Kubernetes' own paths."""

from __future__ import annotations

from typing import Any

from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.apiserver.watch_cache import prefix_of
from harness.engine.component import ADDED, DELETED, MODIFIED
from harness.model.objects import KINDS
from harness.model.status import bad_request

PATH = "/podyard/snapshot"
MEDIA_TYPE = "application/octet-stream"


def taken(server: ApiServer) -> bytes:
    """As of the newest revision, between two writes."""
    return server.store.snapshot()


LARGEST = 4 << 30
"""Bytes of a snapshot that is sent: etcd's default quota is 2 GiB, and its largest 8 GiB."""


def restored(driver: DriverQueue, data: bytes) -> dict[str, object]:
    """On the driver's thread. Every watch ends, and expires when it is asked for again: its client lists anew.

    Raises ApiError BadRequest for what is no snapshot that this version can read.
    """
    server = driver.server
    before = server.revision
    if driver.on_away is not None:
        driver.on_away()
    try:
        with driver.restoring():
            restore(server, data)
    except (ValueError, TypeError) as error:
        raise bad_request(f"not a snapshot that can be restored: {error}") from None
    return {"kind": "Restored", "before": before, "revision": server.revision}


def restore(server: ApiServer, data: bytes) -> None:
    """The server becomes what a snapshot of a store holds. What differs from what was gets a new version, since nobody
    believes an older one, and whoever listens is told. Raises ValueError for no snapshot, changing nothing."""
    before = {name: dict(held) for name, held in server.cache.by_kind.items()}
    server.store.restore(data)
    server.recover()
    revision = server.store.revision
    for name, were in before.items():
        kind, held = KINDS[name], server.cache.by_kind[name]
        changes: list[tuple[str, Any, Any, int]] = [
            (DELETED, old, old, revision) for key, old in were.items() if key not in held
        ]
        for key, obj in list(held.items()):
            known = were.get(key)
            if known != obj:
                version = str(server.store.revision + 1)
                obj = held[key] = replaced(obj, metadata=replaced(obj.metadata, resource_version=version))
                revision = server.store.put(prefix_of(kind) + key, obj)
                changes.append((ADDED if known is None else MODIFIED, obj, known, revision))
        for change, obj, known, at in changes:
            for listener in server.listeners:
                listener(kind, change, obj, known, at)
