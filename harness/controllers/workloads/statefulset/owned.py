"""What StatefulSets own, of one kind, and what they may adopt of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from harness.controllers.runtime.controller_refs import Orphans
from harness.controllers.runtime.pods import controller_of
from harness.model.core import Pod
from harness.model.workloads import ControllerRevision

T = TypeVar("T", Pod, ControllerRevision)


class Owned(Generic[T]):
    def __init__(self) -> None:
        self.orphans = Orphans()
        self._by_owner: dict[str, dict[str, T]] = {}

    def of(self, uid: str) -> Mapping[str, T]:
        """By key."""
        return self._by_owner.get(uid, {})

    def changed(self, old: T | None, new: T | None) -> tuple[str, str, tuple[str, ...]]:
        """(uid of who had it, uid of who has it, names of who may adopt it and has not been told so)."""
        was, now = _owner(old), _owner(new)
        if was and old is not None:
            held = self._by_owner[was]
            del held[old.metadata.key]
            if not held:
                del self._by_owner[was]
        if now and new is not None:
            self._by_owner.setdefault(now, {})[new.metadata.key] = new
        alone = old if old is not None and old.metadata.controller() is None else None
        if new is not None and new.metadata.controller() is None:
            return was, now, self.orphans.put(new.metadata.key, alone, new)
        if alone is not None:
            self.orphans.drop(alone.metadata.key, alone)
        return was, now, ()

    def clear(self) -> None:
        self.orphans.clear()
        self._by_owner.clear()


def _owner(obj: Pod | ControllerRevision | None) -> str:
    owner = None if obj is None else controller_of(obj, "StatefulSet")
    return "" if owner is None else owner.uid
