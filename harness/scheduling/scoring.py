"""Scored: a score as a strategy; with an incremental score a decision looks only at the nodes that changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from harness.scheduling.legality import apply_alone, needs_gang, take_back
from harness.scheduling.snapshot import Snapshot
from harness.scheduling.strategy import (
    Bind,
    BindTogether,
    ClusterView,
    Decision,
    Float64,
    IncrementalScore,
    Int64,
    PodBatch,
    PodView,
    ScoreFunction,
    Wait,
)
from harness.scheduling.tournament import NEVER, Tournament

_BUDGET_BYTES = 256 << 20  # of score columns, over all classes
_FEW = 20  # so many changed nodes are cheaper one by one than by numpy

NOWHERE = "no feasible node"


class NodeLists(ClusterView, Protocol):
    """The cluster in plain ints by node, for scores of one node: `free_of[node][resource]` and so on."""

    @property
    def free_of(self) -> Sequence[Sequence[int]]: ...

    @property
    def capacity_of(self) -> Sequence[Sequence[int]]: ...

    @property
    def devices_of(self) -> Sequence[Sequence[int]]:
        """Idle milli of each device of the node; empty without GPUs."""

    @property
    def model_of(self) -> Sequence[int]: ...


@runtime_checkable
class NodeScore(Protocol):
    """What an IncrementalScore may offer besides: the score of one node without numpy, exactly equal to `score`'s."""

    def score_node(self, pod: PodView, cluster: NodeLists, node: int) -> float: ...


@runtime_checkable
class ChoosesDevices(Protocol):
    """What a score may offer besides: the devices on the chosen node. None leaves them to the harness."""

    def choose_devices(self, pod: PodView, cluster: NodeLists, node: int) -> tuple[int, ...] | None: ...


T = TypeVar("T")


class PerNode(Generic[T]):
    """A value that follows from one node's state, computed again only for nodes that changed."""

    def __init__(self, compute: Callable[[ClusterView, int], T]) -> None:
        self._compute = compute
        self._cluster: ClusterView | None = None
        self._version = -1
        self._values: list[T] = []

    def sync(self, cluster: ClusterView) -> Sequence[T]:
        """The values by node, up to date."""
        version = cluster.version
        if cluster is self._cluster and version == self._version:
            return self._values
        changed = cluster.changed_since(self._version) if cluster is self._cluster else None
        self._cluster, self._version = cluster, version
        if changed is None:
            self._values = [self._compute(cluster, node) for node in range(len(cluster.names))]
            return self._values
        for node in changed.tolist():
            value = self._compute(cluster, node)
            if node < len(self._values):
                self._values[node] = value
            else:  # nodes come in order of index, each with an entry in the log
                self._values.append(value)
        return self._values


class _Column:
    """The scores of one class and what they are based on."""

    __slots__ = ("epoch", "scores", "seen")

    def __init__(self, scores: Tournament, epoch: int, seen: int) -> None:
        self.scores = scores
        self.epoch = epoch
        self.seen = seen


