"""Objects by namespace, then by name: what LimitRanger and ResourceQuota keep. Most namespaces have none."""

from __future__ import annotations

from typing import Generic, TypeVar

from harness.engine.component import DELETED
from harness.model.meta import ApiObject

V = TypeVar("V")


class ByNamespace(Generic[V]):
    def __init__(self) -> None:
        self.held: dict[str, dict[str, V]] = {}

    def put(self, change: str, obj: ApiObject, value: V) -> None:
        """`value` for `obj`; none any more when it was deleted."""
        meta = obj.metadata
        held = self.held.setdefault(meta.namespace, {})
        if change == DELETED:
            held.pop(meta.name, None)
            if not held:
                del self.held[meta.namespace]
        else:
            held[meta.name] = value

    def values(self, namespace: str) -> list[V]:
        """In order of name."""
        held = self.held.get(namespace)
        return [] if held is None else [held[name] for name in sorted(held)]

    def clear(self) -> None:
        self.held.clear()
