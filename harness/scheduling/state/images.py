"""Container images by name: on which nodes they are, and how large.

Source: kube-scheduler 1.32 backend/cache UpdateNode, addNodeImageStates: an image's size is what the first node to
report it said, until no node has it any more; an update takes all of the node's images out and puts the new ones in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

Image: TypeAlias = tuple[tuple[str, ...], int]
"""All names of one image, and its bytes."""


class NodeImages:
    """`version` grows with each change."""

    def __init__(self) -> None:
        self.version = 0
        self._of: dict[int, tuple[Image, ...]] = {}
        self._nodes: dict[str, dict[int, None]] = {}
        self._size: dict[str, int] = {}

    def set_node(self, node: int, images: Iterable[Image]) -> None:
        """What a node has now; nothing when it has left."""
        new = tuple(images)
        old = self._of.get(node, ())
        if new == old:
            return
        self.version += 1
        for name in dict.fromkeys(name for names, _ in old for name in names):
            del self._nodes[name][node]
            if not self._nodes[name]:  # its size is asked anew, also of the node that had it alone and keeps it
                del self._nodes[name], self._size[name]
        for names, size in new:
            for name in names:
                self._nodes.setdefault(name, {})[node] = None
                self._size.setdefault(name, size)
        if new:
            self._of[node] = new
        else:
            del self._of[node]

    def nodes_with(self, name: str) -> Mapping[int, None]:
        """Nodes that have the image of this normalised name."""
        return self._nodes.get(name, _NOWHERE)

    def images_of(self, node: int) -> tuple[Image, ...]:
        """What `put` was told of a node."""
        return self._of.get(node, ())

    def size_of(self, name: str) -> int:
        return self._size.get(name, 0)

    def __bool__(self) -> bool:
        return bool(self._of)

    def copy(self) -> NodeImages:
        twin = NodeImages()
        twin.version, twin._of, twin._size = self.version, dict(self._of), dict(self._size)
        twin._nodes = {name: dict(nodes) for name, nodes in self._nodes.items()}
        return twin


_NOWHERE: Mapping[int, None] = {}
