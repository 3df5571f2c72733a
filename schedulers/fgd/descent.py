"""FGD: the pod goes where it makes fragmentation grow least, as far as an integer score from 0 to 100 can tell.

Source: fgd_score.go of the simulator: score = int(100 x sigmoid((F before - F after) / 1000 milli)); a share pod takes
the first device that reaches the node's best score, whole devices are taken by index.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from harness.model.fragmentation import Fragmentation, GpuPod, TypicalPods
from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.scoring import NodeLists, Scored
from harness.scheduling.strategy import CPU, ClusterView, Decision, Float64, Int64, PodBatch, PodClass, PodView
from schedulers.fgd.rounding import PublishedSums
from schedulers.fgd.states import States

MAX_SCORE = 100

_UNKNOWN = -1
_TABLE_LIMIT = 1 << 23  # remembered scores (states x classes) before the memory is cleared


def gpu_pod(cls: PodClass) -> GpuPod:
    """What fragmentation looks at in a class."""
    gpu = cls.gpu
    return GpuPod(cls.amounts[CPU], gpu.milli if gpu.count else 0, gpu.count, "|".join(gpu.models))


def score_steps(total: int) -> Int64:
    """Entry k: the least F before - F after, in weighted milli, that scores k.

    100 x sigmoid(x) reaches k at x = ln(k / (100 - k)), which no fraction of integers hits except 0 for k = 50: equal
    amounts score exactly 50. The last entry is where sigmoid rounds to 1.
    """
    least = np.iinfo(np.int64).min
    between = [math.ceil(1000 * total * math.log(k / (MAX_SCORE - k))) for k in range(1, MAX_SCORE)]
    return np.array([least, *between, 1000 * total * 37], dtype=np.int64)


class Descent:
    """The score for given typical pods. What it remembers follows from node states and classes alone."""

    def __init__(self, typical: TypicalPods) -> None:
        self.typical = typical
        self._steps = score_steps(typical.total)
        self._tables: Fragmentation | None = None
        self._sums: PublishedSums | None = None
        self._states = States()
        self._forget()

    def _forget(self) -> None:
        self._columns: dict[int, int] = {}  # class id -> column of the two tables
        self._scores = np.full((0, 0), _UNKNOWN, dtype=np.int16)  # [state, class]
        self._winners = np.zeros((0, 0), dtype=np.int64)  # [state, class], bit d: sorted device d reaches the score

    def score(self, pod: PodView, cluster: ClusterView, nodes: Int64) -> Float64:
        states = self._sync(cluster)[nodes]
        column = self._column(pod.cls)
        scores = self._scores[states, column]
        missing = np.unique(states[scores == _UNKNOWN])
        if len(missing):
            self._evaluate(missing, pod.cls, column)
            scores = self._scores[states, column]
        result: Float64 = scores.astype(np.float64)
        return result

    def choose_devices(self, pod: PodView, cluster: NodeLists, node: int) -> tuple[int, ...] | None:
        """A share goes to the first device that reaches the node's score; whole devices are left to the harness."""
        gpu = pod.gpu
        if gpu.count != 1 or gpu.milli == DEVICE_MILLI:
            return None
        here = np.array([node])
        self.score(pod, cluster, here)
        state = int(self._sync(cluster)[node])
        winners = int(self._winners[state, self._column(pod.cls)])
        in_order = self._states.devices[state].tolist()
        for device, idle in enumerate(cluster.devices_of[node]):
            if idle >= gpu.milli and winners >> in_order.index(idle) & 1:
                return (device,)
        raise AssertionError(f"{pod.key} fits on no device of {cluster.names[node]}")

    def _sync(self, cluster: ClusterView) -> Int64:
        """State of each node; tables fitting the cluster's models and devices."""
        states = self._states
        if len(states) * max(len(self._columns), 1) > _TABLE_LIMIT:
            self._states = states = States()
            self._forget()
        of_node = states.sync(cluster)
        tables = self._tables
        if tables is None or tables.models != cluster.gpu_models or tables.width != states.width:
            self._tables = Fragmentation(self.typical, cluster.gpu_models, states.width)
            self._sums = PublishedSums(self.typical, cluster.gpu_models)
            self._forget()
        if len(states) > len(self._scores):
            self._make_room()
        return of_node

    def _column(self, cls: PodClass) -> int:
        column = self._columns.get(cls.id)
        if column is None:
            column = self._columns[cls.id] = len(self._columns)
            if column >= self._scores.shape[1]:
                self._make_room()
        return column

    def _make_room(self) -> None:
        rows, columns = self._scores.shape
        shape = (max(2 * rows, len(self._states), 64), max(columns, 2 * len(self._columns), 16))
        scores, winners = np.full(shape, _UNKNOWN, dtype=np.int16), np.zeros(shape, dtype=np.int64)
        scores[:rows, :columns], winners[:rows, :columns] = self._scores, self._winners
        self._scores, self._winners = scores, winners

    def _evaluate(self, states: Int64, cls: PodClass, column: int) -> None:
        """Score class `cls` on `states`; what does not fit scores 0."""
        tables, known, gpu = self._tables, self._states, cls.gpu
        assert tables is not None
        cpu, idle, model = known.cpu[states], known.devices[states], known.model[states]
        before = tables.amount(cpu, idle, model)
        if gpu.count == 1:
            # Each distinct idle amount once: devices are sorted, so a repeat equals its left neighbour.
            option = idle >= gpu.milli
            option[:, 1:] &= idle[:, 1:] != idle[:, :-1]
            row, device = np.nonzero(option)
            after = idle[row]
            after[np.arange(len(row)), device] -= gpu.milli
            scores = np.full(idle.shape, _UNKNOWN, dtype=np.int64)
            scores[row, device] = self._compare(cls, before[row], cpu[row], idle[row], after, model[row])
            best = scores.max(axis=1)
            reached = (scores == best[:, None]) & option
            self._winners[states, column] = (reached << np.arange(idle.shape[1])).sum(axis=1)
            self._scores[states, column] = np.maximum(best, 0)
            return
        after = idle
        if gpu.count:
            # The tightest devices that fit: sorted ascending, they are the first `count` of them.
            fits = idle >= gpu.milli
            taken = fits & (np.cumsum(fits, axis=1) <= gpu.count)
            after = idle - taken * gpu.milli
        self._scores[states, column] = self._compare(cls, before, cpu, idle, after, model)

    def _compare(self, cls: PodClass, before: Int64, cpu: Int64, idle: Int64, after: Int64, model: Int64) -> Int64:
        """Scores for placing `cls` so that `idle` becomes `after`, int64 [placements]."""
        tables, sums = self._tables, self._sums
        assert tables is not None
        assert sums is not None
        left = cpu - cls.amounts[CPU]
        delta = before - tables.amount(left, after, model)
        scores: Int64 = np.searchsorted(self._steps, delta, side="right") - 1
        tie = np.flatnonzero((delta == 0) & (idle.any(axis=1)))
        if len(tie):
            then = sums.amount(cpu[tie], idle[tie], model[tie])
            now = sums.amount(left[tie], after[tie], model[tie])
            scores[tie] = sums.score(then, now)
        return scores


