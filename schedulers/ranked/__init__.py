"""Ranked: candidate nodes ranked by a small learned model, one pod at a time.

The model is a weighted sum of what a placement takes off the node's potentials (features.py), by kind of pod; a share
takes the device of the best sum. How it was trained is in the card inside weights.json; `podyard train` makes such a
file again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.scoring import NodeLists, Scored
from harness.scheduling.strategy import ClusterView, Decision, Float64, Int64, PodBatch, PodView
from schedulers.ranked.features import NAMES, Features, kind_of
from schedulers.ranked.mix import PodRequest, RequestMix, count
from schedulers.ranked.model import SHIPPED, Model, read_model

__all__ = ["LearnedScore", "Ranked"]


class LearnedScore:
    """The model's score of single nodes: of the class, and of the node's own columns, alone. Whole numbers."""

    def __init__(self, weights: Int64, mix: RequestMix | None) -> None:
        self.weights = weights
        self.features = Features(mix)

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        """Of each node's best placement, float64 [nodes]. The pod fits on all of `nodes`."""
        total: Float64 = self.contributions(pod, cluster, nodes).sum(axis=1).astype(np.float64)
        return total

    def contributions(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Int64:
        """Each feature's part in the score, int64 [nodes, features]."""
        if not len(nodes):
            return np.zeros((0, len(NAMES)), dtype=np.int64)
        options = self.features.of(pod, cluster, nodes)
        parts: Int64 = options.features * self.weights[kind_of(pod)]
        if len(options.row) == len(nodes):
            return parts
        total = parts.sum(axis=1)
        # By node, then best first; the first of each node stays. Equal sums keep the order of the devices.
        order = np.lexsort((-total, options.row))
        first = np.searchsorted(options.row, np.arange(len(nodes)))
        return parts[order[first]]

    def choose_devices(self, pod: PodView, cluster: NodeLists, node: int) -> tuple[int, ...] | None:
        """A share goes where the score is best, the first such device; whole devices are left to the harness."""
        gpu = pod.gpu
        if gpu.count != 1 or gpu.milli == DEVICE_MILLI:
            return None
        options = self.features.of(pod, cluster, np.array([node]))
        total = (options.features * self.weights[kind_of(pod)]).sum(axis=1)
        return (int(options.device[int(total.argmax())]),)


class Ranked:
    """A learned ranker of nodes (`podyard train`): device fit, stranded capacity, fragmentation under the pod mix.

    The mix of pods is taken by `fit` from a workload, or else from what is handed over: anew at each doubling.
    """

    def __init__(self, model: str = "", batch_size: int = 64) -> None:
        self._start(read_model(Path(model) if model else SHIPPED), batch_size)

    def _start(self, model: Model, batch_size: int) -> None:
        self.batch_size = batch_size
        self.model = model
        self._given = False
        self._seen: Counter[PodRequest] = Counter()
        self._count = 0
        self._next_fit = 1
        self._scored: Scored | None = None
        self._score: LearnedScore | None = None

    @staticmethod
    def train(arguments: Sequence[str]) -> None:
        """What `podyard train` runs. Raises UserError."""
        from schedulers.ranked.command import app

        app(list(arguments), standalone_mode=False)

    @classmethod
    def of(cls, weights: Int64) -> Ranked:
        """A ranker with these weights, in thousandths."""
        made = cls.__new__(cls)
        made._start(Model(weights, {}), 64)
        return made

    def fit(self, history: Iterable[PodView]) -> None:
        """Take the mix of pods from `history`, and keep to it."""
        self._take(RequestMix.of(count(history)))
        self._given = True

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        if not pods:
            return
        if not self._given:
            self._learn(pods)
        assert self._scored is not None
        yield from self._scored.place(pods, cluster, rng)

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """Each feature's part in the score by node, NaN where the pod does not fit."""
        if self._score is None:
            return {}
        feasible = cluster.feasible(pod)
        fits = np.flatnonzero(feasible)
        parts = self._score.contributions(pod, cluster, fits)
        out = {}
        for index, name in enumerate(NAMES):
            column = np.full(len(feasible), np.nan)
            column[fits] = parts[:, index]
            out[name] = column
        return out

    def _learn(self, pods: PodBatch) -> None:
        self._seen.update(count(pods))
        self._count += len(pods)
        if self._count >= self._next_fit:
            self._take(RequestMix.of(self._seen))
            self._next_fit = 2 * self._count

    def _take(self, mix: RequestMix | None) -> None:
        self._score = LearnedScore(self.model.weights, mix)
        self._scored = Scored(self._score, batch_size=self.batch_size)
