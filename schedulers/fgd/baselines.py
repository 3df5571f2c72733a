"""The baselines of the FGD paper: best fit, dot product, GPU packing and GPU clustering, as integer scores of 0..100.

Source: best_fit_score.go, dot_product_score.go (dimext merge, norm max), gpu_packing_score.go and
gpu_clustering_score.go of the simulator. The order of floating-point operations is theirs: truncation shows it.
"""

from __future__ import annotations

import numpy as np

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.scoring import NodeLists, PerNode, Scored
from harness.scheduling.strategy import CPU, ClusterView, Float64, GpuRequest, Int64, PodView
from schedulers.random_fit import RandomFit

MAX_CPU = 128_000
"""Milli-CPU of the largest node: the scale of both scores (MaxSpecCpu)."""

MAX_GPU = 8_000
"""GPU milli of the largest node (MaxSpecGpu)."""


class BestFit:
    """The less is left of CPU and GPU after placement, the better."""

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        cpu = cluster.free[CPU][nodes] - pod.requests[CPU]
        gpu = cluster.gpu_free[nodes].sum(axis=1) - pod.gpu.total_milli
        scores: Float64 = np.trunc((1.0 - (cpu / MAX_CPU * 0.5 + gpu / MAX_GPU * 0.5)) * 100.0)
        return scores

    def score_node(self, pod: PodView, cluster: NodeLists, node: int) -> float:
        cpu = cluster.free_of[node][CPU] - pod.cls.amounts[CPU]
        gpu = sum(cluster.devices_of[node]) - pod.gpu.total_milli
        return float(int((1.0 - (cpu / MAX_CPU * 0.5 + gpu / MAX_GPU * 0.5)) * 100.0))


class DotProduct:
    """The smaller the product of what the node has free and what the pod asks, the better."""

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        cpu = cluster.free[CPU][nodes] / MAX_CPU * (pod.cls.amounts[CPU] / MAX_CPU)
        gpu = cluster.gpu_free[nodes].sum(axis=1) / MAX_GPU * (pod.gpu.total_milli / MAX_GPU)
        scores: Float64 = np.trunc(100.0 * (1.0 - (cpu + gpu) / 2.0))
        return scores

    def score_node(self, pod: PodView, cluster: NodeLists, node: int) -> float:
        cpu = cluster.free_of[node][CPU] / MAX_CPU * (pod.cls.amounts[CPU] / MAX_CPU)
        gpu = sum(cluster.devices_of[node]) / MAX_GPU * (pod.gpu.total_milli / MAX_GPU)
        return float(int(100.0 * (1.0 - (cpu + gpu) / 2.0)))


class GpuPacking:
    """Shared devices first, then idle devices of nodes in use, then idle nodes."""

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        count, milli = pod.gpu.count, pod.gpu.milli
        if not count:
            return np.zeros(len(nodes))
        idle = np.sort(cluster.gpu_free[nodes], axis=1)
        devices = np.count_nonzero(cluster.gpu_capacity[nodes], axis=1)
        whole = np.count_nonzero(idle == DEVICE_MILLI, axis=1)
        fits = idle >= milli
        taken = fits & (np.cumsum(fits, axis=1) <= count)
        whole_taken = np.count_nonzero(taken & (idle == DEVICE_MILLI), axis=1)
        left = (idle * 100 // DEVICE_MILLI * taken).sum(axis=1)
        scores = np.where(whole_taken > 0, np.maximum(50 - whole_taken, 33), np.maximum(100 - left // 10, 50))
        result: Float64 = np.where(whole == devices, np.maximum(33 - whole, whole), scores).astype(np.float64)
        return result

    def score_node(self, pod: PodView, cluster: NodeLists, node: int) -> float:
        count, milli = pod.gpu.count, pod.gpu.milli
        if not count:
            return 0.0
        idle = cluster.devices_of[node]
        whole = idle.count(DEVICE_MILLI)
        if whole == len(idle):
            return float(max(33 - whole, whole))
        taken = sorted(left for left in idle if left >= milli)[:count]
        whole_taken = taken.count(DEVICE_MILLI)
        if whole_taken:
            return float(max(50 - whole_taken, 33))
        return float(max(100 - sum(left * 100 // DEVICE_MILLI for left in taken) // 10, 50))


class GpuClustering:
    """Pods of one kind (share, or so many whole devices) together; among equals the fullest node."""

    def __init__(self) -> None:
        self._tags = PerNode(_tags)

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        if not pod.gpu.count:
            return np.zeros(len(nodes))
        tag = _tag(pod.gpu)
        tags = self._tags.sync(cluster)
        used = 25 * (MAX_GPU - cluster.gpu_free[nodes].sum(axis=1)) // MAX_GPU
        bonus = np.array([_bonus(tag, tags[node]) for node in nodes.tolist()], dtype=np.int64)
        result: Float64 = (used + bonus).astype(np.float64)
        return result

    def score_node(self, pod: PodView, cluster: NodeLists, node: int) -> float:
        if not pod.gpu.count:
            return 0.0
        used = 25 * (MAX_GPU - sum(cluster.devices_of[node])) // MAX_GPU
        return float(used + _bonus(_tag(pod.gpu), self._tags.sync(cluster)[node]))


def _tag(gpu: GpuRequest) -> int:
    """0 for a share of a device, else the number of devices."""
    return 0 if gpu.count == 1 and gpu.milli < DEVICE_MILLI else gpu.count


def _tags(cluster: ClusterView, node: int) -> frozenset[int]:
    return frozenset(_tag(pod.gpu) for pod in cluster.pods_on(node) if pod.gpu.count)


def _bonus(tag: int, there: frozenset[int]) -> int:
    if tag in there:
        return 75 if len(there) == 1 else 50
    return 0 if there else 25


def best_fit(batch_size: int = 64) -> Scored:
    """FGD paper's BestFit: least CPU and GPU left after placement."""
    return Scored(BestFit(), batch_size=batch_size)


def dot_product(batch_size: int = 64) -> Scored:
    """FGD paper's DotProd: smallest product of free and requested (after Tetris, SIGCOMM 2014)."""
    return Scored(DotProduct(), batch_size=batch_size)


def gpu_packing(batch_size: int = 64) -> Scored:
    """FGD paper's GpuPacking: shared devices first, then nodes in use, then idle nodes."""
    return Scored(GpuPacking(), batch_size=batch_size)


def gpu_clustering(batch_size: int = 64) -> Scored:
    """FGD paper's GpuClustering: pods with the same GPU demand together (after Gandiva, OSDI 2018)."""
    return Scored(GpuClustering(), batch_size=batch_size)


def random_fit(batch_size: int = 64) -> RandomFit:
    """FGD paper's Random: any feasible node, any device that takes the share."""
    return RandomFit(any_device=True, batch_size=batch_size)
