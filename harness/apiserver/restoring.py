"""An API server becomes what a snapshot of its store holds, as after `etcdutl snapshot restore`; revisions go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer
from harness.apiserver.watch_cache import prefix_of
from harness.engine.component import ADDED, DELETED, MODIFIED
from harness.model.core import Pod
from harness.model.objects import KINDS, Kind


def restore(server: ApiServer, data: bytes, lost: Callable[[Pod], None] | None = None) -> None:
    """The server becomes what a snapshot of a store holds. What differs from what was gets a new version, since nobody
    believes an older one, and whoever listens is told: of a pod that is not where it ran as one that went, and one that
    came. `lost` is told of those first. Raises ValueError for no snapshot, changing nothing."""
    before = {name: dict(held) for name, held in server.cache.by_kind.items()}
    server.store.restore(data)
    server.recover()
    went: list[Told] = []
    came: list[Told] = []
    revision = server.store.revision
    for name, were in before.items():
        kind, held = KINDS[name], server.cache.by_kind[name]
        went += [(kind, DELETED, old, old, revision) for key, old in were.items() if key not in held]
        for key, obj in list(held.items()):
            known = were.get(key)
            if known != obj:
                version = str(server.store.revision + 1)
                obj = held[key] = replaced(obj, metadata=replaced(obj.metadata, resource_version=version))
                at = server.store.put(prefix_of(kind) + key, obj)
                if name == "Pod" and known is not None and _lives_anew(known, obj):
                    went.append((kind, DELETED, known, known, revision))
                    known = None
                came.append((kind, ADDED if known is None else MODIFIED, obj, known, at))
    # Pods go before their nodes, and come after them.
    went.sort(key=lambda told: told[0].kind != "Pod")
    came.sort(key=lambda told: told[0].kind != "Node")
    _tell(server, [*went, *came], lost)


Told: TypeAlias = tuple[Kind, str, Any, Any, int]


def _tell(server: ApiServer, changes: list[Told], lost: Callable[[Pod], None] | None) -> None:
    for _, change, obj, _, _ in changes:
        if lost is not None and change == DELETED and isinstance(obj, Pod) and obj.spec.node_name:
            lost(obj)
    server.restoring = True
    try:
        for told in changes:
            for listener in server.listeners:
                listener(*told)
    finally:
        server.restoring = False


def _lives_anew(was: Pod, pod: Pod) -> bool:
    """It is another pod, is not bound where it ran, or what its containers did has not happened."""
    if was.metadata.uid != pod.metadata.uid or was.spec.node_name not in ("", pod.spec.node_name):
        return True
    restarts = {status.name: status.restart_count or 0 for status in was.status.container_statuses}
    return (
        (was.status.phase != pod.status.phase and was.status.phase != "Pending")
        or (was.metadata.deletion_timestamp is not None and pod.metadata.deletion_timestamp is None)
        or any((item.restart_count or 0) < restarts.get(item.name, 0) for item in pod.status.container_statuses)
    )
