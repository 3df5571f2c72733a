"""The garbage collector: what has lost all its owners goes; orphaning and foreground deletion by their finalizers.

Source: pkg/controller/garbagecollector. The graph is kept by uid, so that an object of the same name is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.engine.component import (
    DELETED,
    SECOND,
    Delete,
    Effect,
    Event,
    Instant,
    Outcome,
    Relist,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.model.objects import KINDS, kind_of

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
"""Source: metav1.FinalizerOrphanDependents, FinalizerDeleteDependents."""

ABSENT_NS = 5 * SECOND
"""How long an owner that nobody has seen may still turn up: watches of different kinds are not ordered. kube asks the
API server instead; what a watch has not brought after this long is not there."""

RETRY_NS = SECOND

replaced = msgspec.structs.replace


class GarbageCollector:
    name = "garbage-collector"

    def __init__(self) -> None:
        self.watches = tuple(sorted(name for name, kind in KINDS.items() if kind.collected))
        self._reset()

    def _reset(self) -> None:
        self._there: set[str] = set()
        self._owned: dict[str, Any] = {}  # objects with owners, by uid
        self._dependents: dict[str, dict[str, None]] = {}  # by owner's uid: theirs
        self._going: dict[str, Any] = {}  # owners with one of the finalizers, by uid

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                if event.type == DELETED:
                    self._gone(event.obj, effects)
                else:
                    self._seen(now, event.obj, effects)
            elif type(event) is Timer:
                self._look(event.token, effects)
            elif type(event) is Outcome:
                self._answered(now, event, effects)
            elif type(event) is Relist:
                for obj in event.objects:
                    self._seen(now, obj, effects)
            elif type(event) is Start:
                self._reset()
        return effects

    def _seen(self, now: int, obj: Any, effects: list[Effect]) -> None:
        meta = obj.metadata
        uid = meta.uid
        new = uid not in self._there
        self._there.add(uid)
        owners = meta.owner_references
        if owners:
            before = self._owned.get(uid)
            self._owned[uid] = obj
            if before is None or before.metadata.owner_references != owners:
                if before is not None:
                    self._let_go(before, uid)
                for owner in owners:
                    self._dependents.setdefault(owner.uid, {})[uid] = None
                if not any(owner.uid in self._there for owner in owners):
                    effects.append(WakeAt(now + ABSENT_NS, uid))
        elif not new and uid in self._owned:
            self._let_go(self._owned.pop(uid), uid)
        if meta.deletion_timestamp is not None and not {FOREGROUND, ORPHAN}.isdisjoint(meta.finalizers):
            self._going[uid] = obj
            self._finalize(uid, effects)

    def _gone(self, obj: Any, effects: list[Effect]) -> None:
        uid = obj.metadata.uid
        self._there.discard(uid)
        self._going.pop(uid, None)
        owned = self._owned.pop(uid, None)
        if owned is not None:
            self._let_go(owned, uid)
            for owner in owned.metadata.owner_references:
                if owner.uid in self._going:
                    self._finalize(owner.uid, effects)
        for dependent in list(self._dependents.get(uid, ())):
            self._look(dependent, effects)

    def _let_go(self, obj: Any, uid: str) -> None:
        for owner in obj.metadata.owner_references:
            held = self._dependents.get(owner.uid)
            if held is not None:
                held.pop(uid, None)
                if not held:
                    del self._dependents[owner.uid]

    def _look(self, uid: str, effects: list[Effect]) -> None:
        """Delete it when none of its owners is there."""
        obj = self._owned.get(uid)
        if obj is None or obj.metadata.deletion_timestamp is not None:
            return
        if any(owner.uid in self._there for owner in obj.metadata.owner_references):
            return
        effects.append(_delete(obj))

    def _finalize(self, uid: str, effects: list[Effect]) -> None:
        owner = self._going[uid]
        finalizers = owner.metadata.finalizers
        dependents = [self._owned[dependent] for dependent in self._dependents.get(uid, ())]
        if ORPHAN in finalizers:
            for obj in dependents:
                kept = tuple(ref for ref in obj.metadata.owner_references if ref.uid != uid)
                effects.append(Update(replaced(obj, metadata=replaced(obj.metadata, owner_references=kept))))
            if not dependents:
                effects.append(_without(owner, ORPHAN))
            return
        blocking = [obj for obj in dependents if _blocks(obj, uid)]
        effects += [_delete(obj) for obj in dependents if obj.metadata.deletion_timestamp is None]
        if not blocking:
            effects.append(_without(owner, FOREGROUND))

    def _answered(self, now: int, outcome: Outcome, effects: list[Effect]) -> None:
        effect, error = outcome.effect, outcome.error
        if error is None or error.code == 404:
            return
        if type(effect) is Delete and error.code >= 500:
            effects.append(WakeAt(now + RETRY_NS, effect.uid))
        # A conflicting update is made again when the newer version arrives.


def _blocks(obj: Any, uid: str) -> bool:
    return any(ref.uid == uid and ref.block_owner_deletion for ref in obj.metadata.owner_references)


def _delete(obj: Any) -> Delete:
    meta = obj.metadata
    return Delete(kind_of(obj), meta.namespace, meta.name, uid=meta.uid, propagation="Background")


def _without(owner: Any, finalizer: str) -> Update:
    meta = owner.metadata
    kept = tuple(name for name in meta.finalizers if name != finalizer)
    return Update(replaced(owner, metadata=replaced(meta, finalizers=kept)))
