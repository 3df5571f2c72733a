"""Which nodes are without power, stand still, or are cut off from the network, and until when."""

from __future__ import annotations

from collections.abc import Iterable


class HeldNodes:
    """Instants in ns since the run began; by node, until when."""

    def __init__(self) -> None:
        self._off: dict[str, int] = {}
        self._still: dict[str, int] = {}
        self._cut: dict[str, int] = {}

    def hold(self, node: str, kind: str, at_ns: int, until_ns: int) -> None:
        """A fault of this kind hits the node. A crash ends a freeze, and what is down does not stand still."""
        if kind == "Crash":
            self._off[node] = max(self._off.get(node, 0), until_ns)
            self._still.pop(node, None)
        elif kind == "Freeze" and not self.is_off(node, at_ns):
            self._still[node] = max(self._still.get(node, 0), until_ns)
        elif kind == "Partition":
            self._cut[node] = max(self._cut.get(node, 0), until_ns)

    def release(self, nodes: Iterable[str], at_ns: int) -> None:
        """The fault is undone before its time."""
        for node in nodes:
            for held in (self._off, self._still, self._cut):
                held[node] = min(held.get(node, at_ns), at_ns)

    def is_off(self, node: str, at_ns: int) -> bool:
        return self._off.get(node, 0) > at_ns

    def is_held(self, node: str, at_ns: int) -> bool:
        """Whatever is heard of its pods is from before that."""
        return any(held.get(node, 0) > at_ns for held in (self._off, self._still, self._cut))
