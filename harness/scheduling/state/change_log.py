"""The change log: which nodes changed after a version, as long as it reaches back."""

from __future__ import annotations

_KEEP = 1 << 16  # entries kept at least; a cache that is further behind starts afresh


class ChangeLog:
    """Appending costs nothing to speak of; the older half is dropped each time the log has doubled."""

    __slots__ = ("base", "entries")

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.base = 0  # version before the first entry

    @property
    def version(self) -> int:
        return self.base + len(self.entries)

    def add(self, node: int) -> None:
        entries = self.entries
        entries.append(node)
        if len(entries) > 2 * _KEEP:
            del entries[:_KEEP]
            self.base += _KEEP

    def rewind(self, version: int) -> None:
        """Forget what came after `version`: it was undone, and nobody has looked."""
        del self.entries[version - self.base :]

    def since(self, version: int) -> list[int] | None:
        """Nodes in order of change, repeats included; None when the log no longer reaches back."""
        start = version - self.base
        return None if start < 0 else self.entries[start:]
