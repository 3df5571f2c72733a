"""Objects that nobody controls, who may adopt them, and what adopting and releasing writes.

Source: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from harness.controllers.runtime.selectors import Groups, Selectors
from harness.model.meta import ApiObject, LabelSelector, OwnerReference


class Orphans:
    """Adopters are told apart by name (their key)."""

    def __init__(self) -> None:
        self._groups = Groups()
        self._adopters = Selectors()

    def adopter(self, name: str, namespace: str, selector: LabelSelector | None) -> None:
        """Who adopts what `selector` selects; None: nobody any more. An empty selector selects nothing here, lest
        one adopter takes everything."""
        self._adopters.put(name, namespace, None if selector is None or selector.empty else selector)

    def put(self, key: str, old: ApiObject | None, obj: ApiObject) -> tuple[str, ...]:
        """An orphan as it is now, and as it was if it was one; who may adopt it, if that is news."""
        meta = obj.metadata
        if old is not None and old.metadata.labels != meta.labels:
            self._groups.remove(key, old.metadata.namespace, old.metadata.labels)
            old = None
        if not meta.labels:
            return ()
        group = self._groups.add(key, meta.namespace, meta.labels, obj)
        return self._adopters.of(group) if old is None else ()

    def drop(self, key: str, obj: ApiObject) -> None:
        meta = obj.metadata
        if meta.labels:
            self._groups.remove(key, meta.namespace, meta.labels)

    def selected(self, namespace: str, selector: LabelSelector) -> Iterator[ApiObject]:
        if not selector.empty:
            for group in self._groups.selected(namespace, selector):
                yield from group.members.values()

    def clear(self) -> None:
        self._groups.clear()
        self._adopters.clear()


def adopted(obj: ApiObject, owner: OwnerReference) -> ApiObject:
    meta = obj.metadata
    return replace(obj, metadata=replace(meta, owner_references=(*meta.owner_references, owner)))


def released(obj: ApiObject, uid: str) -> ApiObject:
    meta = obj.metadata
    kept = tuple(item for item in meta.owner_references if item.uid != uid)
    return replace(obj, metadata=replace(meta, owner_references=kept))
