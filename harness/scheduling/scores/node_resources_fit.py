"""Score of NodeResourcesFit in its three strategies: LeastAllocated, MostAllocated, RequestedToCapacityRatio.

Source: kube-scheduler 1.32 plugins/noderesources/{resource_allocation,least_allocated,most_allocated,
requested_to_capacity_ratio}.go: integers, divided as Go divides; requests with 100m CPU and 200 MiB assumed for
containers without any.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.scores.node_resources import GPU_ROW, RequestCache, columns_of, rows_by_name, scored_amounts
from harness.scheduling.scores.plugin import NodePlugin
from harness.scheduling.strategy import CPU, MAX_NODE_SCORE, MEMORY, Int64, PodClass, PodView

FitStrategy: TypeAlias = Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]

_Request: TypeAlias = tuple[int, int, int]  # row, weight, amount with what is assumed


class NodeResourcesFit(NodePlugin):
    """`resources`: (name, weight). `shape`: (utilisation 0..100, score 0..100), ascending."""

    name = "NodeResourcesFit"

    def __init__(
        self,
        strategy: FitStrategy = "LeastAllocated",
        resources: tuple[tuple[str, int], ...] = (("cpu", 1), ("memory", 1)),
        shape: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self._strategy = strategy
        self._resources = resources
        self._shape = shape
        self._requests: RequestCache[_Request] = RequestCache(self._requests_of)

    def _requests_of(self, cls: PodClass, resources: tuple[str, ...]) -> tuple[_Request, ...]:
        rows = rows_by_name(resources)
        assumed = dict(zip((CPU, MEMORY), cls.footprint.non_requested or (0, 0), strict=True))
        return tuple(
            (row, weight, amount + assumed.get(row, 0))
            for name, weight in self._resources
            for row, amount in scored_amounts(name, rows, cls)
        )

    def score(self, pod: PodView, snapshot: Snapshot, nodes: Int64) -> Int64:
        """int64 [len(nodes)], 0..MAX_NODE_SCORE."""
        total: Int64 = np.zeros(len(nodes), dtype=np.int64)
        weights: Int64 = np.zeros(len(nodes), dtype=np.int64)
        ratio = self._strategy == "RequestedToCapacityRatio"
        for row, weight, amount in self._requests.of(pod.cls, snapshot):
            there, free = columns_of(snapshot, row, nodes)
            used = there - free + amount
            if CPU <= row <= MEMORY and snapshot.amounts.non_requested_of:
                used += snapshot.amounts.non_requested[row][nodes]
            has = there > 0
            divisor = np.maximum(there, 1)
            match self._strategy:
                case "LeastAllocated":
                    score = np.where(used > there, 0, (there - used) * MAX_NODE_SCORE // divisor)
                case "MostAllocated":
                    score = np.minimum(used, there) * MAX_NODE_SCORE // divisor
                case "RequestedToCapacityRatio":
                    score = self._along(np.where(used > there, MAX_NODE_SCORE, used * MAX_NODE_SCORE // divisor))
                    has &= score > 0
            total += np.where(has, score * weight, 0)
            weights += np.where(has, weight, 0)
        divisor = np.maximum(weights, 1)
        if not ratio:
            return total // divisor
        rounded: Int64 = np.floor(total / divisor + 0.5).astype(np.int64)
        return rounded

    def score_node(self, pod: PodView, snapshot: Snapshot, node: int) -> int:
        free, capacity = snapshot.free_of[node], snapshot.capacity_of[node]
        non_requested = snapshot.amounts.non_requested_of.get(node)
        kind = self._strategy
        total = weights = 0
        cls = pod.cls
        requests = self._requests.known.get((cls.id, len(cls.amounts))) or self._requests.of(cls, snapshot)
        for row, weight, amount in requests:
            if row == GPU_ROW:
                idle = snapshot.devices_of[node]
                there, left = DEVICE_MILLI * len(idle), sum(idle)
            else:
                there, left = capacity[row], free[row]
            if not there:
                continue
            used = there - left + amount
            if non_requested is not None and CPU <= row <= MEMORY:
                used += non_requested[row]
            if kind == "LeastAllocated":
                score = 0 if used > there else (there - used) * MAX_NODE_SCORE // there
            elif kind == "MostAllocated":
                score = MAX_NODE_SCORE if used > there else used * MAX_NODE_SCORE // there
            else:
                utilisation = MAX_NODE_SCORE if used > there else used * MAX_NODE_SCORE // there
                score = int(self._along(np.array([utilisation]))[0])
                if score <= 0:
                    continue
            total += score * weight
            weights += weight
        if not weights:
            return 0
        return total // weights if kind != "RequestedToCapacityRatio" else int(total / weights + 0.5)

    def _along(self, utilisation: Int64) -> Int64:
        """The broken line of `shape`. Go divides towards zero, so a falling part is rounded up."""
        shape = self._shape
        out = np.full(len(utilisation), shape[-1][1], dtype=np.int64)
        for (left, low), (right, high) in reversed(tuple(pairwise(shape))):
            rise = (high - low) * (utilisation - left)
            step = np.sign(rise) * (np.abs(rise) // (right - left))
            out = np.where(utilisation <= right, low + step, out)
        return np.where(utilisation <= shape[0][0], shape[0][1], out)
