"""Index of the highest of many values under single changes: a numpy column with the maxima of its blocks."""

from __future__ import annotations

import numpy as np

from harness.scheduling.strategy import Float64, Int64

NEVER = float("-inf")

_BLOCK_BITS = 7  # 128 values: one numpy argmax costs as much as comparing ten in Python
_GROUP_BITS = 5  # 32 blocks: one max() over a list slice
_BLOCK = 1 << _BLOCK_BITS
_UNSEATED = -1  # in place of a position: the block's best is not known, only a bound on it
_FEW_BLOCKS = 6  # so many are cheaper one by one


class MaxIndex:
    """Values by position; `best` is the first position of the highest value above NEVER.

    A change costs a write. Where it unseats a block's best, the block keeps the old value as a bound, and is looked
    through only when that bound comes out on top. So asking costs about one argmax over 128 values, whatever the number
    of positions up to some hundred thousands.
    """

    __slots__ = ("_best_at", "_best_of", "_grid", "_group_best", "column")

    def __init__(self, values: Float64) -> None:
        blocks = max(1, -(-len(values) // _BLOCK))
        self.column: Float64 = np.full(blocks * _BLOCK, NEVER)
        self.column[: len(values)] = values
        grid = self._grid = self.column.reshape(blocks, _BLOCK)
        at = grid.argmax(axis=1)
        self._best_of: list[float] = grid[np.arange(blocks), at].tolist()
        self._best_at: list[int] = (at + np.arange(blocks) * _BLOCK).tolist()
        self._group_best = [
            max(self._best_of[start : start + (1 << _GROUP_BITS)]) for start in range(0, blocks, 1 << _GROUP_BITS)
        ]

    def best(self) -> int:
        """Position, or -1 when every value is NEVER."""
        group_best = self._group_best
        while True:
            top = max(group_best)
            if top == NEVER:
                return -1
            block = self._best_of.index(top, group_best.index(top) << _GROUP_BITS)
            at = self._best_at[block]
            if at != _UNSEATED:
                return at
            self._block_anew(block, top)

    def set(self, position: int, value: float) -> None:
        self.column[position] = value
        block = position >> _BLOCK_BITS
        bound = self._best_of[block]
        if value > bound:
            self._best_of[block] = value
            self._best_at[block] = position
            group = block >> _GROUP_BITS
            if value > self._group_best[group]:
                self._group_best[group] = value
            return
        at = self._best_at[block]
        if at == position:
            if value != bound:
                self._best_at[block] = _UNSEATED
        elif value == bound and position < at:
            self._best_at[block] = position

    def set_many(self, positions: Int64, values: Float64) -> None:
        """The same for many; a repeated position must repeat its value."""
        self.column[positions] = values
        touched = np.zeros(len(self._best_of), dtype=np.bool_)
        touched[positions >> _BLOCK_BITS] = True
        blocks = np.flatnonzero(touched)
        if len(blocks) <= _FEW_BLOCKS:
            for block in blocks.tolist():
                self._block_anew(block, self._best_of[block])
            return
        rows = self._grid[blocks]
        at = rows.argmax(axis=1)
        best = rows[np.arange(len(blocks)), at].tolist()
        best_of, best_at = self._best_of, self._best_at
        groups = set()
        for block, value, position in zip(blocks.tolist(), best, (at + (blocks << _BLOCK_BITS)).tolist(), strict=True):
            best_at[block] = position
            if value != best_of[block]:
                best_of[block] = value
                groups.add(block >> _GROUP_BITS)
        for group in groups:
            first = group << _GROUP_BITS
            self._group_best[group] = max(best_of[first : first + (1 << _GROUP_BITS)])

    def _block_anew(self, block: int, old: float) -> None:
        start = block << _BLOCK_BITS
        values = self.column[start : start + _BLOCK]
        at = int(values.argmax())
        new = values.item(at)
        self._best_of[block] = new
        self._best_at[block] = start + at
        group = block >> _GROUP_BITS
        best = self._group_best[group]
        if new > best:
            self._group_best[group] = new
        elif old == best:
            first = group << _GROUP_BITS
            self._group_best[group] = max(self._best_of[first : first + (1 << _GROUP_BITS)])
