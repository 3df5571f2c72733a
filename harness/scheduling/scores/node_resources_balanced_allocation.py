"""Score of NodeResourcesBalancedAllocation: the less the used shares of the resources differ, the better.

Source: kube-scheduler 1.32 plugins/noderesources/balanced_allocation.go, which looks at the requests as they are.
"""

from __future__ import annotations

from math import sqrt
from typing import TypeAlias

import numpy as np

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.scores.node_resources import GPU_ROW, RequestCache, columns_of, rows_by_name, scored_amounts
from harness.scheduling.scores.plugin import NodePlugin
from harness.scheduling.strategy import MAX_NODE_SCORE, Float64, Int64, PodClass, PodView

_Request: TypeAlias = tuple[int, int]  # row, amount


class NodeResourcesBalancedAllocation(NodePlugin):
    name = "NodeResourcesBalancedAllocation"

    def __init__(self, resources: tuple[str, ...] = ("cpu", "memory")) -> None:
        self._resources = resources
        self._requests: RequestCache[_Request] = RequestCache(self._requests_of)

    def _requests_of(self, cls: PodClass, resources: tuple[str, ...]) -> tuple[_Request, ...]:
        rows = rows_by_name(resources)
        return tuple(found for name in self._resources for found in scored_amounts(name, rows, cls))

    def score(self, pod: PodView, snapshot: Snapshot, nodes: Int64) -> Int64:
        """int64 [len(nodes)], 0..MAX_NODE_SCORE."""
        requests = self._requests.of(pod.cls, snapshot)
        count = np.zeros(len(nodes), dtype=np.int64)
        total = np.zeros(len(nodes))
        fractions: list[tuple[Float64, np.ndarray]] = []
        first, second = np.zeros(len(nodes)), np.zeros(len(nodes))
        for row, amount in requests:
            there, free = columns_of(snapshot, row, nodes)
            has = there > 0
            share = np.minimum((there - free + amount) / np.maximum(there, 1), 1.0)
            share = np.where(has, share, 0.0)
            total += share
            second = np.where(has & (count == 1), share, second)
            first = np.where(has & (count == 0), share, first)
            count += has
            fractions.append((share, has))
        deviation = np.where(count == 2, np.abs((first - second) / 2), 0.0)
        if len(requests) > 2:
            mean = total / np.maximum(count, 1)
            squares = np.zeros(len(nodes))
            for share, has in fractions:
                squares += np.where(has, (share - mean) * (share - mean), 0.0)
            deviation = np.where(count > 2, np.sqrt(squares / np.maximum(count, 1)), deviation)
        scores: Int64 = ((1 - deviation) * MAX_NODE_SCORE).astype(np.int64)
        return scores

    def score_node(self, pod: PodView, snapshot: Snapshot, node: int) -> int:
        cls = pod.cls
        requests = self._requests.known.get((cls.id, len(cls.amounts))) or self._requests.of(cls, snapshot)
        free, capacity = snapshot.free_of[node], snapshot.capacity_of[node]
        shares = []
        for row, amount in requests:
            if row == GPU_ROW:
                idle = snapshot.devices_of[node]
                there, left = DEVICE_MILLI * len(idle), sum(idle)
            else:
                there, left = capacity[row], free[row]
            if there:
                shares.append(min((there - left + amount) / there, 1.0))
        if len(shares) == 2:
            deviation = abs((shares[0] - shares[1]) / 2)
        elif len(shares) > 2:
            total = squares = 0.0
            for share in shares:  # one by one, as the columns do: sum() of Python 3.12 and later rounds otherwise
                total += share
            mean = total / len(shares)
            for share in shares:
                squares += (share - mean) * (share - mean)
            deviation = sqrt(squares / len(shares))
        else:
            deviation = 0.0
        return int((1 - deviation) * MAX_NODE_SCORE)
