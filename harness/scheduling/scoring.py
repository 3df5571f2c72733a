"""Scored: a score as a strategy; with an incremental score a decision looks only at the nodes that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from harness.scheduling import gangs
from harness.scheduling.ranking.max_index import NEVER
from harness.scheduling.ranking.score_table import ChoosesDevices, NodeLists, NodeScore, ScoreTable, checked
from harness.scheduling.sandbox.read_only_view import shown_lists, snapshot_of, what_if
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

__all__ = [
    "NOWHERE",
    "ChangedNodes",
    "Choice",
    "ChoosesDevices",
    "NodeLists",
    "NodeScore",
    "PerNode",
    "Scored",
    "one_by_one",
    "what_if",
]

NOWHERE = "no feasible node"
_NO_NODES = np.zeros(0, dtype=np.int64)
_NO_NODES.flags.writeable = False


T = TypeVar("T")


class ChangedNodes:
    """Which nodes changed since a strategy looked last: for what it keeps between its calls."""

    def __init__(self) -> None:
        self._cluster: ClusterView | None = None
        self._version = -1

    def since_last(self, cluster: ClusterView) -> Int64 | None:
        """Column indices, sorted, int64. None for all of them: at the first call, when the change log no longer reaches
        back, and for another view, whose nodes have other indices (the scheduler started again)."""
        version = cluster.version
        if cluster is self._cluster:
            if version == self._version:
                return _NO_NODES
            changed = cluster.changed_since(self._version)
        else:
            changed = None
        self._cluster, self._version = cluster, version
        return changed


class PerNode(Generic[T]):
    """A value that follows from one node's state, computed again only for nodes that changed."""

    def __init__(self, compute: Callable[[ClusterView, int], T]) -> None:
        self._compute = compute
        self._changed = ChangedNodes()
        self._values: list[T] = []

    def sync(self, cluster: ClusterView) -> Sequence[T]:
        """The values by node, up to date."""
        changed = self._changed.since_last(cluster)
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


Choice: TypeAlias = Callable[[PodView], Bind | None]
"""Where one pod goes as the cluster stands, or None."""


def one_by_one(pods: PodBatch, cluster: ClusterView, choose: Choice) -> Iterator[Decision]:
    """A batch decided pod by pod, in order; the pods of a gang are placed together or not at all."""
    passed: set[str] = set()  # groups that had their turn
    for pod in pods:
        if pod.group is not None and pod.group_min > 1:
            if pod.group not in passed:
                passed.add(pod.group)
                yield from _together([other for other in pods if other.group == pod.group], cluster, choose)
            continue
        bind = choose(pod)
        yield Wait(pod, NOWHERE) if bind is None else bind


def _together(members: Sequence[PodView], cluster: ClusterView, choose: Choice) -> Iterator[Decision]:
    """Members are tried one after another, and then decided together.

    Where too few fit in the queue's order, other orders are tried, and at last the first node that fits instead of the
    best: a gang that fits somehow does not wait for ever because its small members like the large nodes.
    """
    wanted = max(members[0].group_min - cluster.placed_in_group(members[0].group or ""), 1)
    binds = _tried(members, cluster, choose)
    if len(members) >= wanted > len(binds):
        orders = list(gangs.other_orders(members, cluster))
        for order in orders:
            if len(binds) < wanted:
                binds = max(binds, _tried(order, cluster, choose), key=len)
        if orders and len(binds) < wanted:
            binds = max(binds, gangs.first_fit(members, cluster), key=len)
    enough = len(binds) >= wanted
    if enough:
        yield BindTogether(tuple(binds))
    bound = {bind.pod.key for bind in binds} if enough else set()
    reason = NOWHERE if enough else f"gang {members[0].group}: {len(binds)} of at least {wanted} fit"
    for pod in members:
        if pod.key not in bound:
            yield Wait(pod, reason)


def _tried(members: Sequence[PodView], cluster: ClusterView, choose: Choice) -> list[Bind]:
    binds: list[Bind] = []
    with what_if(cluster) as trial:
        for pod in members:
            bind = choose(pod)
            done = None if bind is None else trial.bind(bind.pod, bind.node, bind.devices)
            if isinstance(done, Bind):
                binds.append(done)
    return binds


class Scored:
    """A strategy from a score: each pod of the queue goes to the feasible node of the highest score.

    `score`: a function (pod, view) -> float [nodes], called anew for each pod; or an IncrementalScore, whose values are
    kept per pod class and renewed for changed nodes only. Pods of a gang are placed together or not at all.
    """

    def __init__(self, score: ScoreFunction | IncrementalScore, *, batch_size: int = 64) -> None:
        self.score = score
        self.batch_size = batch_size
        self._table: ScoreTable | None = None
        self._choose_devices = score.choose_devices if isinstance(score, ChoosesDevices) else None

    def place(self, pods: PodBatch, cluster: ClusterView, rng: np.random.Generator) -> Iterator[Decision]:
        return one_by_one(pods, cluster, self._chooser(cluster))

    def explain(self, pod: PodView, cluster: ClusterView) -> Mapping[str, Float64]:
        """The score per node, NaN where it does not fit."""
        name = getattr(self.score, "__name__", type(self.score).__name__)
        return {name: np.where(cluster.feasible(pod), self._everywhere(pod, cluster), np.nan)}

    def _chooser(self, cluster: ClusterView) -> Choice:
        score = self.score
        snapshot = snapshot_of(cluster)
        if snapshot is not None and not callable(score):
            if self._table is None or self._table.snapshot is not snapshot:
                self._table = ScoreTable(score, snapshot, shown_lists(cluster))
            best = self._table.best
            devices = self._choose_devices

            def incremental(pod: PodView) -> Bind | None:
                node = best(pod)
                if node < 0:
                    return None
                if devices is None or not pod.cls.gpu.count:
                    return Bind(pod, node)
                return Bind(pod, node, devices(pod, cluster, node))

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