class FGD:
    """Fragmentation Gradient Descent (USENIX ATC 2023).

    The typical pods are given, learned by `fit` from a workload of the past, or, without either, from what is handed
    over: then anew each time the number of pods seen has doubled.
    """

    def __init__(self, typical: TypicalPods | None = None, batch_size: int = 64) -> None:
        self.batch_size = batch_size
        self._given = typical is not None
        self._seen: Counter[GpuPod] = Counter()
        self._count = 0
        self._next_fit = 1
        self._scored = None if typical is None else Scored(Descent(typical))

    def fit(self, history: Iterable[PodView]) -> None:
        """Take the typical pods from `history`, and keep to them. Raises ValueError when it is empty."""
        self._scored = Scored(Descent(TypicalPods.of(gpu_pod(pod.cls) for pod in history)))
        self._given = True

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        if not pods:
            return
        yield from self._current(pods).place(pods, cluster, rng)

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """The FGD score per node, NaN where it does not fit."""
        return self._current(()).explain(pod, cluster) if self._scored is not None else {}

    def _current(self, pods: PodBatch) -> Scored:
        if not self._given:
            self._seen.update(gpu_pod(pod.cls) for pod in pods)
            self._count += len(pods)
            if self._count >= self._next_fit:
                self._scored = Scored(Descent(TypicalPods.of(self._seen.elements())))
                self._next_fit = 2 * self._count
        assert self._scored is not None
        return self._scored
