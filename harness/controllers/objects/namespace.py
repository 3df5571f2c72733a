"""The namespace controller: a namespace that is going is emptied, then let go.

Source: pkg/controller/namespace/deletion (1.32).
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import SECOND, Delete, Instant, LazyWatch, Update
from harness.model.core import Namespace
from harness.model.objects import KINDS, kind_of

LOOK_AGAIN_NS = 5 * SECOND
"""Until what is still in a namespace is looked at again. Source: deletion of what has no grace is estimated at 5 s."""

replaced = msgspec.structs.replace


class NamespaceController(Reconciler):
    """Keys are names of namespaces. What is in one is listed when it begins to go, and followed from then on."""

    def __init__(self, name: str = "namespace-controller") -> None:
        self._contents = tuple(sorted(n for n, kind in KINDS.items() if kind.namespaced and n != "Event"))
        super().__init__(name, {"Namespace": self._namespace_changed, **dict.fromkeys(self._contents)})
        self.lazy_watches = (LazyWatch(self._contents, {"Namespace": _is_going}),)
        self._left: dict[str, dict[tuple[str, str], Any]] = {}  # of those that are going: by (kind, name)

    def forget_all(self) -> None:
        super().forget_all()
        self._left.clear()
        self._listen()

    def _listen(self) -> None:
        """To what is in namespaces, as long as any of them is going."""
        for kind in self._contents:
            self.informer.listen(kind, self._contents_changed if self._left else None)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is None:
            assert old is not None
            if self._left.pop(old.metadata.name, None) is not None:
                self._listen()
        elif new.metadata.deletion_timestamp is not None:
            self.queue.add(new.metadata.name)

    def _contents_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        meta = obj.metadata
        left = self._left.get(meta.namespace)
        if left is None:
            return
        at = (kind_of(obj), meta.name)
        if new is not None:
            left[at] = new
            if old is None:
                self.queue.add(meta.namespace)
        else:
            left.pop(at, None)
            if not left:
                self.queue.add(meta.namespace)

    def reconcile(self, now: Instant, key: str) -> None:
        space: Namespace | None = self.informer.get("Namespace", key)
        if space is None or space.metadata.deletion_timestamp is None:
            return
        left = self._left.get(key)
        if left is None:
            left = self._left[key] = {
                (kind, obj.metadata.name): obj
                for kind in self._contents
                for obj in self.informer.objects(kind).values()
                if obj.metadata.namespace == key
            }
            self._listen()
        if not left:
            if space.spec.finalizers:
                self.write(key, Update(replaced(space, spec=replaced(space.spec, finalizers=())), "finalize", key))
            return
        for (kind, own), obj in sorted(left.items(), key=lambda item: item[0]):
            if obj.metadata.deletion_timestamp is None:
                self.write(key, Delete(kind, key, own, uid=obj.metadata.uid, propagation="Background", token=key))
        self.queue.add_at(key, now + LOOK_AGAIN_NS)


def _is_going(space: Namespace) -> bool:
    return space.metadata.deletion_timestamp is not None
