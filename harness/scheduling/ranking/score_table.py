"""Scores of all nodes kept by pod class, renewed only for the nodes that changed since the class was last asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.live_masks import DomainMask, NodeMask
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.ranking.max_index import NEVER, MaxIndex
from harness.scheduling.ranking.max_index_by_domain import MaxIndexByDomain
from harness.scheduling.strategy import ClusterView, Float64, IncrementalScore, Int64, PodView

_BUDGET_BYTES = 256 << 20  # of score columns, over all classes
_WORTH = 8  # decisions that an index by domain must serve to be worth its making
_FEW = 20  # so many changed nodes are cheaper one by one than by numpy


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


class _Column:
    """The scores of one class and what they are based on."""

    __slots__ = ("by_domain", "epoch", "patience", "scores", "seen", "served")

    def __init__(self, scores: MaxIndex, epoch: int, seen: int) -> None:
        self.scores = scores
        self.epoch = epoch
        self.seen = seen
        # Of a class with filters on the whole cluster: its masks when they were last read, the index under them.
        self.by_domain: tuple[NodeMask, tuple[DomainMask, ...], MaxIndexByDomain] | None = None
        self.served = 0  # decisions that it was good for
        self.patience = 0  # decisions to wait before it is made anew

    def set(self, position: int, value: float) -> None:
        self.scores.set(position, value)
        if self.by_domain is not None:
            self.by_domain[2].set(position, value)

    def set_many(self, positions: Int64, values: Float64) -> None:
        self.scores.set_many(positions, values)
        if self.by_domain is not None:
            self.by_domain[2].set_many(positions, values)


class ScoreTable:
    """Per pod class the scores of all nodes in tie-break order, -inf where it does not fit; in bounded memory."""

    def __init__(self, score: IncrementalScore, snapshot: Snapshot, shown: NodeLists | None = None) -> None:
        """`shown`: what the score is handed as the cluster, the snapshot itself when nothing else is said."""
        self.snapshot = snapshot
        self._shown: NodeLists = snapshot if shown is None else shown
        self._score = score
        self._score_node = score.score_node if isinstance(score, NodeScore) else None
        self._columns: OrderedDict[int, _Column] = OrderedDict()

    def best(self, pod: PodView) -> int:
        """The feasible node of the highest score, lowest rank on ties; -1 when there is none."""
        if constraints_of(pod.cls).node_names is not None:
            return self._best_named(pod)
        order = self.snapshot.order()
        column = self._current(pod)
        scores = column.scores
        if constraints_of(pod.cls).cluster:
            masked = self._index_by_domain(column, pod)
            if masked is None:
                return self._best_masked(scores, pod, order)
            position = masked.best()
            return order[position] if position >= 0 else -1
        while True:
            position = scores.best()
            if position < 0:
                return -1
            node = order[position]
            if node >= 0:
                return node
            scores.set(position, NEVER)  # a hole: its node has left

    def values(self, pod: PodView, nodes: Int64) -> Float64:
        """Scores of `nodes` as they are now, float64 [len(nodes)]; NEVER where the node does not take the pod."""
        if constraints_of(pod.cls).node_names is not None:
            return checked(self._score.score(pod, self._shown, nodes), len(nodes))
        self.snapshot.order()
        return self._current(pod).scores.column[self.snapshot.positions[nodes]]

    def column(self, pod: PodView) -> Float64:
        """Scores by position, up to date; NEVER where the node does not take the pod, CLUSTER terms aside."""
        self.snapshot.order()
        return self._current(pod).scores.column

    def _current(self, pod: PodView) -> _Column:
        snapshot = self.snapshot
        cls = pod.cls
        column = self._columns.get(cls.id)
        if column is None or column.epoch != snapshot.epoch:
            column = self._anew(pod)
        else:
            self._columns.move_to_end(cls.id)
            version = snapshot.log.version
            if column.seen != version:
                changed = snapshot.log.since(column.seen)
                if changed is None:
                    column = self._anew(pod)
                else:
                    self._refresh(column, pod, changed)
                    column.seen = version
        return column

    def _index_by_domain(self, column: _Column, pod: PodView) -> MaxIndexByDomain | None:
        """The class's scores under the masks of its CLUSTER terms; None where a pass over all nodes is as good."""
        snapshot = self.snapshot
        if snapshot.nominations.by_node:  # they bear on some nodes besides
            return None
        mask = snapshot.verdicts.cluster_scope_mask(pod.cls)
        parts = mask.parts()
        if parts is None:
            return None
        found = column.by_domain
        if found is not None and found[0] is mask and found[1] == tuple(parts) and found[2].sync():
            column.served += 1
            return found[2]
        if found is not None:  # one that lasts for a few decisions only is not worth its making
            column.patience = 0 if column.served >= _WORTH else _WORTH
            column.by_domain = None
        if column.patience:
            column.patience -= 1
            return None
        made = MaxIndexByDomain(snapshot, parts, column.scores.column)
        column.by_domain, column.served = (mask, tuple(parts), made), 0
        return made if made.sync() else None

    def _best_named(self, pod: PodView) -> int:
        """Of a class that names its nodes (a DaemonSet's pod): no column for its sake."""
        nodes = self.snapshot.verdicts.feasible_named_nodes(pod.cls)
        if len(nodes) < 2:
            return nodes[0] if nodes else -1
        scores = checked(self._score.score(pod, self._shown, np.array(nodes)), len(nodes)).tolist()
        return min(
            zip(scores, nodes, strict=True), key=lambda item: (-item[0], int(self.snapshot.rank[item[1]]), item[1])
        )[1]

    def _best_masked(self, scores: MaxIndex, pod: PodView, order: Sequence[int]) -> int:
        """With constraints that look elsewhere the mask moves by itself: one pass over the column."""
        where = self.snapshot.order_column()
        if not len(where):
            return -1  # no node was ever heard of: the scheduler has just started
        allowed = self.snapshot.verdicts.cluster_scope(pod.cls)[where]  # a hole takes what the last node has
        values = np.where(allowed, scores.column[: len(where)], NEVER)
        while True:
            position = int(values.argmax())
            if values[position] == NEVER:
                return -1
            node = order[position]
            if node >= 0:
                return node
            values[position] = NEVER  # a hole: its node has left
            scores.set(position, NEVER)

    def _refresh(self, column: _Column, pod: PodView, changed: list[int]) -> None:
        snapshot = self.snapshot
        if len(changed) > 1:
            changed = list(dict.fromkeys(changed))
        if self._score_node is None or len(changed) > _FEW:
            nodes = np.array(changed, dtype=np.int64)
            positions = snapshot.positions[nodes]
            if positions.min() < 0:  # nodes that have left
                nodes, positions = nodes[positions >= 0], positions[positions >= 0]
            column.set_many(positions, self._values(pod, nodes))
            return
        cls = pod.cls
        spec = snapshot.verdicts.spec_verdicts(cls)
        load = constraints_of(cls).node_usage
        score_node, shown = self._score_node, self._shown
        nominations = snapshot.nominations
        nominated = nominations.by_node if not constraints_of(cls).cluster else {}
        for node in changed:
            position = snapshot.position_of[node]
            if position < 0:
                continue
            value = NEVER
            if spec[node]:
                for term in load:
                    if not term.holds(snapshot, node):
                        break
                else:
                    if not nominated or node not in nominated or nominations.leave_room(cls, node):
                        value = score_node(pod, shown, node)
            column.set(position, value)

    def _values(self, pod: PodView, nodes: Int64) -> Float64:
        """Scores of `nodes`, NEVER where infeasible; only feasible nodes are scored."""
        fits = np.flatnonzero(self.snapshot.verdicts.mask_without_cluster_scope(pod.cls, nodes))
        if len(fits) == len(nodes):
            return checked(self._score.score(pod, self._shown, nodes), len(nodes))
        out = np.full(len(nodes), NEVER)
        if len(fits):
            out[fits] = checked(self._score.score(pod, self._shown, nodes[fits]), len(fits))
        return out

    def _anew(self, pod: PodView) -> _Column:
        snapshot = self.snapshot
        order = np.array(snapshot.order(), dtype=np.int64)
        positions = np.flatnonzero(order >= 0)
        values = np.full(snapshot.room, NEVER)
        values[positions] = self._values(pod, order[positions])
        if constraints_of(pod.cls).refusal:
            values[:] = NEVER
        column = self._columns[pod.cls.id] = _Column(MaxIndex(values), snapshot.epoch, snapshot.log.version)
        self._columns.move_to_end(pod.cls.id)
        limit = max(32, _BUDGET_BYTES // ((32 if constraints_of(pod.cls).cluster else 8) * snapshot.room))
        while len(self._columns) > limit:
            self._columns.popitem(last=False)
        return column


def checked(scores: Float64, count: int, nodes: Int64 | None = None) -> Float64:
    """A user's scores, clipped to finite values (-inf still means feasible).

    Raises ValueError on a wrong shape, on complex numbers, and on NaN at any of `nodes` (None: all).
    """
    if np.iscomplexobj(scores):  # numpy would leave out the imaginary part
        raise ValueError("the score is complex, expected real numbers")
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
