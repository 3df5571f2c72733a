"""The namespace controller: a namespace that is going is emptied, then let go.

Source: pkg/controller/namespace/deletion.
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
from harness.model.core import Namespace
from harness.model.objects import KINDS, kind_of

RETRY_NS = SECOND

replaced = msgspec.structs.replace


class NamespaceController:
    name = "namespace-controller"

    def __init__(self) -> None:
        kinds = sorted(name for name, kind in KINDS.items() if kind.namespaced and name != "Event")
        self.watches = ("Namespace", *kinds)
        self._reset()

    def _reset(self) -> None:
        self._going: dict[str, Namespace] = {}
        self._held: dict[str, dict[tuple[str, str], Any]] = {}  # by namespace, by (kind, name)

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        look: dict[str, None] = {}
        for event in events:
            if type(event) is Watch:
                self._hear(event, look)
            elif type(event) is Timer:
                look[event.token] = None
            elif type(event) is Outcome:
                error = event.error
                if error is not None and error.code != 404:
                    effects.append(WakeAt(now + RETRY_NS, event.effect.token))
            elif type(event) is Relist:
                for obj in event.objects:
                    self._hear(Watch("ADDED", obj), look)
            elif type(event) is Start:
                self._reset()
        for name in look:
            if name in self._going:
                self._empty(name, effects)
        return effects

    def _hear(self, event: Watch, look: dict[str, None]) -> None:
        obj = event.obj
        meta = obj.metadata
        if type(obj) is Namespace:
            if event.type == DELETED:
                self._going.pop(meta.name, None)
            elif meta.deletion_timestamp is not None:
                self._going[meta.name] = obj
                look[meta.name] = None
            return
        held = self._held.setdefault(meta.namespace, {})
        key = (kind_of(obj), meta.name)
        if event.type == DELETED:
            held.pop(key, None)
            if meta.namespace in self._going:
                look[meta.namespace] = None
        else:
            held[key] = obj
            if meta.namespace in self._going:
                look[meta.namespace] = None

    def _empty(self, name: str, effects: list[Effect]) -> None:
        held = self._held.get(name)
        if not held:
            space = self._going[name]
            if space.spec.finalizers:
                effects.append(Update(replaced(space, spec=replaced(space.spec, finalizers=())), "finalize", name))
            return
        for (kind, own), obj in sorted(held.items(), key=lambda item: item[0]):
            if obj.metadata.deletion_timestamp is None:
                effects.append(Delete(kind, name, own, uid=obj.metadata.uid, propagation="Background", token=name))
