"""The newest version of each object, beside the store: what kube-apiserver calls its watch cache. Read side only.

The server writes the store and then puts here what it wrote; everything can be read again from the store alone.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.engine.component import ADDED, DELETED, MODIFIED
from harness.model.meta import ApiObject
from harness.model.objects import KINDS, Kind
from harness.model.status import gone, not_found
from harness.store.interface import Change, Store


class WatchCache:
    """`by_kind`: objects by kind and key ('namespace/name' or 'name'). Only the server changes it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.by_kind: dict[str, dict[str, ApiObject]] = {name: {} for name in KINDS}

    def rebuild(self) -> None:
        """Forget everything and read it from the store again."""
        for name in self.by_kind:
            self.add(KINDS[name])

    def add(self, kind: Kind) -> None:
        """Read a kind from the store."""
        held = self.by_kind.setdefault(kind.kind, {})
        held.clear()
        prefix = prefix_of(kind)
        for entry in self._store.range(prefix):
            held[entry.key[len(prefix) :]] = entry.value

    def objects(self, kind: str) -> dict[str, ApiObject]:
        """All of a kind by key ('namespace/name' or 'name'), live: read, never write."""
        return self.by_kind[kind]

    def get(self, kind: str, namespace: str, name: str) -> Any:
        """Raises ApiError NotFound."""
        found = self.by_kind[kind].get(f"{namespace}/{name}" if namespace else name)
        if found is None:
            raise missing(KINDS[kind], name)
        return found

    def listed(self, kind: str, namespace: str = "") -> list[Any]:
        """In order of key."""
        held = self.by_kind[kind]
        prefix = f"{namespace}/"
        return [held[key] for key in sorted(held) if not namespace or key.startswith(prefix)]

    def changes_since(self, kind: Kind, revision: int) -> list[tuple[str, Any, Any, int]]:
        """(type, object, before, revision) of writes after `revision`. Raises ApiError Expired (410)."""
        # The store still tells the changes of the compacted revision, but no longer what was there before them, which a
        # watch event of a deletion carries.
        if revision < self._store.compacted:
            raise gone(f"too old resource version: {revision} ({self._store.compacted})")
        return [to_watch_event(change) for change in self._store.changes(prefix_of(kind), revision + 1)]


def missing(kind: Kind, name: str) -> Exception:
    return not_found(kind.plural, name, kind.group)


_PREFIXES: dict[str, str] = {}


def prefix_of(kind: Kind) -> str:
    """Where a kind lives in the store. Source: kube-apiserver's --etcd-prefix /registry."""
    found = _PREFIXES.get(kind.kind)
    if found is None:
        group = f"{kind.group}/" if "." in kind.group else ""
        found = _PREFIXES[kind.kind] = f"/registry/{group}{kind.plural}/"
    return found


def to_watch_event(change: Change) -> tuple[str, Any, Any, int]:
    """(type, object, before, revision) of a change in the store."""
    before = None if change.before is None else change.before.value
    if change.entry is None:
        assert before is not None, change.key
        # The last state, at the revision of its deletion.
        meta = replace(before.metadata, resource_version=str(change.revision))
        return DELETED, replace(before, metadata=meta), before, change.revision
    return (ADDED if before is None else MODIFIED), change.entry.value, before, change.revision
