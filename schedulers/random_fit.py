"""Random: each pod goes to a feasible node drawn evenly from the run's own stream; the yardstick below all others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.scoring import one_by_one
from harness.scheduling.strategy import Bind, ClusterView, Decision, PodBatch, PodView


class RandomFit:
    """A feasible node drawn evenly; with `any_device` also an evenly drawn device for a share of one."""

    def __init__(self, any_device: bool = False, batch_size: int = 64) -> None:
        self.any_device = any_device
        self.batch_size = batch_size

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        def choose(pod: PodView) -> Bind | None:
            fits = np.flatnonzero(cluster.feasible(pod))
            if not len(fits):
                return None
            node = int(fits[rng.integers(len(fits))])
            if not self.any_device or pod.gpu.count != 1 or pod.gpu.milli == DEVICE_MILLI:
                return Bind(pod, node)
            idle = np.flatnonzero(cluster.gpu_free[node] >= pod.gpu.milli)
            return Bind(pod, node, (int(idle[rng.integers(len(idle))]),))

        return one_by_one(pods, cluster, choose)
