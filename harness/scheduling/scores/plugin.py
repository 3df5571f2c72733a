"""A Score plugin: its score, its normalisation, what it depends on and how it groups nodes, in one object.

Placing and `explain` ask the same object. What a plugin says here is all that the framework (framework.py) knows of it.
Source of the model: kube-scheduler 1.32 framework/interface.go ScorePlugin, ScoreExtensions, PreScorePlugin.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.domain_counts import DomainCounts, PodCount
from harness.scheduling.state.node_table import LabelColumn
from harness.scheduling.strategy import MAX_NODE_SCORE, DependsOn, Int64, PodView


@dataclass(frozen=True, slots=True)
class Feature:
    """One number by node that a score is computed from, and what can change it.

    `key`: features of equal key are equal. `at`: its values for nodes (int64 indices), int64 [len(nodes)].
    `of_node`: it is the count of these pods on the node itself, unless it is -1. `of_domain` with `labels`: it is the
    count of the node's domain. Neither: it changes with the nodes' specs only.
    """

    key: Hashable
    at: Callable[[Int64], Int64]
    of_node: PodCount | None = None
    of_domain: DomainCounts | None = None
    labels: LabelColumn | None = None


class Rows(Protocol):
    """A plugin's score of one pod, over rows of features: a row is a node, or a group of nodes that score alike.

    `groupable`: nodes with equal features score alike, as long as no node's spec changes.
    """

    @property
    def features(self) -> Sequence[Feature]: ...

    @property
    def groupable(self) -> bool: ...

    def score(self, values: Sequence[Int64], nodes_in_row: Int64) -> Int64 | None:
        """Normalised, int64 [rows], 0..MAX_NODE_SCORE; None where every row scores the same.

        `values`: of each feature, int64 [rows]. `nodes_in_row`: how many nodes each row stands for, int64 [rows].
        """


class NodePlugin:
    """A plugin of this package whose score follows from the pod's class and the node's own columns."""

    name: ClassVar[str]
    depends_on: ClassVar[DependsOn] = DependsOn.NODE

    def score(self, pod: PodView, snapshot: Snapshot, nodes: Int64) -> Int64:
        """int64 [len(nodes)], 0..MAX_NODE_SCORE."""
        raise NotImplementedError

    def score_node(self, pod: PodView, snapshot: Snapshot, node: int) -> int:
        """The same of one node, without numpy."""
        raise NotImplementedError


class RowsPlugin:
    """A plugin of this package whose score is computed from features of the nodes and normalised over them.

    `when_equal`: what every node scores where the pod has no rows, or `Rows.score` is None.
    """

    name: ClassVar[str]
    depends_on: ClassVar[DependsOn]
    when_equal: ClassVar[int] = 0

    def skips(self, pod: PodView, snapshot: Snapshot) -> bool:
        """Whether all nodes score the same for the pod, known without looking at them."""
        return False

    def rows(self, pod: PodView, snapshot: Snapshot, *, grouped: bool) -> Rows | None:
        """None where all nodes score the same. `grouped`: the rows are to serve later decisions as well."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ColumnRows:
    """Rows of one feature, the raw score, that changes only with the nodes' specs."""

    feature: Feature
    normalize: Callable[[Int64], Int64 | None]
    groupable: bool = True

    @property
    def features(self) -> tuple[Feature, ...]:
        return (self.feature,)

    def score(self, values: Sequence[Int64], nodes_in_row: Int64) -> Int64 | None:
        return self.normalize(values[0])


class ColumnCache:
    """Raw scores of all nodes of one snapshot, int64 [nodes], by what they follow from."""

    _SIZE = 64

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._columns: dict[Hashable, Int64] = {}

    def get(self, snapshot: Snapshot, key: Hashable, compute: Callable[[], Int64]) -> Int64:
        if snapshot is not self._snapshot:
            self._snapshot, self._columns = snapshot, {}
        found = self._columns.get(key)
        if found is None:
            if len(self._columns) >= self._SIZE:
                del self._columns[next(iter(self._columns))]
            found = self._columns[key] = compute()
        return found


def share_of_highest(raw: Int64, *, reverse: bool = False) -> Int64:
    """Source: kube-scheduler 1.32 plugins/helper/normalize_score.go DefaultNormalizeScore."""
    highest = int(raw.max(initial=0))
    if highest == 0:
        return np.full(len(raw), MAX_NODE_SCORE if reverse else 0, dtype=np.int64)
    out: Int64 = raw * MAX_NODE_SCORE // highest
    return MAX_NODE_SCORE - out if reverse else out
