"""Index of the highest score in each topology domain, for pods whose feasible nodes follow from domains' verdicts.

A topology key with few domains (zones) gets a MaxIndex for each domain, so that one verdict opens or closes all of its
nodes. A key with many domains (hosts) has its verdicts written into the values: a change costs the nodes of the domain.
A decision therefore costs the number of domains and of changed verdicts, not the number of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.live_masks import DomainMask
from harness.scheduling.ranking.max_index import NEVER, MaxIndex
from harness.scheduling.strategy import Float64, Int64

COARSE = 64  # domains of a key, or combinations of domains of several keys, that get an index of their own
_AT_ONCE = 2048  # changes beyond which starting afresh is cheaper


class MaxIndexByDomain:
    """`values`: by position in tie-break order, live; whoever changes one calls `set`.

    `stale`: a node's spec has changed, and the index must be made again.
    """

    __slots__ = (
        "_coarse",
        "_codes",
        "_fine",
        "_group_of",
        "_indexes",
        "_open",
        "_positions",
        "_seen",
        "_slot_of",
        "_snapshot",
        "_specs",
        "_values",
        "stale",
    )

    def __init__(self, snapshot: Snapshot, parts: Sequence[DomainMask], values: Float64) -> None:
        self._snapshot = snapshot
        self._values = values
        self._specs = snapshot.spec_log.version
        self.stale = False
        for part in parts:
            part.settle()
        self._coarse = [part for part in parts if part.width <= COARSE]
        self._fine = [part for part in parts if part.width > COARSE]
        self._seen = [part.turned.version for part in self._fine]
        nodes = snapshot.order_column()
        there = nodes >= 0
        allowed = there.copy()
        for part in self._fine:
            allowed &= part.verdicts[part.codes[nodes]]
        self._open = bytearray(allowed.tobytes())  # where the fine masks hold, by position
        key = np.zeros(len(nodes), dtype=np.int64)
        for part in self._coarse:
            key = key * (COARSE + 1) + part.codes[nodes] + 1
        _, first, group_of = np.unique(key, return_index=True, return_inverse=True)
        if len(first) > COARSE:
            self.stale = True
        self._group_of = group_of.astype(np.uint8)
        self._codes = [tuple(int(part.codes[nodes[at]]) for part in self._coarse) for at in first.tolist()]
        self._slot_of = np.zeros(len(nodes), dtype=np.int32)
        self._positions: list[Int64] = []
        self._indexes: list[MaxIndex] = []
        masked = np.where(allowed, values[: len(nodes)], NEVER)
        for group in range(0 if self.stale else len(first)):
            mine = np.flatnonzero(group_of == group)
            self._slot_of[mine] = np.arange(len(mine))
            self._positions.append(mine)
            self._indexes.append(MaxIndex(masked[mine]))

    def set(self, position: int, value: float) -> None:
        if position < len(self._open) and not self.stale:
            self._put(position, value if self._open[position] else NEVER)

    def set_many(self, positions: Int64, values: Float64) -> None:
        if len(positions) > _AT_ONCE:
            self.stale = True
        else:
            for position, value in zip(positions.tolist(), values.tolist(), strict=True):
                self.set(position, value)

    def sync(self) -> bool:
        """Bring it up to date with the masks; False when it cannot be, and is stale."""
        if self._snapshot.spec_log.version != self._specs:
            self.stale = True
        if self.stale:
            return False
        for part in self._coarse:
            part.settle()
        for part in self._fine:
            part.settle()
        for at, part in enumerate(self._fine):
            version = part.turned.version
            if version == self._seen[at]:
                continue
            codes = part.turned.since(self._seen[at])
            if codes is None or len(codes) > _AT_ONCE:
                self.stale = True
                return False
            self._seen[at] = version
            members = part.members()
            for code in dict.fromkeys(codes):
                for node in members[code]:
                    self._turn(node)
        return True

    def best(self) -> int:
        """The first position of the highest value where every mask holds, -1 when there is none. Call `sync` first."""
        best, at = NEVER, -1
        coarse = self._coarse
        for group, index in enumerate(self._indexes):
            codes = self._codes[group]
            if not all(part.verdicts[code] for part, code in zip(coarse, codes, strict=True)):
                continue
            slot = index.best()
            if slot < 0:
                continue
            value = index.column.item(slot)
            if value >= best:
                position = self._positions[group].item(slot)
                if value > best or position < at:
                    best, at = value, position
        return at

    def _turn(self, node: int) -> None:
        position = self._snapshot.position_of[node]
        if position < 0:
            return
        holds = all(part.verdicts[part.codes[node]] for part in self._fine)
        if self._open[position] != holds:
            self._open[position] = holds
            self._put(position, self._values.item(position) if holds else NEVER)

    def _put(self, position: int, value: float) -> None:
        self._indexes[self._group_of.item(position)].set(self._slot_of.item(position), value)
