"""What was computed from a value, remembered by the value's identity.

Pods of one template share their PodSpec: defaults, admission and validation look at a shared spec once.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

V = TypeVar("V")

SIZE = 4096
"""Values remembered; when there are more, all are forgotten."""


class IdentityMemo(Generic[V]):
    """An entry holds its key, so that the key's id is not used again while it stands."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, tuple[Any, V]] = {}

    def get(self, key: Any) -> V | None:
        found = self._held.get(id(key))
        return found[1] if found is not None and found[0] is key else None

    def put(self, key: Any, value: V) -> V:
        if len(self._held) >= SIZE:
            self._held.clear()
        self._held[id(key)] = (key, value)
        return value

    def clear(self) -> None:
        self._held.clear()
