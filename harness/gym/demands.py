"""What pod classes ask for, in bit sets: which classes find on a node the resources and devices that they ask for.

A class is a bit. For each resource the amounts asked for are sorted, each with the set of classes that ask for no more;
what a node has is looked up in each, and the sets are intersected.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import PodClass


class _Steps:
    """Of one resource. `_met[i]`: the classes that ask for at most the amount `_amounts[i - 1]`, or for nothing."""

    def __init__(self, met: int) -> None:
        self._amounts: list[int] = []
        self._met = [met]

    def add(self, bit: int, amount: int) -> None:
        """`amount` 0: it asks for nothing, and does not mind a node with less than nothing left."""
        first = 0
        if amount:
            at = bisect_left(self._amounts, amount)
            first = at + 1
            if self._amounts[at : at + 1] != [amount]:
                self._amounts.insert(at, amount)
                self._met.insert(first, self._met[at])
        for index in range(first, len(self._met)):
            self._met[index] |= bit

    def met_by(self, amount: int) -> int:
        return self._met[bisect_right(self._amounts, amount)]


class Demands:
    """Of the classes that were added, on nodes that neither come nor change but for the pods on them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._ids: list[int] = []  # by number of the bit
        self._known: set[int] = set()
        self._admitted = [0] * len(snapshot)  # by node
        self._resources = [_Steps(0) for _ in snapshot.resources]
        self._devices: dict[int, _Steps] = {}  # by n: what the n-th device must have, the most idle one first

    def add(self, cls: PodClass) -> None:
        if cls.id in self._known:
            return
        bit, everybody = 1 << len(self._ids), (1 << len(self._ids)) - 1
        self._known.add(cls.id)
        self._ids.append(cls.id)
        amounts = cls.requests.tolist()
        for index, amount in enumerate(amounts[: len(self._resources)]):
            self._resources[index].add(bit, max(0, amount))
        if cls.gpu.count and cls.gpu.count not in self._devices:
            self._devices[cls.gpu.count] = _Steps(everybody)
        for count, steps in self._devices.items():
            steps.add(bit, cls.gpu.milli if count == cls.gpu.count else 0)
        if any(amount > 0 for amount in amounts[len(self._resources) :]):
            return  # no node has any
        nodes = len(self._admitted)
        for node in np.frombuffer(self._snapshot.verdicts.spec_verdicts(cls), np.bool_)[:nodes].nonzero()[0].tolist():
            self._admitted[node] |= bit

    def met_on(self, node: int) -> list[int]:
        """Ids of classes that are admitted there and have enough now; filters that look at other pods may still be
        against it."""
        snapshot = self._snapshot
        met = self._admitted[node]
        for steps, amount in zip(self._resources, snapshot.free_of[node], strict=False):  # others came later
            met &= steps.met_by(amount)
        if met and self._devices:
            idle = sorted(snapshot.devices_of[node], reverse=True)
            for count, steps in self._devices.items():
                met &= steps.met_by(idle[count - 1] if count <= len(idle) else -1)
        found = []
        while met:
            lowest = met & -met
            found.append(self._ids[lowest.bit_length() - 1])
            met ^= lowest
        return found
