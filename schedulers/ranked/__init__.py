"""Ranked: candidate nodes ranked by a small learned model, one pod at a time.

How it was trained is in the card inside weights.json; `podyard train` makes such a file again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from harness.model.fragmentation import GpuPod, TypicalPods
from harness.scheduling.scoring import Scored
from harness.scheduling.strategy import ClusterView, Decision, Float64, Int64, PodBatch, PodView
from schedulers.fgd.descent import gpu_pod
from schedulers.ranked.features import NAMES, Features, kind_of
from schedulers.ranked.model import SHIPPED, Model, read_model

__all__ = ["LearnedScore", "Ranked"]


class LearnedScore:
    """The model's score of single nodes: of the class, and of the node's own columns, alone."""

    def __init__(self, weights: Float64, typical: TypicalPods | None) -> None:
        self.weights = weights
        self.features = Features(typical)

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        columns = self.features.of(pod, cluster, nodes)
        result: Float64 = columns @ self.weights[kind_of(pod)]
        # Rounded, so that equal nodes are equal whatever order the machine's sums take.
        return np.round(result, 9)


class Ranked:
    """The mix of pods is learned by `fit` from a workload, or else from what is handed over: anew at each doubling."""

    def __init__(self, model: str = "", batch_size: int = 64) -> None:
        self.batch_size = batch_size
        self.model: Model = read_model(Path(model) if model else SHIPPED)
        self._given = False
        self._seen: Counter[GpuPod] = Counter()
        self._count = 0
        self._next_fit = 1
        self._scored: Scored | None = None

    @classmethod
    def of(cls, weights: Float64) -> Ranked:
        """A ranker with these weights."""
        made = cls.__new__(cls)
        made.batch_size = 64
        made.model = Model(weights, {})
        made._given, made._seen, made._count, made._next_fit, made._scored = False, Counter(), 0, 1, None
        return made

    def fit(self, history: Iterable[PodView]) -> None:
        """Take the mix of pods from `history`, and keep to it."""
        pods = [gpu_pod(pod.cls) for pod in history]
        self._scored = self._with(pods)
        self._given = True

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        if not pods:
            return
        yield from self._current(pods).place(pods, cluster, rng)

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """Each feature's contribution per node, NaN where the pod does not fit."""
        score = self._current(()).score
        assert isinstance(score, LearnedScore)
        feasible = cluster.feasible(pod)
        fits = np.flatnonzero(feasible)
        columns = score.features.of(pod, cluster, fits) * score.weights[kind_of(pod)]
        out = {}
        for index, name in enumerate(NAMES):
            column = np.full(len(feasible), np.nan)
            column[fits] = columns[:, index]
            out[name] = column
        return out

    def _with(self, pods: Iterable[GpuPod]) -> Scored:
        seen = list(pods)
        typical = TypicalPods.of(seen) if any(pod.gpu_count for pod in seen) else None
        return Scored(LearnedScore(self.model.weights, typical), batch_size=self.batch_size)

    def _current(self, pods: PodBatch) -> Scored:
        if not self._given:
            self._seen.update(gpu_pod(pod.cls) for pod in pods)
            self._count += len(pods)
            if self._scored is None or self._count >= self._next_fit:
                self._scored = self._with(self._seen.elements())
                self._next_fit = max(2 * self._count, 1)
        assert self._scored is not None
        return self._scored
