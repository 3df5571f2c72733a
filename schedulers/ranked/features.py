"""What the ranker looks at: how much a placement takes off a few potentials of the node, all in whole micro-GPUs.

A potential is a figure of a node's state (free CPU, memory and devices, its model and capacity), such as the GPU that
is expected to stay idle on it for good. Whole numbers, so that equal nodes are equal on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.model.fragmentation import Fragmentation
from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.strategy import CPU, MEMORY, ClusterView, Int64, PodView
from schedulers.ranked.mix import RequestMix
from schedulers.ranked.waste import (
    CPU_STEP_MILLI,
    CPU_STEPS,
    DEVICE_STEP_MILLI,
    MEMORY_STEP_BYTES,
    MEMORY_STEPS,
    MICRO,
    POOL_STEP_MILLI,
    Waste,
)

NAMES = (
    "fragmentation",  # GPU that the typical pods cannot use now (FGD's measure, finer than its 101 steps)
    "device_waste",  # GPU expected to stay idle, each device taken alone
    "cpu_waste",  # the same for the node's GPU as a whole, as its CPU limits it
    "memory_waste",
    "cpu_surplus",  # CPU beyond what the idle GPU will ask for, in 50 cores
    "idle_gpu",  # square of the idle GPU, per 8
    "idle_devices",  # entirely idle devices
    "cpu_free",  # square of the share of CPU that is free
    "memory_free",
    "picky_device_waste",  # the three wastes as a scheduler leaves them that can choose among pods
    "picky_cpu_waste",
    "picky_memory_waste",
    "holes",  # idle GPU on devices in use
    "open_devices",  # devices in use that are not full
)

KINDS = ("cpu", "small-share", "large-share", "whole", "multi")
"""Each kind of pod has its own weights: no GPU, at most half of one, more than half, one, several."""

SURPLUS_MICRO = MICRO // 50_000  # per milli-CPU
_PERMILLE = 1000


def kind_of(pod: PodView) -> int:
    gpu = pod.gpu
    if not gpu.count:
        return 0
    if gpu.count > 1:
        return 4
    if gpu.milli == DEVICE_MILLI:
        return 3
    return 1 if 2 * gpu.milli <= DEVICE_MILLI else 2


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Placements of one pod. `row`: which of the nodes asked about, ascending. `device`: the one it takes a share of,
    -1 where the harness chooses. `features`: int64 [options, features].
    """

    row: Int64
    device: Int64
    features: Int64


class Features:
    """For a given mix of pods; with None, where nobody asks for GPUs, only CPU and memory are looked at."""

    def __init__(self, mix: RequestMix | None) -> None:
        self.mix = mix
        self._tables: Fragmentation | None = None
        self._waste: Waste | None = None

    def of(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Options:
        """Every placement of `pod` on `nodes`, all of which it fits on."""
        self._sync(cluster)
        cpu, memory = cluster.free[CPU][nodes], cluster.free[MEMORY][nodes]
        idle = cluster.gpu_free[nodes]
        gpu = pod.gpu
        if gpu.count == 1 and gpu.milli < DEVICE_MILLI:
            row, device = np.nonzero(idle >= gpu.milli)
            after = idle[row]
            after[np.arange(len(row)), device] -= gpu.milli
        else:
            row, device, after = np.arange(len(nodes)), np.full(len(nodes), -1), idle
            if gpu.count:
                fits = idle >= gpu.milli
                after = idle - (fits & (np.cumsum(fits, axis=1) <= gpu.count)) * gpu.milli
        amounts = pod.cls.amounts
        potentials = self._potentials(
            cluster,
            np.concatenate([nodes, nodes[row]]),
            np.concatenate([cpu, cpu[row] - amounts[CPU]]),
            np.concatenate([memory, memory[row] - amounts[MEMORY]]),
            np.concatenate([idle, after]),
        )
        before = len(nodes)
        return Options(row, device, potentials[:before][row] - potentials[before:])

    def _potentials(self, cluster: ClusterView, nodes: Int64, cpu: Int64, memory: Int64, idle: Int64) -> Int64:
        """int64 [states, features]; `idle`: milli by device."""
        out = np.zeros((len(nodes), len(NAMES)), dtype=np.int64)
        out[:, 7] = (cpu * _PERMILLE // np.maximum(cluster.capacity[CPU][nodes], 1)) ** 2
        out[:, 8] = (memory * _PERMILLE // np.maximum(cluster.capacity[MEMORY][nodes], 1)) ** 2
        mix, tables, waste = self.mix, self._tables, self._waste
        if mix is None or tables is None or waste is None:
            return out
        total = idle.sum(axis=1)
        pool = total // POOL_STEP_MILLI
        cpu_step = np.minimum(cpu // CPU_STEP_MILLI, CPU_STEPS)
        memory_step = np.minimum(memory // MEMORY_STEP_BYTES, MEMORY_STEPS)
        out[:, 0] = tables.amount(cpu, idle, cluster.gpu_model[nodes]) * _PERMILLE // tables.total
        out[:, 1] = waste.device[idle // DEVICE_STEP_MILLI, cpu_step[:, None]].sum(axis=1)
        out[:, 2] = waste.cpu[pool, cpu_step]
        out[:, 3] = waste.memory[pool, memory_step]
        out[:, 4] = np.maximum(cpu - total * self._cpu // self._gpu, 0) * SURPLUS_MICRO
        out[:, 5] = total * total // 8
        unused = (idle == DEVICE_MILLI).sum(axis=1)
        out[:, 6] = unused * MICRO
        out[:, 9] = waste.picky_device[idle // DEVICE_STEP_MILLI, cpu_step[:, None]].sum(axis=1)
        out[:, 10] = waste.picky_cpu[pool, cpu_step]
        out[:, 11] = waste.picky_memory[pool, memory_step]
        out[:, 12] = (total - unused * DEVICE_MILLI) * _PERMILLE
        out[:, 13] = ((idle > 0).sum(axis=1) - unused) * MICRO
        return out

    def _sync(self, cluster: ClusterView) -> None:
        """Tables that fit the cluster; a wider one says the same of the nodes that were there before."""
        mix, width = self.mix, cluster.gpu_free.shape[1]
        if mix is None or not width:
            return
        tables = self._tables
        if tables is None or tables.models != cluster.gpu_models or tables.width != width:
            self._tables = Fragmentation(mix.typical, cluster.gpu_models, width)
            if tables is None or tables.width != width:
                self._waste = Waste.of(mix, width)
                # What a GPU milli asks of CPU on average is the quotient of these.
                self._cpu = sum(r.cpu_milli * n for r, n in mix.wanted)
                self._gpu = sum(r.gpu_milli * n for r, n in mix.wanted)
