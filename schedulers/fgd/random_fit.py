"""The FGD paper's Random: an evenly drawn feasible node, and for a share an evenly drawn device that fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.model.fragmentation import DEVICE_MILLI
from harness.scheduling.scoring import NOWHERE
from harness.scheduling.strategy import Bind, ClusterView, Decision, PodBatch, Wait


class RandomFit:
    """FGD paper's Random: any feasible node, any fitting device."""

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            fits = np.flatnonzero(cluster.feasible(pod))
            if not len(fits):
                yield Wait(pod, NOWHERE)
                continue
            node = int(fits[rng.integers(len(fits))])
            devices: tuple[int, ...] | None = None
            if pod.gpu.count == 1 and pod.gpu.milli < DEVICE_MILLI:
                idle = np.flatnonzero(cluster.gpu_free[node] >= pod.gpu.milli)
                devices = (int(idle[rng.integers(len(idle))]),)
            yield Bind(pod, node, devices)
