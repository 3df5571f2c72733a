"""The highest of many values among the nodes where verdicts by topology domain hold: a tournament a coarse domain.

Where a topology key has few domains (zones), each has a tournament of its own, and one verdict admits or bars all of
it. Where it has many (hosts), a verdict that turns writes the few values that it concerns. So a decision costs the
domains that there are and the verdicts that turned, not the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.scheduling.ranking.max_index import NEVER, Tournament

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot
    from harness.scheduling.filters.live_masks import DomainMask
    from harness.scheduling.strategy import Float64, Int64

COARSE = 64  # domains of a key, or combinations of domains of several keys, that get tournaments of their own
_AT_ONCE = 2048  # changes beyond which starting afresh is cheaper


class MaskedTournament:
    """`values`: by position, live; whoever changes one calls `set`. It is `stale` once a node's spec has changed."""

    __slots__ = (
        "_coarse",
        "_codes",
        "_fine",
        "_group_of",
        "_on",
        "_open",
        "_positions",
        "_seen",
        "_slot_of",
        "_specs",
        "_tournaments",
        "_values",
        "stale",
    )

    def __init__(self, on: Snapshot, parts: Sequence[DomainMask], values: Float64) -> None:
        self._on = on
        self._values = values
        self._specs = on.spec_log.version
        self.stale = False
        for part in parts:
            part.settle()
        self._coarse = [part for part in parts if part.width <= COARSE]
        self._fine = [part for part in parts if part.width > COARSE]
        self._seen = [part.turned.version for part in self._fine]
        nodes = on.order_column()
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
        self._tournaments: list[Tournament] = []
        masked = np.where(allowed, values[: len(nodes)], NEVER)
        for group in range(0 if self.stale else len(first)):
            mine = np.flatnonzero(group_of == group)
            self._slot_of[mine] = np.arange(len(mine))
            self._positions.append(mine)
            self._tournaments.append(Tournament(masked[mine]))

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
        if self._on.spec_log.version != self._specs:
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
        for group, tournament in enumerate(self._tournaments):
            codes = self._codes[group]
            if not all(part.verdicts[code] for part, code in zip(coarse, codes, strict=True)):
                continue
            slot = tournament.best()
            if slot < 0:
                continue
            value = tournament.column.item(slot)
            if value >= best:
                position = self._positions[group].item(slot)
                if value > best or position < at:
                    best, at = value, position
        return at

    def _turn(self, node: int) -> None:
        position = self._on.position_of[node]
        if position < 0:
            return
        holds = all(part.verdicts[part.codes[node]] for part in self._fine)
        if self._open[position] != holds:
            self._open[position] = holds
            self._put(position, self._values.item(position) if holds else NEVER)

    def _put(self, position: int, value: float) -> None:
        self._tournaments[self._group_of.item(position)].set(self._slot_of.item(position), value)
