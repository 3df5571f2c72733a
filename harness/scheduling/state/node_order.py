"""The order in which nodes win ties: by ascending rank, as a list and as columns."""

from __future__ import annotations

import numpy as np

from harness.scheduling.state.columns import grown
from harness.scheduling.strategy import Bool, Int64


class NodeOrder:
    """`node_at`: nodes by position, -1 a hole that a departed node left. `position_of`: its inverse, -1 for a node
    that has left; `positions`: the same as a column, int64 [room]. `rank`: int64 [room].
    """

    def __init__(self) -> None:
        self.node_at: list[int] = []
        self.position_of: list[int] = []
        self.positions: Int64 = np.zeros(0, dtype=np.int64)
        self.rank: Int64 = np.zeros(0, dtype=np.int64)
        self._next_rank = 0
        self._last = (-1, -1)  # (rank, node) of the last position
        self._unordered = False
        self._column: Int64 | None = None

    def copy(self) -> NodeOrder:
        twin = NodeOrder()
        twin.node_at, twin.position_of = list(self.node_at), list(self.position_of)
        twin.positions, twin.rank = self.positions.copy(), self.rank.copy()
        twin._next_rank, twin._last, twin._unordered = self._next_rank, self._last, self._unordered
        return twin

    def grow(self, room: int) -> None:
        self.positions = grown(self.positions, (room,), -1)
        self.rank = grown(self.rank, (room,))

    def add(self, node: int, rank: int | None) -> None:
        """A node came; None: behind all that came before."""
        rank = self._next_rank if rank is None else rank
        self.rank[node] = rank
        self._next_rank = max(self._next_rank, rank + 1)
        if (rank, node) < self._last or len(self.node_at) >= len(self.rank):
            self._unordered = True
        self._last = (rank, node)
        self.position_of[node] = self.positions[node] = len(self.node_at)
        self.node_at.append(node)

    def set_rank(self, node: int, rank: int) -> bool:
        """Whether its rank was another before."""
        if rank == self.rank[node]:
            return False
        self.rank[node] = rank
        self._next_rank = max(self._next_rank, rank + 1)
        self._unordered = True
        return True

    def remove(self, node: int) -> None:
        self.node_at[self.position_of[node]] = -1
        self.position_of[node] = self.positions[node] = -1
        self._column = None

    def sort(self, alive: Bool) -> bool:
        """Bring it up to date; whether positions were renumbered. `alive`: bool [nodes]."""
        if not self._unordered:
            return False
        here = np.flatnonzero(alive)
        nodes: list[int] = here[np.lexsort((here, self.rank[here]))].tolist()
        self.node_at = nodes
        for position, node in enumerate(nodes):
            self.position_of[node] = position
        self._last = (int(self.rank[nodes[-1]]), nodes[-1]) if nodes else (-1, -1)
        self.positions[:] = -1
        self.positions[nodes] = np.arange(len(nodes))
        self._unordered = False
        self._column = None
        return True

    def column(self) -> Int64:
        """`node_at` as a column."""
        if self._column is None or len(self._column) != len(self.node_at):
            self._column = np.array(self.node_at, dtype=np.int64)
        return self._column
