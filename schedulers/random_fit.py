"""Random: each pod goes to a feasible node drawn evenly from the run's own stream; the yardstick below all others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.scheduling.scoring import NOWHERE
from harness.scheduling.strategy import Bind, ClusterView, Decision, PodBatch, Wait


class RandomFit:
    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        for pod in pods:
            fits = np.flatnonzero(cluster.feasible(pod))
            yield Bind(pod, int(fits[rng.integers(len(fits))])) if len(fits) else Wait(pod, NOWHERE)
