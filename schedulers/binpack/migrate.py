"""Migrations: which running pods to move aside so that a waiting pod fits, when each of them has a place to go.

A move is only made for a pod that fits nowhere, and only when every pod moved aside has a place at that very moment
(elsewhere, or where another one that moves was), so that what is allocated grows with each move. The eviction API has
the last word (disruption budgets).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.scheduling.strategy import ClusterView, Int64, PodClass, PodView
from schedulers.binpack.board import NEVER, Board
from schedulers.binpack.exchange import Running

VICTIMS = 2  # most pods moved aside for one
NODES = 64  # most nodes looked at for one waiting pod: those that lack least


@dataclass(frozen=True, slots=True)
class Move:
    """Evict `victims` from `source`, so that the waiting pod fits there; `targets` have room for them, one each.

    Nodes are positions on the board. `cost`: what the pods moved aside cost at their targets. `idle`: what the
    waiting pod may choose from of the devices of `source`; None: from whatever is idle once the victims have left.
    """

    source: int
    victims: tuple[PodView, ...]
    targets: tuple[int, ...]
    cost: int
    idle: Int64 | None = None


class Mover:
    """Looks for moves on one board.

    `promised`: nodes (the cluster's indices) whose room is spoken for. `moving`: keys of pods that were asked to go
    already. `bare`: pods without a controller may be moved, too.
    """

    def __init__(
        self,
        board: Board,
        cluster: ClusterView,
        promised: frozenset[int],
        moving: frozenset[str],
        bare: bool,
    ) -> None:
        self.board = board
        self._moving = moving
        self._bare = bare
        self._cluster = cluster
        self._closed = frozenset(np.flatnonzero(np.isin(board.order, list(promised))).tolist())  # as positions
        self._running: Running | None = None
        self._best: dict[int, list[tuple[int, int]]] = {}  # class id -> its cheapest (cost, position)

    def find(self, pod: PodView, budget: int) -> Move | None:
        """The cheapest move for `pod` with the fewest victims, at most `budget` of them; None when there is none.

        Pods of higher priority and of DaemonSets stay, members of gangs, and pods on devices that are not known.
        """
        near = self._near_misses(pod.cls)
        sources = [(source, self._movable(pod, source)) for source in near]
        for size in range(1, min(VICTIMS, budget) + 1):
            moves = [
                move
                for source, movable in sources
                for victims in self._enough(pod.cls, source, movable, size)
                if (move := self._move(source, victims)) is not None
            ]
            if moves:
                return min(moves, key=lambda move: (move.cost, move.source, [victim.key for victim in move.victims]))
        return self._exchange(pod, near) if budget >= 2 else None

    def _exchange(self, pod: PodView, near: Sequence[int]) -> Move | None:
        """At nodes that have the devices: two pods change places, and leave the rest of what is asked for free."""
        if self._running is None:
            self._running = Running(self.board, self._cluster, self._all_movable())
        count, milli = pod.gpu.count, pod.gpu.milli
        devices = self.board.columns.devices
        ready = (devices[near] >= milli).sum(axis=1) >= count
        found = self._running.find(pod, near, ready, self._closed)
        if found is None:
            return None
        stood = None
        if found.device is not None:
            stood = np.zeros_like(devices[found.source])
            stood[found.device] = milli
        elif count:
            stood = devices[found.source].copy()
        return Move(found.source, (found.leaves, found.comes), (found.target, found.source), found.cost, stood)

    def _all_movable(self) -> Iterator[tuple[int, PodView]]:
        for at, node in enumerate(self.board.order.tolist()):
            for pod in sorted(self._cluster.pods_on(node), key=lambda pod: pod.key):
                if self._may_move(pod):
                    yield at, pod

    def _may_move(self, pod: PodView) -> bool:
        return (
            pod.group is None
            and not pod.terminating
            and pod.key not in self._moving
            and (self._bare or (pod.owner is not None and pod.owner[0] != "DaemonSet"))
            and (not pod.gpu.count or bool(self._devices(pod)))
        )

    def _movable(self, pod: PodView, source: int) -> Sequence[PodView]:
        there = self._cluster.pods_on(int(self.board.order[source]))
        return sorted(
            (other for other in there if other.priority <= pod.priority and self._may_move(other)),
            key=lambda other: other.key,
        )

    def _devices(self, pod: PodView) -> tuple[int, ...]:
        return self._cluster.devices(pod.key)

    def _near_misses(self, cls: PodClass) -> list[int]:
        """Positions that lack least for one pod of the class, as a sum of shares of what it asks for."""
        board = self.board
        free, devices = board.columns.free, board.columns.devices
        lack = np.zeros(len(board.order))
        for row, amount in enumerate(cls.requests.tolist()):
            if amount:
                lack += np.maximum(amount - free[row], 0) / amount
        if cls.gpu.count:
            if devices.shape[1] < cls.gpu.count:
                return []
            fullest = np.sort(devices, axis=1)[:, -cls.gpu.count :]
            lack += (np.maximum(cls.gpu.milli - fullest, 0) / cls.gpu.milli).sum(axis=1)
            models = np.array([not cls.gpu.models or model in cls.gpu.models for model in (*board.models, "")])
            lack[~models[board.columns.model] | ~board.columns.has_gpu] = np.inf
        lack[list(self._closed)] = np.inf  # what looks free there is not
        order = np.lexsort((np.arange(len(lack)), lack))[:NODES]
        return [int(at) for at in order if 0 < lack[at] <= VICTIMS]

    def _enough(
        self, cls: PodClass, source: int, movable: Sequence[PodView], size: int
    ) -> Iterator[tuple[PodView, ...]]:
        """So many victims without which one pod of the class fits on `source`. In plain integers: there are many."""
        columns = self.board.columns
        free = columns.free[:, source].tolist()
        lacking = [(row, need - free[row]) for row, need in enumerate(cls.amounts) if need > free[row]]
        idle = columns.devices[source].tolist()
        milli, count = cls.gpu.milli, cls.gpu.count
        for victims in combinations(movable, size):
            if any(sum([victim.cls.amounts[row] for victim in victims]) < lack for row, lack in lacking):
                continue
            if count:
                devices = idle.copy()
                for victim in victims:
                    for device in self._devices(victim):
                        devices[device] += victim.gpu.milli
                if sum([left >= milli for left in devices]) < count:
                    continue
            yield victims

    def _move(self, source: int, victims: Sequence[PodView]) -> Move | None:
        targets: list[int] = []
        cost = 0
        for victim in victims:
            for price, target in self._cheapest(victim):
                if target != source and target not in targets:
                    targets.append(target)
                    cost += price
                    break
            else:
                return None
        return Move(source, tuple(victims), tuple(targets), cost)

    def _cheapest(self, victim: PodView) -> list[tuple[int, int]]:
        """Where a pod of the victim's class costs least, as many nodes as one move can use up, and the source."""
        found = self._best.get(victim.cls.id)
        if found is None:
            open_to = self._cluster.feasible(victim)[self.board.order]
            row = np.where(open_to, self.board.rows([victim.cls])[0], NEVER)
            row[list(self._closed)] = NEVER
            order = np.lexsort((np.arange(len(row)), row))[: VICTIMS + 1]
            found = self._best[victim.cls.id] = [(int(row[at]), int(at)) for at in order if row[at] < NEVER]
        return found
