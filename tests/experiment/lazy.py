"""Strategies that do less than they should, for measures that must not reward them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.scheduling.strategy import CPU, Bind, ClusterView, Decision, Evict, PodBatch, Wait
from schedulers.greedy import greedy
from schedulers.random_fit import RandomFit


class Late:
    """Places nothing until it has been handed 100 pods, those that it let wait counted again; then it is greedy."""

    def __init__(self) -> None:
        self._greedy = greedy()
        self._seen = 0

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        self._seen += len(pods)
        if self._seen < 100:
            yield from (Wait(pod, "not yet") for pod in pods)
        else:
            yield from self._greedy.place(pods, cluster, rng)


class Picky:
    """Greedy, but never places pods of 12 CPUs or more."""

    def __init__(self) -> None:
        self._greedy = greedy()

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        large = [pod for pod in pods if pod.requests[CPU] >= 12_000]
        small = [pod for pod in pods if pod.requests[CPU] < 12_000]
        yield from self._greedy.place(small, cluster, rng)
        yield from (Wait(pod, "too large for me") for pod in large)


class Quits:
    """Greedy for the first 30 pods that it is handed; it places none after that."""

    def __init__(self) -> None:
        self._greedy = greedy()
        self._seen = 0

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        self._seen += len(pods)
        if self._seen <= 30:
            yield from self._greedy.place(pods, cluster, rng)
        else:
            yield from (Wait(pod, "enough") for pod in pods)


class Silent:
    """Says nothing about any pod."""

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        return ()


class OtherRandom:
    """The `random` strategy with other luck: not a whit better or worse."""

    def __init__(self) -> None:
        self._random = RandomFit()

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        rng.random(7)
        yield from self._random.place(pods, cluster, rng)


class _Sleeps:
    """Greedy, but places nothing from one second to another; it says so, or says nothing at all."""

    from_s, to_s, says = 0, 1 << 40, "asleep"

    def __init__(self) -> None:
        self._greedy = greedy()

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        if not self.from_s <= cluster.now_ns / 10**9 < self.to_s:
            yield from self._greedy.place(pods, cluster, rng)
        elif self.says:
            yield from (Wait(pod, self.says) for pod in pods)


class Never(_Sleeps):
    pass


class LateRiser(_Sleeps):
    to_s = 300


class Naps(_Sleeps):
    from_s, to_s = 600, 900


class NapsInSilence(Naps):
    says = ""


class NeverAgain(_Sleeps):
    from_s = 600


class Churns:
    """Greedy, and takes away two pods a call that it has bound more than 5 s ago: everybody gets a turn, nothing is
    done."""

    def __init__(self) -> None:
        self._greedy = greedy()
        self._bound: list[tuple[int, str]] = []

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterable[Decision]:
        now = cluster.now_ns
        for decision in self._greedy.place(pods, cluster, rng):
            if isinstance(decision, Bind):
                self._bound.append((now, decision.pod.key))
            yield decision
        for at, name in self._bound[:2]:
            if at + 5 * 10**9 < now:
                self._bound.remove((at, name))
                yield Evict(name, "the next one's turn")
