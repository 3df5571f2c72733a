"""What an agent sees: the nodes and the pods at the head of the queue as float arrays of one shape.

Imports numpy and the strategy protocol only, so a trained policy runs wherever a strategy does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.scheduling.scoring import ChangedNodes
from harness.scheduling.strategy import ClusterView, PodView

Float32: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.int8]
Observation: TypeAlias = dict[str, Float32]

DEVICES = 8
"""GPUs of a node and of a pod are given as a share of this number."""

HOUR_NS = 3_600_000_000_000

FEW = 4
"""Up to this many nodes, filling them in one by one is cheaper than numpy."""

UNKNOWN = -1.0
"""A lifetime that the workload does not declare."""


class Encoder:
    """Columns of a cluster as arrays.

    `nodes`: float32 [size, 2R + 7]: of each resource its capacity and what is free, as shares of the largest capacity
    of the cluster; GPUs, idle GPU, wholly idle GPUs and the most idle one of the node, as shares of DEVICES (the last:
    of one); the GPU model and the zone, as (index + 1) / how many there are; 1 for a node that is there.
    `pods`: float32 [window, R + 5]: requests as shares of the same; GPUs over DEVICES, share of each; hours since it
    was created; hours that it will run, UNKNOWN where it is not declared; 1 for a pod that is there.

    `size`: nodes at most. `resources`: names, in the order of the columns; others are left out. Raises ValueError for a
    cluster that is larger or lacks one of them.
    """

    def __init__(self, size: int, resources: Sequence[str], window: int = 1) -> None:
        self.size, self.resources, self.window = size, tuple(resources), window
        self._rows = len(self.resources)
        self._nodes = np.zeros((size, 2 * self._rows + 7), np.float32)
        self._changed = ChangedNodes()
        self._largest = np.ones(self._rows)
        self._names: tuple[str, ...] = ()  # the cluster's, with the row of each column in them
        self._at = np.arange(self._rows)
        self._scales: list[tuple[int, float]] = []  # of each column: its row in the cluster, and its largest capacity

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        return {"nodes": self._nodes.shape, "pods": (self.window, self._rows + 5)}

    def encode(self, cluster: ClusterView, pods: Sequence[PodView]) -> Observation:
        """New arrays; those returned before do not change. `pods`: those that are offered, up to `window`."""
        self._sync(cluster)
        out = np.zeros((self.window, self._rows + 5), np.float32)
        now = cluster.now_ns
        for row, pod in enumerate(pods[: self.window]):
            gpu, asked = pod.gpu, pod.requests.tolist()
            line = [asked[at] / most for at, most in self._scales]
            line += (gpu.count / DEVICES, gpu.milli / 1000, (now - pod.created_ns) / HOUR_NS)
            line += (UNKNOWN if pod.lifetime_ns is None else pod.lifetime_ns / HOUR_NS, 1.0)
            out[row] = line
        return {"nodes": self._nodes.copy(), "pods": out}

    def mask(self, cluster: ClusterView, pods: Sequence[PodView], may_wait: bool) -> Mask:
        """int8 [window * size + 1]: 1 where action `pod * size + node` is legal now. The last action leaves all of them
        waiting: legal with `may_wait`, and where nothing else is."""
        out = np.zeros(self.window * self.size + 1, np.int8)
        for row, pod in enumerate(pods[: self.window]):
            fits = cluster.feasible(pod)
            out[row * self.size : row * self.size + len(fits)] = fits
        out[-1] = may_wait or not out[out.argmax()]
        return out

    def _sync(self, cluster: ClusterView) -> None:
        changed = self._changed.since_last(cluster)
        if changed is not None and not changed.size:
            return
        if changed is None or len(changed) * 4 > self.size or len(cluster.resources) != len(self._names):
            self._check(cluster)
            self._largest = np.maximum(cluster.capacity.max(axis=1, initial=1)[self._at], 1).astype(np.float64)
            self._scales = list(zip(self._at.tolist(), self._largest.tolist(), strict=True))
            self._nodes[:] = 0
            changed = np.arange(len(cluster.names))
        rows, largest = self._rows, self._largest
        if len(cluster.names) > self.size:
            self._check(cluster)
        if changed.size <= FEW:  # after a placement or some ends: numpy would cost more than the step itself
            self._fill_few(cluster, changed.tolist())
            return
        nodes = self._nodes
        nodes[changed, :rows] = cluster.capacity[self._at][:, changed].T / largest
        nodes[changed, rows : 2 * rows] = cluster.free[self._at][:, changed].T / largest
        at = 2 * rows
        total, idle = cluster.gpu_capacity[changed], cluster.gpu_free[changed]
        if total.shape[1]:
            nodes[changed, at] = (total > 0).sum(axis=1) / DEVICES
            nodes[changed, at + 1] = idle.sum(axis=1) / (1000 * DEVICES)
            nodes[changed, at + 2] = (idle == 1000).sum(axis=1) / DEVICES
            nodes[changed, at + 3] = idle.max(axis=1) / 1000
        nodes[changed, at + 4] = (cluster.gpu_model[changed] + 1) / max(1, len(cluster.gpu_models))
        nodes[changed, at + 5] = (cluster.zone[changed] + 1) / max(1, len(cluster.zones))
        nodes[changed, at + 6] = cluster.alive[changed]

    def _fill_few(self, cluster: ClusterView, nodes: list[int]) -> None:
        """The same without numpy, a node at a time."""
        capacity, free = cluster.capacity, cluster.free
        gpu_capacity, gpu_free = cluster.gpu_capacity, cluster.gpu_free
        models, zones = max(1, len(cluster.gpu_models)), max(1, len(cluster.zones))
        scales = self._scales
        for node in nodes:
            total, idle = gpu_capacity[node].tolist(), gpu_free[node].tolist()
            there, left = capacity[:, node].tolist(), free[:, node].tolist()
            line = [there[at] / most for at, most in scales] + [left[at] / most for at, most in scales]
            if total:
                some = (len(total) - total.count(0)) / DEVICES
                line += (some, sum(idle) / (1000 * DEVICES), idle.count(1000) / DEVICES, max(idle) / 1000)
            else:
                line += (0.0, 0.0, 0.0, 0.0)
            line += ((int(cluster.gpu_model[node]) + 1) / models, (int(cluster.zone[node]) + 1) / zones)
            line.append(bool(cluster.alive[node]))
            self._nodes[node] = line

    def _check(self, cluster: ClusterView) -> None:
        if len(cluster.names) > self.size:
            raise ValueError(f"{len(cluster.names)} nodes, and the observation has room for {self.size}")
        self._names = tuple(cluster.resources)
        missing = [name for name in self.resources if name not in self._names]
        if missing:
            raise ValueError(f"the cluster has no {', '.join(missing)}, which the observation has columns of")
        self._at = np.array([self._names.index(name) for name in self.resources])
