"""What a controller has asked for and not seen yet, so that it doesn't ask twice.

Source: pkg/controller/controller_utils.go ControllerExpectations, UIDTrackingControllerExpectations.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.engine.component import MINUTE, Instant

TIMEOUT_NS = 5 * MINUTE
"""After so long, what was expected is given up. Source: controller.ExpectationsTimeout."""


class _Expected:
    __slots__ = ("at", "creations", "deletions")

    def __init__(self, at: Instant) -> None:
        self.at = at
        self.creations = 0
        self.deletions: set[str] = set()


class Expectations:
    """By the key of the owner: how many creations, and which deletions, are still to be seen."""

    def __init__(self) -> None:
        self._by_owner: dict[str, _Expected] = {}

    def expect_creations(self, owner: str, count: int, now: Instant) -> None:
        self._at(owner, now).creations += count

    def expect_deletions(self, owner: str, keys: Iterable[str], now: Instant) -> None:
        self._at(owner, now).deletions.update(keys)

    def created(self, owner: str, count: int = 1) -> None:
        """Seen, or known never to come."""
        expected = self._by_owner.get(owner)
        if expected is not None:
            expected.creations -= count
            self._tidy(owner, expected)

    def deleted(self, owner: str, key: str) -> None:
        expected = self._by_owner.get(owner)
        if expected is not None:
            expected.deletions.discard(key)
            self._tidy(owner, expected)

    def satisfied(self, owner: str, now: Instant) -> bool:
        expected = self._by_owner.get(owner)
        return expected is None or now - expected.at > TIMEOUT_NS

    def creations(self, owner: str) -> int:
        """How many are still to be seen."""
        expected = self._by_owner.get(owner)
        return 0 if expected is None else max(expected.creations, 0)

    def until(self, owner: str) -> Instant | None:
        """When those of `owner` will be given up; None when there are none."""
        expected = self._by_owner.get(owner)
        return None if expected is None else expected.at + TIMEOUT_NS + 1

    def forget(self, owner: str) -> None:
        self._by_owner.pop(owner, None)

    def clear(self) -> None:
        self._by_owner.clear()

    def _at(self, owner: str, now: Instant) -> _Expected:
        expected = self._by_owner.get(owner)
        if expected is None or now - expected.at > TIMEOUT_NS:
            expected = self._by_owner[owner] = _Expected(now)
        return expected

    def _tidy(self, owner: str, expected: _Expected) -> None:
        if expected.creations <= 0 and not expected.deletions:
            del self._by_owner[owner]