class ScoreTable:
    """Per pod class the scores of all nodes in tie-break order, -inf where it does not fit; in bounded memory."""

    def __init__(self, score: IncrementalScore, on: Snapshot) -> None:
        self.on = on
        self._score = score
        self._score_node = score.score_node if isinstance(score, NodeScore) else None
        self._columns: OrderedDict[int, _Column] = OrderedDict()

    def best(self, pod: PodView) -> int:
        """The feasible node of the highest score, lowest rank on ties; -1 when there is none."""
        on = self.on
        cls = pod.cls
        if cls.constraints.only is not None:
            return self._best_named(pod)
        order = on.order()
        column = self._columns.get(cls.id)
        if column is None or column.epoch != on.epoch:
            column = self._anew(pod)
        else:
            self._columns.move_to_end(cls.id)
            version = on.log.version
            if column.seen != version:
                changed = on.log.since(column.seen)
                if changed is None:
                    column = self._anew(pod)
                else:
                    self._refresh(column, pod, changed)
                    column.seen = version
        scores = column.scores
        if cls.constraints.cluster:
            return self._best_masked(scores, pod, order)
        while True:
            position = scores.best()
            if position < 0:
                return -1
            node = order[position]
            if node >= 0:
                return node
            scores.set(position, NEVER)  # a hole: its node has left

    def _best_named(self, pod: PodView) -> int:
        """Of a class that names its nodes (a DaemonSet's pod): no column for its sake."""
        nodes = self.on.feasibility.among(pod.cls)
        if len(nodes) < 2:
            return nodes[0] if nodes else -1
        scores = checked(self._score.score(pod, self.on, np.array(nodes)), len(nodes)).tolist()
        return min(zip(scores, nodes, strict=True), key=lambda item: (-item[0], int(self.on.rank[item[1]]), item[1]))[1]

    def _best_masked(self, scores: Tournament, pod: PodView, order: Sequence[int]) -> int:
        """With constraints that look elsewhere the mask moves by itself: one pass over the column."""
        mask = self.on.feasible(pod)
        where = np.array(order, dtype=np.int64)
        allowed = (where >= 0) & mask[where]
        column = np.where(allowed, scores.column[: len(where)], NEVER)
        position = int(column.argmax())
        return order[position] if column[position] > NEVER else -1

    def _refresh(self, column: _Column, pod: PodView, changed: list[int]) -> None:
        on = self.on
        scores = column.scores
        if len(changed) > 1:
            changed = list(dict.fromkeys(changed))
        if self._score_node is None or len(changed) > _FEW:
            nodes = np.array(changed, dtype=np.int64)
            positions = on.positions[nodes]
            if positions.min() < 0:  # nodes that have left
                nodes, positions = nodes[positions >= 0], positions[positions >= 0]
            scores.set_many(positions, self._values(pod, nodes))
            return
        cls = pod.cls
        spec = on.feasibility.spec_verdicts(cls)
        load = cls.constraints.load
        score_node = self._score_node
        for node in changed:
            position = on.position_of[node]
            if position < 0:
                continue
            value = NEVER
            if spec[node]:
                for term in load:
                    if not term.holds(on, node):
                        break
                else:
                    value = score_node(pod, cast(NodeLists, on), node)
            scores.set(position, value)

    def _values(self, pod: PodView, nodes: Int64) -> Float64:
        """Scores of `nodes`, NEVER where infeasible; only feasible nodes are scored."""
        fits = np.flatnonzero(self.on.feasibility.local(pod.cls, nodes))
        if len(fits) == len(nodes):
            return checked(self._score.score(pod, self.on, nodes), len(nodes))
        out = np.full(len(nodes), NEVER)
        if len(fits):
            out[fits] = checked(self._score.score(pod, self.on, nodes[fits]), len(fits))
        return out

    def _anew(self, pod: PodView) -> _Column:
        on = self.on
        order = np.array(on.order(), dtype=np.int64)
        positions = np.flatnonzero(order >= 0)
        values = np.full(on.room, NEVER)
        values[positions] = self._values(pod, order[positions])
        if pod.cls.constraints.refusal:
            values[:] = NEVER
        column = self._columns[pod.cls.id] = _Column(Tournament(values), on.epoch, on.log.version)
        self._columns.move_to_end(pod.cls.id)
        limit = max(32, _BUDGET_BYTES // (8 * on.room))
        while len(self._columns) > limit:
            self._columns.popitem(last=False)
        return column


def checked(scores: Float64, count: int, nodes: Int64 | None = None) -> Float64:
    """A user's scores, clipped to finite values (-inf still means feasible).

    Raises ValueError on a wrong shape, and on NaN at any of `nodes` (None: all).
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (count,):
        raise ValueError(f"the score has shape {values.shape}, expected ({count},)")
    if np.isfinite(values).all():
        return values
    nan = np.isnan(values if nodes is None else values[nodes])
    if nan.any():
        raise ValueError(f"the score is not a number for {int(nan.sum())} of {len(nan)} nodes")
    clipped: Float64 = np.clip(values, -_LARGEST, _LARGEST)
    return clipped


_LARGEST = float(np.finfo(np.float64).max)


class Scored:
    """A strategy from a score: each pod of the queue goes to the feasible node of the highest score.

    `score`: a function (pod, view) -> float [nodes], called anew for each pod; or an IncrementalScore, whose values are
    kept per pod class and renewed for changed nodes only. Pods of a gang are placed together or not at all.
    """

    def __init__(self, score: ScoreFunction | IncrementalScore, *, batch_size: int = 64) -> None:
        self.score = score
        self.batch_size = batch_size
        self._table: ScoreTable | None = None

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        choose = self._chooser(cluster)
        passed: set[str] = set()  # groups that had their turn
        for pod in pods:
            if pod.group is not None and pod.group_min > 1:
                if pod.group not in passed:
                    passed.add(pod.group)
                    yield from self._gang([other for other in pods if other.group == pod.group], cluster, choose)
                continue
            bind = choose(pod)
            yield Wait(pod, NOWHERE) if bind is None else bind

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """The score per node, NaN where it does not fit."""
        name = getattr(self.score, "__name__", type(self.score).__name__)
        return {name: np.where(cluster.feasible(pod), self._everywhere(pod, cluster), np.nan)}

    def _chooser(self, cluster: ClusterView) -> Callable[[PodView], Bind | None]:
        score = self.score
        if isinstance(cluster, Snapshot) and not callable(score):
            if self._table is None or self._table.on is not cluster:
                self._table = ScoreTable(score, cluster)
            best = self._table.best
            devices = score.choose_devices if isinstance(score, ChoosesDevices) else None

            def incremental(pod: PodView) -> Bind | None:
                node = best(pod)
                if node < 0:
                    return None
                if devices is None or not pod.cls.gpu.count:
                    return Bind(pod, node)
                return Bind(pod, node, devices(pod, cast(NodeLists, cluster), node))

            return incremental

        def whole(pod: PodView) -> Bind | None:
            feasible = cluster.feasible(pod)
            if not feasible.any():
                return None
            column = np.where(feasible, self._everywhere(pod, cluster), NEVER)
            ties = np.flatnonzero(column == column.max())
            return Bind(pod, int(ties[cluster.rank[ties].argmin()]))

        return whole

    def _everywhere(self, pod: PodView, cluster: ClusterView) -> Float64:
        """Scores of all nodes, float64 [nodes]; anything where the pod does not fit."""
        nodes = len(cluster.names)
        if callable(self.score):
            return checked(self.score(pod, cluster), nodes, np.flatnonzero(cluster.feasible(pod)))
        out = np.full(nodes, NEVER)
        fits = np.flatnonzero(cluster.feasible(pod))
        out[fits] = checked(self.score.score(pod, cluster, fits), len(fits))
        return out

    def _gang(
        self, members: Sequence[PodView], cluster: ClusterView, choose: Callable[[PodView], Bind | None]
    ) -> Iterator[Decision]:
        """Members are tried on the live snapshot one after another, taken back, and then decided together."""
        if not isinstance(cluster, Snapshot):
            for pod in members:
                yield Wait(pod, "gangs need a snapshot to be tried on")
            return
        wanted = needs_gang(cluster, members[0])
        binds: list[Bind] = []
        for pod in members:
            bind = choose(pod)
            done = None if bind is None else apply_alone(cluster, bind)
            if isinstance(done, Bind):
                binds.append(done)
        take_back(cluster, tuple(binds))
        enough = len(binds) >= max(wanted, 1)
        if enough:
            yield BindTogether(tuple(binds))
        bound = {bind.pod.key for bind in binds} if enough else set()
        reason = NOWHERE if enough else f"gang {members[0].group}: {len(binds)} of at least {wanted} fit"
        for pod in members:
            if pod.key not in bound:
                yield Wait(pod, reason)
