"""NILAS: pods go where they prolong a node's life least, so that nodes become empty together.

Source: Ling et al., LAVA: Lifetime-Aware VM Allocation with Learned Distributions and Adaptation to Mispredictions,
MLSys 2025 (arXiv 2412.09840): Non-Invasive Lifetime Aware Scoring. A node's exit time is that of the last of its pods;
a placement costs by how much the pod's exit time is beyond it, in buckets, ahead of the packing score.

Own choices: buckets double from a minute; an empty node costs the pod's whole lifetime; the packing score is the
fullest node. Lifetimes are those that pods declare. A node past its last declared end is taken to last as long again as
the oldest of its pods has lasted (the paper predicts anew from a learned distribution, which is not modelled). Pods
that declare nothing last for ever. LAVA's lifetime classes and LARS's migrations are not modelled.
"""

from __future__ import annotations

import numpy as np

from harness.scheduling.scoring import ChangedNodes, Scored
from harness.scheduling.strategy import CPU, ClusterView, Float64, Int64, PodView

BUCKET_NS = 60 * 10**9
FOREVER = 1 << 62


def bucket(cost_ns: Int64) -> Float64:
    """0 for none, 1 up to a minute, 2 up to two, 3 up to four, ... float64 of the shape of `cost_ns`."""
    minutes = np.maximum(-(-cost_ns // BUCKET_NS), 0)
    found: Float64 = np.where(minutes > 0, 1 + np.ceil(np.log2(np.maximum(minutes, 1))), 0.0)
    return found


class _ExitTimes:
    """Of each node, kept up to date from those that changed. A pod starts when it is first seen on its node."""

    def __init__(self) -> None:
        self._changed = ChangedNodes()
        self._since: list[dict[str, int]] = []  # by node: pod -> first seen
        self._last = np.zeros(0, dtype=np.int64)  # declared end of the last pod; 0 where there is none
        self._oldest = np.zeros(0, dtype=np.int64)  # when the oldest pod was first seen

    def of_nodes(self, cluster: ClusterView) -> Int64:
        """The instant at which each node is empty: now where it is, FOREVER where a pod never ends. int64 [nodes]."""
        self._sync(cluster)
        now = cluster.now_ns
        overdue = np.where(self._last > 0, now + (now - self._oldest), now)
        return np.where(self._last > now, self._last, overdue)

    def _sync(self, cluster: ClusterView) -> None:
        changed = self._changed.since_last(cluster)
        known: dict[str, int] = {}
        if changed is None:
            known = {key: since for pods in self._since for key, since in pods.items()}
            self._since, self._last, self._oldest = [], self._last[:0], self._oldest[:0]
        more = len(cluster.names) - len(self._since)
        if more > 0:
            self._since += [{} for _ in range(more)]
            self._last = np.pad(self._last, (0, more))
            self._oldest = np.pad(self._oldest, (0, more))
        for node in range(len(cluster.names)) if changed is None else changed.tolist():
            before, pods = self._since[node], cluster.pods_on(node)
            here = {pod.key: before.get(pod.key, known.get(pod.key, cluster.now_ns)) for pod in pods}
            self._since[node] = here
            ends = [FOREVER if pod.lifetime_ns is None else here[pod.key] + pod.lifetime_ns for pod in pods]
            self._last[node] = max(ends, default=0)
            self._oldest[node] = min(here.values(), default=0)


class NILAS(Scored):
    def __init__(self, batch_size: int = 64) -> None:
        self._exits = _ExitTimes()
        super().__init__(self._score, batch_size=int(batch_size))

    def _score(self, pod: PodView, cluster: ClusterView) -> Float64:
        exits = self._exits.of_nodes(cluster)
        end = FOREVER if pod.lifetime_ns is None else cluster.now_ns + pod.lifetime_ns
        costs = bucket(end - exits)
        left = cluster.free[CPU] / np.maximum(cluster.capacity[CPU], 1)
        if cluster.gpu_free.shape[1]:
            left = left + cluster.gpu_free.sum(axis=1) / np.maximum(cluster.gpu_capacity.sum(axis=1), 1)
        # The packing term stays below 1: it decides within a bucket alone.
        scores: Float64 = -costs - left / 3.0
        return scores
