"""Strategies as third parties write them, without the fast paths of the shipped ones, which the harness must handle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.scheduling.gangs import first_fit
from harness.scheduling.scoring import Scored, what_if
from harness.scheduling.strategy import (
    PODS,
    Bind,
    BindTogether,
    ClusterView,
    Decision,
    Evict,
    Float64,
    PodBatch,
    PodView,
    Wait,
)


def least_pods() -> Scored:
    """A plain scoring function, asked anew for each pod."""

    def score(pod: PodView, cluster: ClusterView) -> Float64:
        return np.asarray(cluster.free[PODS], dtype=np.float64)

    return Scored(score, batch_size=5)


class WholeBatch:
    """The queue from its tail, a node drawn for each pod; gangs by first fit."""

    batch_size = 20

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        passed: set[str] = set()
        for pod in reversed(pods):
            if pod.group is None or pod.group_min < 2:
                fits = np.flatnonzero(cluster.feasible(pod))
                yield Bind(pod, int(rng.choice(fits))) if len(fits) else Wait(pod, "no room today")
            elif pod.group not in passed:
                passed.add(pod.group)
                yield from self._gang([other for other in pods if other.group == pod.group], cluster)

    def _gang(self, members: list[PodView], cluster: ClusterView) -> Iterator[Decision]:
        wanted = max(members[0].group_min - cluster.placed_in_group(members[0].group or ""), 1)
        binds = first_fit(members, cluster)
        if len(binds) >= wanted:
            yield BindTogether(tuple(binds))
        bound = {bind.pod.key for bind in binds} if len(binds) >= wanted else set()
        yield from (Wait(pod, f"{len(binds)} of {wanted}") for pod in members if pod.key not in bound)


class Evicting:
    """Greedy; while it has evicted fewer than `most` pods it now and then sends one away, whatever runs there."""

    def __init__(self, most: int = 6) -> None:
        self._left = most
        self._greedy = Scored(lambda pod, cluster: -cluster.free[0].astype(np.float64))

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        yield from self._greedy.place(pods, cluster, rng)
        nodes = np.flatnonzero(cluster.alive)
        if self._left and len(nodes) and rng.random() < 0.3:
            here = cluster.pods_on(int(rng.choice(nodes)))
            with what_if(cluster) as trial:
                chosen = [pod for pod in here if trial.remove(pod.key)][:1]
            for pod in chosen:
                self._left -= 1
                yield Evict(pod.key, "somebody had an idea")
