"""Objects of another cluster put into a store before an API server reads it: as they were there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from harness.apiserver.kinds import defaulted
from harness.apiserver.watch_cache import prefix_of
from harness.model.objects import KINDS, kind_of
from harness.store.interface import Store


def adopt(store: Store, objects: Iterable[Any]) -> None:
    """Their uids, statuses, owners and instants stay, and nobody admits them; each gets this store's next revision.
    Of two with one key the first is kept."""
    seen: set[str] = set()
    for obj in objects:
        kind = KINDS[kind_of(obj)]
        key = prefix_of(kind) + obj.metadata.key
        if key not in seen:
            seen.add(key)
            obj = defaulted(kind, obj)
            store.put(key, replace(obj, metadata=replace(obj.metadata, resource_version=str(store.revision + 1))))
