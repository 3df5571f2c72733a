"""Writes of one's own, so that none is made twice before it is heard of, and none that was lost is waited for."""

from __future__ import annotations

from typing import Any

from harness.engine.component import SECOND, Effect, Update

PATIENCE_NS = 60 * SECOND
"""A write of which nothing was heard is made again: it may be lost with the API server that took it."""

AGAIN_NS = SECOND
"""After a conflict or a refusal. Source: controller-runtime requeues with errors."""


class Writes:
    """By kind and name: the version that was written on, and when."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, str], tuple[str, int]] = {}

    def make(self, now: int, what: str, obj: Any, effect: Effect, effects: list[Effect]) -> bool:
        """Once for each version of `obj`. `what`: tells writes of the same object apart."""
        key = (what, type(obj).__name__, obj.metadata.name)
        known = self._made.get(key)
        version = obj.metadata.resource_version
        if known is not None and known[0] == version and now - known[1] < PATIENCE_NS:
            return False
        self._made[key] = (version, now)
        effects.append(effect)
        return True

    def failed(self, obj: Any) -> None:
        """Of a write of `obj`: it may be made again."""
        kind, name = type(obj).__name__, obj.metadata.name
        for key in [key for key in self._made if key[1:] == (kind, name)]:
            del self._made[key]

    def forget(self, name: str) -> None:
        for key in [key for key in self._made if key[2] == name]:
            del self._made[key]


def update(obj: Any, name: str) -> Update:
    return Update(obj, token=("write", name))
