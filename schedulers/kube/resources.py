"""The scores of what a node has left: NodeResourcesFit in its three strategies, and NodeResourcesBalancedAllocation.

Source: kube-scheduler 1.32 plugins/noderesources: integers of 0..100, divided as Go divides; fit looks at requests with
100m CPU and 200 MiB assumed for containers without any, balance at the requests as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import cast

import numpy as np

from harness.model.gpu import DEVICE_MILLI, WHOLE_GPU
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.ranking.score_table import NodeLists
from harness.scheduling.state.resource_names import NATIVE, counted
from harness.scheduling.strategy import CPU, MEMORY, ClusterView, Float64, Int64, PodClass, PodView
from schedulers.kube.profile import Profile

_GPU = -1  # in place of a row: whole GPUs, counted by the milli of the node's devices, so that shares count as such

MOST = 100
"""Source: kube-scheduler 1.32 framework/interface.go MaxNodeScore."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the scorers ask of one pod class: rows of the columns, with the pod's own amounts."""

    fit: tuple[tuple[int, int, int], ...]  # (row, weight, amount with what is assumed)
    balanced: tuple[tuple[int, int], ...]  # (row, amount)
    gpu: bool  # whether _GPU is among the rows


class ResourceScore:
    """Both scorers, weighted and added: what follows from the pod's class and the node alone."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._fit_weight = profile.weights.get("NodeResourcesFit", 0)
        self._balanced_weight = profile.weights.get("NodeResourcesBalancedAllocation", 0)
        self._wanted: dict[tuple[int, int], _Wanted] = {}

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        snapshot = cast(Snapshot, cluster)
        wanted = self._of(pod.cls, snapshot)
        out: Int64 = np.zeros(len(nodes), dtype=np.int64)
        if self._fit_weight:
            out += self._fit_weight * self.fit(wanted, snapshot, nodes)
        if self._balanced_weight:
            out += self._balanced_weight * self.balanced(wanted, snapshot, nodes)
        return out.astype(np.float64)

    def score_node(self, pod: PodView, cluster: NodeLists, node: int) -> float:
        snapshot = cast(Snapshot, cluster)
        wanted = self._wanted.get((pod.cls.id, len(snapshot.classes.resources))) or self._of(pod.cls, snapshot)
        free, capacity = snapshot.free_of[node], snapshot.capacity_of[node]
        if wanted.gpu:  # as the last row, which _GPU picks
            idle = snapshot.devices_of[node]
            free, capacity = [*free, sum(idle)], [*capacity, DEVICE_MILLI * len(idle)]
        total = 0
        if self._fit_weight:
            total += self._fit_weight * self._fit_node(wanted, free, capacity, snapshot.non_requested_of.get(node))
        if self._balanced_weight:
            total += self._balanced_weight * _balanced_node(wanted.balanced, free, capacity)
        return float(total)

    def wanted(self, cls: PodClass, snapshot: Snapshot) -> _Wanted:
        return self._of(cls, snapshot)

    def _of(self, cls: PodClass, snapshot: Snapshot) -> _Wanted:
        resources = snapshot.classes.resources
        key = (cls.id, len(resources))  # a resource heard of later gets a row
        found = self._wanted.get(key)
        if found is not None:
            return found
        rows = {name: row for row, name in enumerate(resources)} | {WHOLE_GPU: _GPU}
        beyond = dict(zip((CPU, MEMORY), cls.constraints.non_requested or (0, 0), strict=True))

        def amount(row: int) -> int:
            return cls.gpu.total_milli if row == _GPU else cls.amounts[row]

        def counts(name: str) -> bool:
            """An extended resource that the pod does not ask for is passed over, so are `pods` and names of nothing."""
            return name in rows and (name in NATIVE or (counted(name) and amount(rows[name]) > 0))

        fit = tuple(
            (rows[name], weight, amount(rows[name]) + beyond.get(rows[name], 0))
            for name, weight in self._profile.resources
            if counts(name)
        )
        balanced = tuple((rows[name], amount(rows[name])) for name in self._profile.balanced if counts(name))
        if len(self._wanted) > 65_536:
            self._wanted.clear()
        gpu = any(row == _GPU for row, *_ in (*fit, *balanced))
        found = self._wanted[key] = _Wanted(fit, balanced, gpu)
        return found

    # -- NodeResourcesFit -------------------------------------------------------------------------------------------

    def fit(self, wanted: _Wanted, snapshot: Snapshot, nodes: Int64) -> Int64:
        """int64 [len(nodes)], 0..100."""
        total: Int64 = np.zeros(len(nodes), dtype=np.int64)
        weights: Int64 = np.zeros(len(nodes), dtype=np.int64)
        ratio = self._profile.fit == "RequestedToCapacityRatio"
        for row, weight, amount in wanted.fit:
            there, free = _columns(snapshot, row, nodes)
            used = there - free + amount
            if CPU <= row <= MEMORY and snapshot.non_requested_of:
                used += snapshot.non_requested[row][nodes]
            has = there > 0
            divisor = np.maximum(there, 1)
            match self._profile.fit:
                case "LeastAllocated":
                    score = np.where(used > there, 0, (there - used) * MOST // divisor)
                case "MostAllocated":
                    score = np.minimum(used, there) * MOST // divisor
                case "RequestedToCapacityRatio":
                    score = self._along(np.where(used > there, MOST, used * MOST // divisor))
                    has &= score > 0
            total += np.where(has, score * weight, 0)
            weights += np.where(has, weight, 0)
        divisor = np.maximum(weights, 1)
        if not ratio:
            return total // divisor
        rounded: Int64 = np.floor(total / divisor + 0.5).astype(np.int64)
        return rounded

    def _fit_node(self, wanted: _Wanted, free: list[int], capacity: list[int], beyond: tuple[int, int] | None) -> int:
        total = weights = 0
        kind = self._profile.fit
        for row, weight, amount in wanted.fit:
            there = capacity[row]
            if not there:
                continue
            used = there - free[row] + amount
            if beyond is not None and CPU <= row <= MEMORY:
                used += beyond[row]
            if kind == "LeastAllocated":
                score = 0 if used > there else (there - used) * MOST // there
            elif kind == "MostAllocated":
                score = MOST if used > there else used * MOST // there
            else:
                score = int(self._along(np.array([MOST if used > there else used * MOST // there]))[0])
                if score <= 0:
                    continue
            total += score * weight
            weights += weight
        if not weights:
            return 0
        return total // weights if kind != "RequestedToCapacityRatio" else int(total / weights + 0.5)

    def _along(self, utilisation: Int64) -> Int64:
        """The broken line of `shape`. Go divides towards zero, so a falling part is rounded up."""
        shape = self._profile.shape
        out = np.full(len(utilisation), shape[-1][1], dtype=np.int64)
        for (left, low), (right, high) in reversed(tuple(pairwise(shape))):
            rise = (high - low) * (utilisation - left)
            step = np.sign(rise) * (np.abs(rise) // (right - left))
            out = np.where(utilisation <= right, low + step, out)
        return np.where(utilisation <= shape[0][0], shape[0][1], out)

    # -- NodeResourcesBalancedAllocation ----------------------------------------------------------------------------

    def balanced(self, wanted: _Wanted, snapshot: Snapshot, nodes: Int64) -> Int64:
        """int64 [len(nodes)], 0..100: the less the shares of the resources differ, the higher."""
        count = np.zeros(len(nodes), dtype=np.int64)
        total = np.zeros(len(nodes))
        fractions: list[tuple[Float64, np.ndarray]] = []
        first, second = np.zeros(len(nodes)), np.zeros(len(nodes))
        for row, amount in wanted.balanced:
            there, free = _columns(snapshot, row, nodes)
            has = there > 0
            share = np.minimum((there - free + amount) / np.maximum(there, 1), 1.0)
            share = np.where(has, share, 0.0)
            total += share
            second = np.where(has & (count == 1), share, second)
            first = np.where(has & (count == 0), share, first)
            count += has
            fractions.append((share, has))
        deviation = np.where(count == 2, np.abs((first - second) / 2), 0.0)
        if len(wanted.balanced) > 2:
            mean = total / np.maximum(count, 1)
            squares = np.zeros(len(nodes))
            for share, has in fractions:
                squares += np.where(has, (share - mean) * (share - mean), 0.0)
            deviation = np.where(count > 2, np.sqrt(squares / np.maximum(count, 1)), deviation)
        scores: Int64 = ((1 - deviation) * MOST).astype(np.int64)
        return scores


def _columns(snapshot: Snapshot, row: int, nodes: Int64) -> tuple[Int64, Int64]:
    """(capacity, free) of `nodes`."""
    if row == _GPU:
        there: Int64 = snapshot.gpu_capacity[nodes].sum(axis=1)
        free: Int64 = snapshot.gpu_free[nodes].sum(axis=1)
        return there, free
    return snapshot.capacity[row][nodes], snapshot.free[row][nodes]


def _balanced_node(wanted: tuple[tuple[int, int], ...], free: list[int], capacity: list[int]) -> int:
    shares = []
    for row, amount in wanted:
        there = capacity[row]
        if there:
            shares.append(min((there - free[row] + amount) / there, 1.0))
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
    return int((1 - deviation) * MOST)
