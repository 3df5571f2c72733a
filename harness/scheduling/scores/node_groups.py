"""Nodes grouped by all that a pod's scores look at besides what a node has left, so that a decision costs the groups.

Preferences and soft spreading are normalised over all nodes that fit, so one more pod somewhere moves the score of
every node. But nodes with the same labels, taints and images, and as many pods of interest in their domains, always
score the same: it is enough to normalise over the groups and to take the best node of the best one. What a placement
changes is one node's standing, and the group of the few nodes whose count it moved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TypeAlias

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.matching.affinity_terms import label_key
from harness.scheduling.ranking.max_index import NEVER
from harness.scheduling.ranking.score_table import ScoreTable
from harness.scheduling.scores.plugin import Feature, Rows
from harness.scheduling.state.domain_counts import MANY, DomainCounts
from harness.scheduling.strategy import Float64, Int64, PodView

_MOST_GROUPS = 256
_ROOM = 800_000  # nodes in all groups that are kept
_BITS = 32
_POSITION = (1 << _BITS) - 1
_NOT_THERE = 1  # in place of a key: the node does not take the pod


@dataclass(frozen=True)
class Grouping:
    """When nodes are grouped: from so many nodes on, for pods of which so many alike were decided one by one before."""

    nodes: int = 512
    alike: int = 16


class _Moved:
    """Is told which domains' counts changed."""

    def __init__(self, domains: DomainCounts) -> None:
        self.domains = domains
        self.dirty: list[int] = []
        domains.masks.append(self)


WeightedRows: TypeAlias = tuple[int, Rows]
"""(weight of the plugin, its rows for the pod)."""


class Groups:
    """Of one kind of pod on one snapshot. Positions are those of the tie-break order."""

    def __init__(self, snapshot: Snapshot, plugins: Sequence[WeightedRows], scores: Float64) -> None:
        """`plugins`: all groupable. `scores`: of plugins on the node alone, by position, NEVER where infeasible."""
        self._snapshot = snapshot
        self._made_at = _state(snapshot)
        self._seen = snapshot.log.version
        self.features: list[Feature] = []
        place: dict[Hashable, int] = {}
        self._plugins: list[tuple[int, Rows, list[int]]] = []  # (weight, rows, its features)
        for weight, rows in plugins:
            for feature in rows.features:
                if feature.key not in place:
                    place[feature.key] = len(self.features)
                    self.features.append(feature)
            self._plugins.append((weight, rows, [place[feature.key] for feature in rows.features]))
        self._listeners = [_Moved(f.of_domain) for f in self.features if f.of_domain is not None]
        self._moving = [i for i, f in enumerate(self.features) if f.of_node is not None or f.of_domain is not None]
        self._rows: list[tuple[int, ...]] = []
        self._number: dict[tuple[int, ...], int] = {}
        self._heaps: list[list[int]] = []
        self._count: list[int] = []  # nodes that take the pod, by group
        self._key: list[int] = []  # by position
        self._group: list[int] = []
        self._matrix: Int64 | None = None
        self._live: list[int] = []
        self._make(scores)

    def _make(self, scores: Float64) -> None:
        order = self._snapshot.order_column()
        nodes = np.maximum(order, 0)  # a hole takes the row of some node and no place
        feature_columns = [feature.at(nodes) for feature in self.features]
        numbers = np.zeros(len(order), dtype=np.int64)
        for column in feature_columns:
            values, which = np.unique(column, return_inverse=True)
            numbers = numbers * len(values) + which
            _, numbers = np.unique(numbers, return_inverse=True)
        _, first, numbers = np.unique(numbers, return_index=True, return_inverse=True)
        columns = [column[first].tolist() for column in feature_columns]
        for row in zip(*columns, strict=True) if columns else [()]:
            self._number_of(row)
        standing = scores[: len(order)]
        there = np.flatnonzero((standing > NEVER) & (order >= 0))
        keys = np.full(len(order), _NOT_THERE, dtype=np.int64)
        keys[there] = (-standing[there].astype(np.int64) << _BITS) | there
        self._key, self._group = keys.tolist(), numbers.tolist()
        for position in there.tolist():
            self._heaps[self._group[position]].append(self._key[position])
        for heap in self._heaps:
            heapify(heap)
        self._count = [len(heap) for heap in self._heaps]

    def _number_of(self, row: tuple[int, ...]) -> int:
        number = self._number.get(row)
        if number is None:
            number = self._number[row] = len(self._rows)
            self._rows.append(row)
            self._heaps.append([])
            self._count.append(0)
        return number

    def leave(self) -> None:
        """No count need tell it any more."""
        for listener in self._listeners:
            if listener in listener.domains.masks:
                listener.domains.masks.remove(listener)

    @property
    def many(self) -> bool:
        return len(self._rows) > _MOST_GROUPS

    # -- up to date ---------------------------------------------------------------------------------------------------

    def sync(self, scores: Float64) -> bool:
        """Takes in what changed; False when it is better made anew."""
        snapshot = self._snapshot
        if _state(snapshot) != self._made_at:
            return False
        changed = snapshot.log.since(self._seen)
        if changed is None or len(changed) > 30 + len(snapshot.node_table) // 100 or self.many:
            return False
        nodes = dict.fromkeys(changed)
        for listener in self._listeners:
            if listener.dirty:
                if len(listener.dirty) >= MANY:
                    return False
                members = listener.domains.index.column.members()
                for code in dict.fromkeys(listener.dirty):
                    nodes.update(dict.fromkeys(members[code]))
                listener.dirty.clear()
        self._seen = snapshot.log.version
        for node in nodes:
            self._renew(node, scores)
        return True

    def _renew(self, node: int, scores: Float64) -> None:
        position = self._snapshot.position_of[node]
        value = scores.item(position)
        key = _NOT_THERE if value == NEVER else (-int(value) << _BITS) | position
        before, old = self._key[position], self._group[position]
        group = old
        if self._moving:
            row = list(self._rows[old])
            for at in self._moving:
                feature = self.features[at]
                if feature.of_node is not None:
                    if row[at] >= 0:
                        row[at] = feature.of_node.on_node.get(node, 0)
                elif feature.of_domain is not None and feature.labels is not None:
                    code = feature.labels.codes.item(node)
                    row[at] = feature.of_domain.counts[code] if code >= 0 else 0
            group = self._number_of(tuple(row))
        if key == before and group == old:
            return
        self._key[position], self._group[position] = key, group
        if before != _NOT_THERE:
            self._count[old] -= 1
            if not self._count[old]:
                self._matrix = None
        if key != _NOT_THERE:
            if not self._count[group]:
                self._matrix = None
            self._count[group] += 1
            heap = self._heaps[group]
            heappush(heap, key)
            if len(heap) > 2 * self._count[group] + 64:
                self._heaps[group] = sorted({k for k in heap if self._holds(k, group)})

    def _holds(self, key: int, group: int) -> bool:
        position = key & _POSITION
        return self._key[position] == key and self._group[position] == group

    # -- the choice ---------------------------------------------------------------------------------------------------

    def best(self) -> int:
        """Position of the node of the highest total, the first of equals; -1 where none takes the pod."""
        matrix = self._matrix
        if matrix is None:
            self._live = [number for number, count in enumerate(self._count) if count]
            matrix = self._matrix = np.array([self._rows[number] for number in self._live], dtype=np.int64)
        live = self._live
        if not live:
            return -1
        heads = [self._head(number) for number in live]
        if len(live) == 1:
            return heads[0] & _POSITION
        totals: list[int] = self._besides(matrix).tolist()
        return min((head - (total << _BITS) for head, total in zip(heads, totals, strict=True))) & _POSITION

    def _head(self, number: int) -> int:
        heap = self._heaps[number]
        while True:
            key = heap[0]
            if self._holds(key, number):
                return key
            heappop(heap)

    def _besides(self, matrix: Int64) -> Int64:
        """What the plugins give each group, weighted and added, int64 [groups]."""
        nodes_in_row = np.array([self._count[number] for number in self._live], dtype=np.int64)
        total: Int64 = np.zeros(len(matrix), dtype=np.int64)
        for weight, rows, features in self._plugins:
            found = rows.score([matrix[:, at] for at in features], nodes_in_row)
            if found is not None:
                total += weight * found
        return total


