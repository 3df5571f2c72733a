"""Clusters and pods in few words, for the tests of strategies that pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.offline import Placements, fill
from harness.scheduling.strategy import NO_GPU, Decision, GpuRequest, PodView, Strategy

GIB = 1 << 30


@dataclass
class Cluster:
    """A snapshot and pods for it, in few words."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    pods: list[PodView] = field(default_factory=list)

    def node(self, cpu: int, gib: int = 64, gpus: int = 0, model: str = "G") -> Cluster:
        name = f"n{len(self.snapshot.names)}"
        capacity = {"cpu": cpu, "memory": gib * GIB, "pods": 32}
        self.snapshot.add_node(name, capacity, gpus, model if gpus else "")
        return self

    def pod(
        self,
        cpu: int,
        gib: int = 1,
        gpu: GpuRequest = NO_GPU,
        priority: int = 0,
        group: str | None = None,
        least: int = 0,
    ) -> PodView:
        cls = self.snapshot.classes.intern({"cpu": cpu, "memory": gib * GIB}, gpu, priority=priority)
        view = PodView(f"default/p{len(self.pods)}", cls, group=group, group_min=least)
        self.pods.append(view)
        return view

    def fill(self, strategy: Strategy, window: int = 64) -> Placements:
        return fill(strategy, self.snapshot, self.pods, seed=0, window=window)

    def decisions(self, strategy: Strategy, pods: Sequence[PodView] | None = None) -> list[Decision]:
        return list(strategy.place(self.pods if pods is None else pods, self.snapshot, np.random.default_rng(0)))


def share(milli: int) -> GpuRequest:
    return GpuRequest(1, milli)


def whole(count: int) -> GpuRequest:
    return GpuRequest(count, 1000)


def crowded(rng: np.random.Generator, nodes: int = 6, pods: int = 60) -> Cluster:
    cluster = Cluster()
    for _ in range(nodes):
        cluster.node(int(rng.integers(16, 64)) * 1000, 256, int(rng.integers(0, 5)))
    for _ in range(pods):
        milli = int(rng.choice([0, 160, 320, 470, 810, 1000]))
        cluster.pod(int(rng.integers(1, 12)) * 1000, 8, share(milli) if milli else NO_GPU, int(rng.integers(0, 2)))
    return cluster
