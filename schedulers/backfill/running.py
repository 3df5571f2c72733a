"""Pods that run, by the instant at which they end if they last as long as they declare."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

import numpy as np

from harness.scheduling.scoring import ChangedNodes
from harness.scheduling.strategy import ClusterView, Int64, PodView


class RunningPods:
    """Kept up to date from the nodes that changed. A pod starts when it is first seen on its node, which for pods that
    the strategy binds is the instant of the decision. Pods that do not say how long they run never end.
    """

    def __init__(self) -> None:
        self._changed = ChangedNodes()
        self._on: list[dict[str, int | None]] = []  # by node: pod -> its end
        self._ends: list[tuple[int, str, int, tuple[int, ...]]] = []  # end, pod, node, amounts
        self.gone = 0
        """How many pods have left their nodes so far; and once more whenever all nodes are looked at."""

    def sync(self, cluster: ClusterView) -> None:
        changed = self._changed.since_last(cluster)
        known: dict[str, int | None] = {}
        if changed is None:
            known = {key: end for pods in self._on for key, end in pods.items()}
            self._on, self._ends = [], []
            self.gone += 1
        for node in range(len(cluster.names)) if changed is None else changed.tolist():
            while node >= len(self._on):
                self._on.append({})
            self._sync_node(cluster, node, known)

    def _sync_node(self, cluster: ClusterView, node: int, known: dict[str, int | None]) -> None:
        before = self._on[node]
        here = cluster.pods_on(node)
        gone = before.keys() - {pod.key for pod in here}
        for key in sorted(gone):
            end = before.pop(key)
            self.gone += 1
            if end is not None:
                del self._ends[bisect_left(self._ends, (end, key))]
        for pod in here:
            if pod.key not in before:
                end = None if pod.lifetime_ns is None else cluster.now_ns + pod.lifetime_ns
                end = before[pod.key] = known.get(pod.key, end)
                if end is not None:
                    insort(self._ends, (end, pod.key, node, amounts_of(pod)))

    def ends(self) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """(instant, node, what it gives back as in `amounts_of`), the earliest first, those past their end included."""
        for end, _, node, amounts in self._ends:
            yield end, node, amounts


def amounts_of(pod: PodView) -> tuple[int, ...]:
    """What a pod takes of a node: GPU milli, then requests by resource row."""
    return (pod.gpu.total_milli, *pod.cls.amounts)


def free_of(cluster: ClusterView) -> Int64:
    """Free amounts, int64 [1 + resources, nodes], rows as in `amounts_of`. A copy."""
    idle = cluster.gpu_free.sum(axis=1, dtype=np.int64)
    return np.vstack([idle[None, :], cluster.free])


def slots(free: Int64, wanted: Int64) -> Int64:
    """How many times `wanted` [rows] fits into each node of `free` [.., rows, nodes] by amounts, int64 [.., nodes]."""
    rows = wanted.nonzero()[0]
    shape = (*free.shape[:-2], free.shape[-1])
    if len(rows) and rows[-1] >= free.shape[-2]:
        return np.zeros(shape, dtype=np.int64)  # a resource that no node has
    if not len(rows):
        return np.full(shape, 1 << 40, dtype=np.int64)
    each = free[..., rows, :] // wanted[rows][:, None]
    found: Int64 = np.maximum(each.min(axis=-2), 0)
    return found


def take(free: Int64, node: int, amounts: tuple[int, ...], sign: int = -1) -> None:
    n = min(len(amounts), len(free))
    free[:n, node] += sign * np.array(amounts[:n], dtype=np.int64)
