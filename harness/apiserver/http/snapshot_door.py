"""/podyard/snapshot: everything in the store, read by GET, replaced by PUT. None of Kubernetes' own paths."""

from __future__ import annotations

from harness.apiserver.http.driver_queue import DriverQueue
from harness.apiserver.restoring import restore
from harness.apiserver.server import ApiServer
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
