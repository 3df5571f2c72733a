"""GET /podyard/snapshot: everything in the store, for who may read that path. None of Kubernetes' own paths."""

from __future__ import annotations

from harness.apiserver.server import ApiServer

PATH = "/podyard/snapshot"
MEDIA_TYPE = "application/octet-stream"


def taken(server: ApiServer) -> bytes:
    """As of the newest revision, between two writes."""
    return server.store.snapshot()
