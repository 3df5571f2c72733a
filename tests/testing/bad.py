"""Strategies that each break one property of the conformance kit; and one that keeps them all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from harness.scheduling.scoring import Scored
from harness.scheduling.strategy import Bind, BindTogether, ClusterView, PodBatch, PodView, Strategy, Wait

BEGUN = time.time()


class By:
    """The first feasible node in an order that `key` says."""

    def __init__(self, key: Callable[[PodView, ClusterView, int], Any]) -> None:
        self.key = key

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Any]:
        for pod in pods:
            fits = np.flatnonzero(cluster.feasible(pod)).tolist()
            if pod.group or not fits:
                yield Wait(pod, "no")
                continue
            yield Bind(pod, min(fits, key=lambda node: self.key(pod, cluster, node)))


def good() -> Strategy:
    return Scored(lambda pod, cluster: -cluster.free[0].astype(float))


def column_order() -> Strategy:
    """Ties by column, not by rank."""
    return By(lambda pod, cluster, node: node)


def by_name() -> Strategy:
    """Pods alike are told apart by their names."""
    return By(lambda pod, cluster, node: cluster.rank[node] * (-1) ** pod.key.encode()[-1])


def hashes() -> Strategy:
    return By(lambda pod, cluster, node: hash(cluster.names[node]))


def global_random() -> Strategy:
    return By(lambda pod, cluster, node: random.random())


def numpy_random() -> Strategy:
    return By(lambda pod, cluster, node: np.random.random())


def clock() -> Strategy:
    return By(lambda pod, cluster, node: cluster.rank[node] * (1 if time.time() < BEGUN + 10**6 else -1))


class Overfills:
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Any]:
        for pod in pods:
            yield Bind(pod, int(cluster.rank.argmin()))


class HalfGangs:
    """Each pod for itself, whatever group it is of."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Any]:
        for pod in pods:
            fits = np.flatnonzero(cluster.feasible(pod))
            if len(fits):
                yield BindTogether((Bind(pod, int(fits[cluster.rank[fits].argmin()])),))


class Loops:
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> None:
        while True:
            pass


class Writes(Overfills):
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Any]:
        cluster.forget("default/p0")  # type: ignore[attr-defined]
        yield from ()


class Hoards:
    seen: list[PodView]

    def __init__(self) -> None:
        self.seen = []

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> list[Any]:
        self.seen += pods
        return []


class Babbles:
    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> list[Any]:
        return []

    def explain(self, pod: PodView, cluster: ClusterView) -> dict[str, Any]:
        return {"score": np.zeros(99)}
