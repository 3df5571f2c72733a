"""What was computed from a value, remembered by the value's identity.

Pods of one template share their PodSpec: defaults, admission and validation look at a shared spec once.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

V = TypeVar("V")

SIZE = 4096
"""Values remembered; when there are more, all are forgotten."""


class IdentityMemo(Generic[V]):
    """An entry holds its key, so that the key's id is not used again while it stands.

    `held`: (key, value) by id of the key. The path of every pod looks there itself, as a call costs as much as the
    rest: `known = memo.held.get(id(key))`, then `known[1]`.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: dict[int, tuple[Any, V]] = {}

    def get(self, key: Any) -> V | None:
        found = self.held.get(id(key))
        return None if found is None else found[1]

    def put(self, key: Any, value: V) -> V:
        if len(self.held) >= SIZE:
            self.held.clear()
        self.held[id(key)] = (key, value)
        return value

    def clear(self) -> None:
        self.held.clear()
