"""What the ranker looks at: a few columns per candidate node, all about the node as it would be after the placement.

Each is between about -1 and 1. Nodes without GPUs, and clusters without them, have zeros where GPUs are asked about.
"""

from __future__ import annotations

import numpy as np

from harness.model.fragmentation import Fragmentation, TypicalPods
from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.strategy import CPU, MEMORY, ClusterView, Float64, Int64, PodView

NAMES = (
    "fragmentation",  # how much less of the typical pods' GPU is unusable afterwards, in GPUs
    "cpu_left",  # share of the node's CPU
    "memory_left",
    "gpu_left",  # share of the node's GPU milli
    "whole_left",  # share of its devices that are entirely idle
    "imbalance",  # |cpu_left - gpu_left|
    "cpu_starved",  # idle GPUs that the CPU left could not feed, as a share of the devices
    "device_left",  # what is left of the tightest device, for a share of one
    "idle_gpu_blocked",  # share of idle GPU on the node of a pod that asks for none
    "empty",  # 1 where nothing ran before
    "width",  # devices of the node, in eights
    "fragments",  # what is unusable afterwards, as a share of what is idle
)

KINDS = ("cpu", "share", "whole", "multi")
"""Each kind of pod has its own weights: no GPU, a share of one, one, several."""

CPU_PER_GPU_MILLI = 4000
"""What an idle GPU needs beside it to be of use: the median of openb's pods with a whole GPU (see the trace's list)."""


def kind_of(pod: PodView) -> int:
    gpu = pod.gpu
    if not gpu.count:
        return 0
    if gpu.count > 1:
        return 3
    return 1 if gpu.milli < DEVICE_MILLI else 2


class Features:
    """Columns for given typical pods; None where the workload asks for no GPUs."""

    def __init__(self, typical: TypicalPods | None) -> None:
        self.typical = typical
        self._tables: Fragmentation | None = None

    def of(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        """float64 [len(nodes), features]. The pod fits on all of `nodes`."""
        out = np.zeros((len(nodes), len(NAMES)))
        requests, gpu = pod.requests, pod.gpu
        free, capacity = cluster.free, cluster.capacity
        cpu_free = free[CPU][nodes]
        cpu_after = cpu_free - requests[CPU]
        cpu_left = cpu_after / np.maximum(capacity[CPU][nodes], 1)
        out[:, 1] = cpu_left
        out[:, 2] = (free[MEMORY][nodes] - requests[MEMORY]) / np.maximum(capacity[MEMORY][nodes], 1)
        out[:, 9] = cpu_free == capacity[CPU][nodes]
        width = cluster.gpu_free.shape[1]
        if not width:
            return out
        idle = np.sort(cluster.gpu_free[nodes], axis=1)
        devices = np.count_nonzero(cluster.gpu_capacity[nodes], axis=1)
        here = np.maximum(devices, 1)
        after = idle
        if gpu.count:
            fits = idle >= gpu.milli
            taken = fits & (np.cumsum(fits, axis=1) <= gpu.count)  # ascending, so the tightest ones
            after = idle - taken * gpu.milli
            if gpu.count == 1:
                out[:, 7] = np.where(taken, after, 0).sum(axis=1) / DEVICE_MILLI
        total = after.sum(axis=1)
        gpu_left = total / (here * DEVICE_MILLI)
        out[:, 3] = gpu_left
        out[:, 4] = (after == DEVICE_MILLI).sum(axis=1) / here
        out[:, 5] = np.where(devices > 0, np.abs(cpu_left - gpu_left), 0.0)
        fed = np.maximum(cpu_after, 0) * DEVICE_MILLI // CPU_PER_GPU_MILLI
        out[:, 6] = np.maximum(total - fed, 0) / (here * DEVICE_MILLI)
        if not gpu.count:
            out[:, 8] = gpu_left
        out[:, 10] = devices / 8.0
        if self.typical is not None:
            tables = self._fitting(cluster, width)
            model = cluster.gpu_model[nodes]
            then = tables.amount(cpu_free, idle, model) / tables.total
            now = tables.amount(cpu_after, after, model) / tables.total
            out[:, 0] = (then - now) / DEVICE_MILLI
            out[:, 11] = now / np.maximum(total, 1)
        return out

    def _fitting(self, cluster: ClusterView, width: int) -> Fragmentation:
        tables = self._tables
        if tables is None or tables.models != cluster.gpu_models or tables.width != width:
            assert self.typical is not None
            tables = self._tables = Fragmentation(self.typical, cluster.gpu_models, width)
        return tables
