"""The garbage collector: what has lost all its owners goes; orphaning and foreground deletion by their finalizers.

Source: pkg/controller/garbagecollector (1.32). The graph is kept by uid, so that an object of the same name is another
one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import SECOND, Delete, Instant, LazyWatch, Update
from harness.model.meta import OwnerReference
from harness.model.objects import KINDS, kind_of

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
"""Source: metav1.FinalizerOrphanDependents, FinalizerDeleteDependents."""

ABSENT_NS = 5 * SECOND
"""How long an owner that nobody has seen may still turn up: watches of different kinds are not ordered. kube asks the
API server instead; what a watch has not brought after this long is not there."""

replaced = msgspec.structs.replace


class GarbageCollector(Reconciler):
    """Keys are uids of objects: of those with owners, and of those that are going with one of the finalizers."""

    def __init__(self, name: str = "garbage-collector") -> None:
        self._kinds = tuple(sorted(kind.kind for kind in KINDS.values() if kind.collected))
        super().__init__(name, dict.fromkeys(self._kinds, self._changed))
        self.lazy_watches = (LazyWatch(self._kinds, dict.fromkeys(self._kinds, _is_of_interest)),)
        self._there: set[str] = set()
        self._owned: dict[str, Any] = {}  # objects with owners, by uid
        self._dependents: dict[str, dict[str, None]] = {}  # by owner's uid: theirs
        self._going: dict[str, Any] = {}  # owners with one of the finalizers, by uid
        self._due: dict[str, Instant] = {}  # when an object whose owners are not there goes

    def forget_all(self) -> None:
        super().forget_all()
        self._there.clear()
        self._owned.clear()
        self._dependents.clear()
        self._going.clear()
        self._due.clear()

    def subject(self, key: str) -> Any:
        return self._owned.get(key) or self._going.get(key)

    # -- what happened -------------------------------------------------------------------------------------------------

    def _changed(self, old: Any, new: Any) -> None:
        if new is None:
            self._removed(old)
            return
        meta = new.metadata
        uid = meta.uid
        owners = meta.owner_references
        if old is None:
            self._there.add(uid)
        elif not owners and meta.deletion_timestamp is None and not old.metadata.owner_references:
            return  # of no interest to anybody
        if owners:
            before = self._owned.get(uid)
            self._owned[uid] = new
            if before is None or before.metadata.owner_references != owners:
                if before is not None:
                    self._unlink(before, uid)
                for owner in owners:
                    self._dependents.setdefault(owner.uid, {})[uid] = None
                if not any(map(self._may_be_there, owners)):
                    self.queue.add(uid)
        elif old is not None and uid in self._owned:
            self._unlink(self._owned.pop(uid), uid)
            self._due.pop(uid, None)
        if meta.deletion_timestamp is not None:
            if ORPHAN in meta.finalizers or FOREGROUND in meta.finalizers:
                self._going[uid] = new
                self.queue.add(uid)
            elif uid in self._going:
                del self._going[uid]

    def _removed(self, obj: Any) -> None:
        uid = obj.metadata.uid
        self._there.discard(uid)
        self._going.pop(uid, None)
        self._due.pop(uid, None)
        owned = self._owned.pop(uid, None)
        if owned is not None:
            self._unlink(owned, uid)
        for dependent in self._dependents.get(uid, ()):
            self._due[dependent] = self.now  # its owner was there, and is not any more
            self.queue.add(dependent)

    def _unlink(self, obj: Any, uid: str) -> None:
        """`obj` is gone, or no longer owned by these; an owner that waits for that is looked at again."""
        for owner in obj.metadata.owner_references:
            if owner.uid in self._going:
                self.queue.add(owner.uid)
            held = self._dependents.get(owner.uid)
            if held is not None:
                held.pop(uid, None)
                if not held:
                    del self._dependents[owner.uid]

    def _may_be_there(self, owner: OwnerReference) -> bool:
        """Nobody can tell for kinds that are not watched: what they own is left alone, as kube does."""
        return owner.uid in self._there or owner.kind not in self._kinds

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        if key in self._going:
            self._finalize(key)
        obj = self._owned.get(key)
        if obj is None or obj.metadata.deletion_timestamp is not None:
            return
        if any(map(self._may_be_there, obj.metadata.owner_references)):
            self._due.pop(key, None)
            return
        due = self._due.setdefault(key, now + ABSENT_NS)
        if now < due:
            self.queue.add_at(key, due)
        else:
            self.write(key, _delete(obj, key))

    def _finalize(self, key: str) -> None:
        owner = self._going[key]
        finalizers = owner.metadata.finalizers
        dependents = [self._owned[dependent] for dependent in self._dependents.get(key, ())]
        if ORPHAN in finalizers:
            for obj in dependents:
                kept = tuple(ref for ref in obj.metadata.owner_references if ref.uid != key)
                released = replaced(obj, metadata=replaced(obj.metadata, owner_references=kept))
                self.write(key, Update(released, "", key))
            if not dependents:
                self.write(key, _without(owner, ORPHAN, key))
            return
        for obj in dependents:
            if obj.metadata.deletion_timestamp is None:
                self.write(key, _delete(obj, key))
        if not any(_blocks(obj, key) for obj in dependents):
            self.write(key, _without(owner, FOREGROUND, key))


def _is_of_interest(obj: Any) -> bool:
    """It has owners, or waits for its dependents to go."""
    meta = obj.metadata
    return bool(meta.owner_references) or (
        meta.deletion_timestamp is not None and (ORPHAN in meta.finalizers or FOREGROUND in meta.finalizers)
    )


def _blocks(obj: Any, uid: str) -> bool:
    return any(ref.uid == uid and ref.block_owner_deletion for ref in obj.metadata.owner_references)


def _delete(obj: Any, key: str) -> Delete:
    meta = obj.metadata
    return Delete(kind_of(obj), meta.namespace, meta.name, uid=meta.uid, propagation="Background", token=key)


def _without(owner: Any, finalizer: str, key: str) -> Update:
    meta = owner.metadata
    kept = tuple(name for name in meta.finalizers if name != finalizer)
    return Update(replaced(owner, metadata=replaced(meta, finalizers=kept)), "", key)
