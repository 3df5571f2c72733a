"""Greedy: one pod at a time to the fullest node that takes it (best fit), or to the emptiest (least allocated)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness.model.errors import UserError, did_you_mean
from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.scoring import NodeLists, Scored
from harness.scheduling.strategy import CPU, MEMORY, ClusterView, Float64, Int64, PodView

Mode = Literal["best", "least"]
MODES = ("best", "least")


class Fullness:
    """What is left of a node after placement: the mean over CPU, memory and (where it has any) GPU of left / capacity.

    A node's idle GPUs count also for a pod that asks for none, so that best fit keeps such pods off GPU nodes.
    """

    def __init__(self, sign: float) -> None:
        self.sign = sign  # of the left share in the score: -1 best fit, 1 least allocated

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        requests, gpu = pod.requests, pod.gpu
        free, capacity = cluster.free, cluster.capacity
        cpu = (free[CPU][nodes] - requests[CPU]) / np.maximum(capacity[CPU][nodes], 1)
        memory = (free[MEMORY][nodes] - requests[MEMORY]) / np.maximum(capacity[MEMORY][nodes], 1)
        scores: Float64 = self.sign * ((cpu + memory) / 2)
        if not cluster.gpu_free.shape[1]:
            return scores
        devices = np.count_nonzero(cluster.gpu_capacity[nodes], axis=1)
        idle = cluster.gpu_free[nodes].sum(axis=1) - gpu.total_milli
        with_gpu = (cpu + memory + idle / np.maximum(devices * DEVICE_MILLI, 1)) / 3
        return np.where(devices > 0, self.sign * with_gpu, scores)

    def score_node(self, pod: PodView, cluster: NodeLists, node: int) -> float:
        (cpu_free, memory_free, *_), (cpu_there, memory_there, *_) = cluster.free_of[node], cluster.capacity_of[node]
        needs = pod.cls.amounts
        cpu = (cpu_free - needs[CPU]) / (cpu_there or 1)
        memory = (memory_free - needs[MEMORY]) / (memory_there or 1)
        idle = cluster.devices_of[node]
        if not idle:
            return self.sign * ((cpu + memory) / 2)
        left = sum(idle) - pod.gpu.total_milli
        return self.sign * ((cpu + memory + left / (len(idle) * DEVICE_MILLI)) / 3)


def greedy(score: str = "best", batch_size: int = 64) -> Scored:
    """`score`: best (fewest nodes in use, room kept for large pods) or least (load spread evenly)."""
    if score not in MODES:
        raise UserError(
            "greedy has no such score", found=score, expected=" or ".join(MODES), hint=did_you_mean(score, MODES)
        )
    return Scored(Fullness(-1.0 if score == "best" else 1.0), batch_size=batch_size)


def least_allocated(batch_size: int = 64) -> Scored:
    """One pod at a time to the emptiest node that takes it."""
    return greedy("least", batch_size)
