"""A trained policy as a strategy, so that `podyard compare` can compare it with any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np

from harness.gym.observation import Encoder, Mask, Observation
from harness.scheduling.scoring import one_by_one
from harness.scheduling.strategy import Bind, ClusterView, Decision, PodBatch, PodView

Act: TypeAlias = Callable[[Observation, Mask], int]
"""(observation, action mask) -> action, as of an environment with a window of one pod."""


class PolicyStrategy:
    """`act` decides about one pod after another. `size`: number of nodes that the policy was trained for; None: as many
    as there are at the first decision."""

    def __init__(self, act: Act, size: int | None = None) -> None:
        self._act = act
        self._size = size
        self._encoder: Encoder | None = None

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = Encoder(self._size or len(cluster.names), cluster.resources)

        def choose(pod: PodView) -> Bind | None:
            mask = encoder.mask(cluster, (pod,), may_wait=False)
            if mask[-1]:
                return None
            action = int(self._act(encoder.encode(cluster, (pod,)), mask))
            return None if action == encoder.size else Bind(pod, action)

        return one_by_one(pods, cluster, choose)
