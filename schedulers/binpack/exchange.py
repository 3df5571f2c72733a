"""Exchanges: two running pods change places, so that what a waiting pod lacks comes free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.scheduling.strategy import Bool, ClusterView, Int64, PodView
from schedulers.binpack.board import Board


@dataclass(frozen=True, slots=True)
class Exchange:
    """`leaves` goes from position `source` to position `target`, `comes` the other way, each on the devices of the
    other. `device`: the one of `leaves`, where the waiting pod finds room beside `comes`; None: it takes devices that
    are idle as they are. `cost`: what the target gives up, the greatest share of the node's capacity over resources,
    in millionths."""

    source: int
    target: int
    leaves: PodView
    comes: PodView
    device: int | None
    cost: int


class Running:
    """The pods that may take part, in columns: everything that runs under no constraint toward other pods.

    P pods: `at` positions on the board int64 [P], `amounts` int64 [R, P], `milli` and `count` of devices int64 [P],
    `idle` milli left on the device of those that use one, else -1, int64 [P].
    """

    def __init__(self, board: Board, cluster: ClusterView, movable: Iterable[tuple[int, PodView]]) -> None:
        found = [(at, pod) for at, pod in movable if cluster.is_independent(pod)]
        self.pods = [pod for _, pod in found]
        self.at: Int64 = np.array([at for at, _ in found], dtype=np.int64)
        self.amounts = np.zeros((len(board.columns.free), len(found)), dtype=np.int64)
        for column, pod in enumerate(self.pods):
            self.amounts[: len(pod.cls.amounts), column] = pod.cls.amounts
        self.milli: Int64 = np.array([pod.gpu.milli for pod in self.pods], dtype=np.int64)
        self.count: Int64 = np.array([pod.gpu.count for pod in self.pods], dtype=np.int64)
        self.device = [cluster.devices(pod.key)[0] if pod.gpu.count == 1 else -1 for pod in self.pods]
        self.idle: Int64 = np.array(
            [
                board.columns.devices[at, dev] if dev >= 0 else -1
                for (at, _), dev in zip(found, self.device, strict=True)
            ],
            dtype=np.int64,
        )
        self.priority: Int64 = np.array([pod.priority for pod in self.pods], dtype=np.int64)
        self._board = board
        self._cluster = cluster
        self._by_devices: dict[tuple[int, int], Int64] = {}
        self._capacity = np.maximum(np.asarray(cluster.capacity)[:, board.order], 1)

    def find(self, pod: PodView, sources: Sequence[int], ready: Bool, closed: frozenset[int]) -> Exchange | None:
        """The exchange that lets `pod` in at one of `sources` and costs its target least; None when there is none.

        `sources`: positions that lack little. `ready`: those of them that have the devices idle, bool [sources].
        `closed`: positions whose room is spoken for.
        """
        free = self._board.columns.free
        needs = np.array(pod.cls.amounts, dtype=np.int64)
        may = (self.priority <= pod.priority) & ~np.isin(self.at, list(closed))
        best: Exchange | None = None
        for source, has_devices in zip(sources, ready.tolist(), strict=True):
            if source in closed or (not has_devices and pod.gpu.count != 1):
                continue
            tried: set[tuple[int, int]] = set()
            for leaving in np.flatnonzero(may & (self.at == source)).tolist():
                same = (self.pods[leaving].cls.id, int(self.idle[leaving]))
                if same in tried:
                    continue
                tried.add(same)
                mine = self.amounts[:, leaving]
                most = mine + free[:, source] - needs  # what whoever comes may ask for
                if (most < 0).any():
                    continue
                others = self._alike(leaving) if has_devices else self._smaller(leaving, pod.gpu.milli)
                others = others[may[others] & (self.at[others] != source)]
                asked = self.amounts[:, others]
                more = mine[:, None] - asked  # what the target gives up, [R, others]
                fits = (asked <= most[:, None]).all(axis=0) & (more <= free[:, self.at[others]]).all(axis=0)
                device = None if has_devices else self.device[leaving]
                for cost, coming in self._cheapest_first(others[fits], more[:, fits]):
                    if best is not None and cost >= best.cost:
                        break
                    target = int(self.at[coming])
                    if self._open(self.pods[leaving], target) and self._open(self.pods[coming], source):
                        best = Exchange(source, target, self.pods[leaving], self.pods[coming], device, cost)
                        break
        return best

    def _alike(self, leaving: int) -> Int64:
        """Who asks for the same devices."""
        key = (int(self.milli[leaving]), int(self.count[leaving]))
        if key not in self._by_devices:
            self._by_devices[key] = np.flatnonzero((self.milli == key[0]) & (self.count == key[1]))
        return self._by_devices[key]

    def _smaller(self, leaving: int, milli: int) -> Int64:
        """Who uses so much less of one device that `milli` fits beside it there, and has that much idle on its own."""
        mine = int(self.milli[leaving])
        most = mine + int(self.idle[leaving]) - milli
        if self.device[leaving] < 0 or most < 1:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero((self.count == 1) & (self.milli <= most) & (mine - self.milli <= self.idle))

    def _cheapest_first(self, others: Int64, more: Int64) -> Iterator[tuple[int, int]]:
        """(cost, pod), ties by position."""
        if len(others):
            share = (more * 1_000_000 // self._capacity[:, self.at[others]]).max(axis=0)
            for pick in np.lexsort((others, share)).tolist():
                yield int(share[pick]), int(others[pick])

    def _open(self, pod: PodView, at: int) -> bool:
        """Whether the node itself would have the pod: labels, taints, model, whatever is free there."""
        node = int(self._board.order[at])
        return self._cluster.admits(pod, node)