def _state(snapshot: Snapshot) -> tuple[int, ...]:
    """What the groups stand and fall with."""
    classes = snapshot.classes
    return (
        snapshot.epoch,
        snapshot.spec_log.version,
        snapshot.pod_counts.generation,
        snapshot.images.version,
        len(classes.tables.affinity_terms.terms),
        classes.tables.namespaces.version,
        classes.tables.owner_selectors.version,
    )


def kind_of(pod: PodView) -> tuple[object, ...]:
    """Pods of equal kind score alike on every node."""
    return (pod.cls.id, pod.preferences, label_key(pod.namespace, pod.labels), pod.owner)


class _Kind:
    __slots__ = ("alike", "groups")

    def __init__(self) -> None:
        self.alike = 0  # decided one by one since there were groups
        self.groups: Groups | None = None


RowsOf: TypeAlias = Callable[[PodView, Snapshot], "Sequence[WeightedRows] | None"]
"""What the plugins say of a pod, with rows that serve later decisions; None where nodes cannot be grouped for it."""


class GroupCache:
    """Groups by kind of pod, made for those of which many come."""

    _SIZE = 4096

    def __init__(self, rows_of: RowsOf, grouping: Grouping) -> None:
        self._rows_of = rows_of
        self._grouping = grouping
        self._snapshot: Snapshot | None = None
        self._kinds: OrderedDict[tuple[object, ...], _Kind] = OrderedDict()
        self._grouped: OrderedDict[tuple[object, ...], _Kind] = OrderedDict()

    def best(self, snapshot: Snapshot, pod: PodView, table: ScoreTable) -> int | None:
        """The node that wins, -1 where none takes the pod; None where that is to be found one by one."""
        if len(snapshot) < self._grouping.nodes or constraints_of(pod.cls).cluster:
            return None
        if snapshot is not self._snapshot:
            self._snapshot, self._kinds, self._grouped = snapshot, OrderedDict(), OrderedDict()
        key = kind_of(pod)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind()
            if len(self._kinds) > self._SIZE:
                self._drop(*self._kinds.popitem(last=False))
        scores = table.column(pod)
        if kind.groups is not None:
            if kind.groups.sync(scores):
                return self._node(snapshot, kind.groups.best())
            self._drop(key, kind)
        if kind.alike < self._grouping.alike:
            kind.alike += 1
            return None
        kind.alike = 0
        plugins = self._rows_of(pod, snapshot)
        if plugins is None:
            return None
        made = Groups(snapshot, plugins, scores)
        if made.many:
            made.leave()
            return None
        kind.groups = made
        self._grouped[key] = kind
        while len(self._grouped) > max(1, _ROOM // len(snapshot.node_table)):
            self._drop(*next(iter(self._grouped.items())))
        return self._node(snapshot, made.best())

    def _node(self, snapshot: Snapshot, position: int) -> int:
        return snapshot.order()[position] if position >= 0 else -1

    def _drop(self, key: tuple[object, ...], kind: _Kind) -> None:
        if kind.groups is not None:
            kind.groups.leave()
            kind.groups = None
        self._grouped.pop(key, None)
