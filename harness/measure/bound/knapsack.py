"""Three small knapsacks in numpy: loose things under one budget, things on one device, and devices on one node.

Everything is int64 and exact; a table `t` over a budget holds at `t[u]` the most that a budget of u is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.measure.bound.instance import Int64


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """Things to pack. `label`: what each stands for; `milli`: steps of a device; `main`: steps of the budget."""

    label: Int64
    milli: Int64
    main: Int64
    worth: Int64

    def undominated(self) -> Items:
        """Without those that cost no less than another and are worth no more; of equals the lowest label stays."""
        order = np.lexsort((self.label, self.main, self.milli, -self.worth))
        milli, main = self.milli[order], self.main[order]
        # Sorted by worth, so whatever comes before is worth at least as much.
        beaten = (milli[None, :] <= milli[:, None]) & (main[None, :] <= main[:, None])
        keep = order[~np.tril(beaten, k=-1).any(axis=1)]
        return Items(self.label[keep], milli=self.milli[keep], main=self.main[keep], worth=self.worth[keep])


class Loose:
    """Bounded knapsack over the budget alone. Multiplicities are bundles of 1, 2, 4, ... so a pass is one operation."""

    def __init__(self, items: Items, most: Int64, budget: int) -> None:
        """`items.main` is at least 1; `most[i]` is how many of item i there may be."""
        self._tables = [np.zeros(budget + 1, np.int64)]
        self._bundles: list[tuple[int, int, int]] = []  # label, number, steps
        for i in range(len(items.label)):
            step, worth = int(items.main[i]), int(items.worth[i])
            rest, bundle = min(int(most[i]), budget // step), 1
            while rest > 0:
                number = min(bundle, rest)
                table = self._tables[-1].copy()
                cost = number * step
                np.maximum(table[cost:], self._tables[-1][: budget + 1 - cost] + number * worth, out=table[cost:])
                self._tables.append(table)
                self._bundles.append((int(items.label[i]), number, cost))
                rest -= number
                bundle *= 2

    @property
    def table(self) -> Int64:
        return self._tables[-1]

    def chosen(self, budget: int) -> list[tuple[int, int]]:
        """(label, number) of an optimum at this budget."""
        found = []
        for before, after, (label, number, cost) in zip(
            reversed(self._tables[:-1]), reversed(self._tables[1:]), reversed(self._bundles), strict=True
        ):
            if after[budget] != before[budget]:
                found.append((label, number))
                budget -= cost
        return found


class Device:
    """Unbounded knapsack over one device's milli and the budget."""

    def __init__(self, items: Items, full: int, budget: int) -> None:
        """`items.milli` is at least 1; `full` is the size of the device in the same steps."""
        self._items = items.undominated()
        table = self._table = np.zeros((full + 1, budget + 1), np.int64)
        rows = zip(self._items.milli.tolist(), self._items.main.tolist(), self._items.worth.tolist(), strict=True)
        for size, step, worth in rows:
            if step > budget:
                continue
            # A block of `size` rows needs only the block before it, so one more of the item is one operation.
            for start in range(size, full + 1, size):
                end = min(start + size, full + 1)
                here, before = table[start:end, step:], table[start - size : end - size, : budget + 1 - step]
                np.maximum(here, before + worth, out=here)

    @property
    def table(self) -> Int64:
        return np.asarray(self._table[-1])

    def chosen(self, budget: int) -> tuple[int, ...]:
        """The labels of an optimum at this budget, one possibly more than once."""
        milli, found = len(self._table) - 1, []
        while self._table[milli, budget] > 0:
            if milli and self._table[milli, budget] == self._table[milli - 1, budget]:
                milli -= 1
                continue
            ok = (self._items.milli <= milli) & (self._items.main <= budget)
            rest = self._table[milli - np.where(ok, self._items.milli, 0), budget - np.where(ok, self._items.main, 0)]
            item = int(np.argmax(ok & (rest + self._items.worth == self._table[milli, budget])))
            found.append(int(self._items.label[item]))
            milli -= int(self._items.milli[item])
            budget -= int(self._items.main[item])
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """Ways to use `devices` devices at once, by steps of the budget and worth; `label` -1: a mix on one device."""

    devices: int
    label: Int64
    main: Int64
    worth: Int64


def mixes(device: Device) -> Way:
    """The ways to fill one device that are worth more than every cheaper one."""
    table = device.table
    rises = np.flatnonzero(np.diff(table, prepend=0) > 0)
    return Way(1, np.full(len(rises), -1, np.int64), rises.astype(np.int64), table[rises])


class Node:
    """All devices of a node filled in the ways given, on top of what needs no device."""

    def __init__(self, devices: int, ways: list[Way], base: Int64) -> None:
        """`base`: the table of what needs no device."""
        self._ways = ways
        self._tables = [base]
        for used in range(1, devices + 1):
            table = self._tables[-1].copy()
            for way in ways:
                if way.devices > used:
                    continue
                below = self._tables[used - way.devices]
                for step, worth in zip(way.main.tolist(), way.worth.tolist(), strict=True):
                    if step < len(table):
                        np.maximum(table[step:], below[: len(table) - step] + worth, out=table[step:])
            self._tables.append(table)

    @property
    def worth(self) -> int:
        return int(self._tables[-1][-1])

    def chosen(self) -> tuple[list[tuple[int, int]], int]:
        """([(label, steps of the budget)] of the ways taken, budget left to what needs no device)."""
        used, budget, found = len(self._tables) - 1, len(self._tables[-1]) - 1, []
        while used:
            worth = self._tables[used][budget]
            if worth == self._tables[used - 1][budget]:
                used -= 1
                continue
            for way in self._ways:
                if way.devices > used:
                    continue
                ok = way.main <= budget
                rest = self._tables[used - way.devices][budget - np.where(ok, way.main, 0)]
                hit = np.flatnonzero(ok & (rest + way.worth == worth))
                if hit.size:
                    found.append((int(way.label[hit[0]]), int(way.main[hit[0]])))
                    used, budget = used - way.devices, budget - int(way.main[hit[0]])
                    break
            else:
                raise AssertionError("a node's table holds a worth that no way gives")
        return found, budget
