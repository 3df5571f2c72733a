"""Pods counted by node and by topology domain, kept up to date pod by pod and node by node."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from harness.scheduling.state.node_table import LabelColumn, NodeTable
from harness.scheduling.strategy import Bool, Int64

FEW = 32  # nodes of a domain that turn one by one cheaper than by one numpy pass over all
MANY = 512  # changes after which a mask that nobody looked at is taken anew as a whole


class NodeFilter(Protocol):
    """Which nodes a count looks at; a value."""

    def mask(self, node_table: NodeTable) -> Bool:
        """bool [nodes]."""

    def holds(self, node_table: NodeTable, node: int) -> bool: ...


class PodCount:
    """How many of some pods run on each node."""

    __slots__ = ("_column", "domains", "on_node")

    def __init__(self) -> None:
        self.on_node: dict[int, int] = {}
        self.domains: list[DomainCounts] = []
        self._column: Int64 | None = None

    def add(self, node: int, change: int) -> None:
        on_node = self.on_node
        count = on_node.get(node, 0) + change
        if count:
            on_node[node] = count
        else:
            del on_node[node]
        column = self._column
        if column is not None and node < len(column):
            column[node] = count
        for domains in self.domains:
            domains.add(node, change)

    def column(self, room: int) -> Int64:
        """The same as a column, int64 [room], live until the room changes."""
        column = self._column
        if column is None or len(column) != room:
            column = self._column = np.zeros(room, dtype=np.int64)
            for node, count in self.on_node.items():
                column[node] = count
        return column


class DomainIndex:
    """Which domain of a topology key each node is in: `code_of` by node, the label column's code, -1 for none.

    Shared by all counts over the same nodes. `stamp` grows with each change.
    """

    def __init__(self, node_table: NodeTable, key: str, node_filter: NodeFilter | None) -> None:
        self._node_table = node_table
        self._node_filter = node_filter
        self.column: LabelColumn = node_table.label_column(key)
        self.counted: list[DomainCounts] = []
        self.stamp = 0
        self._seen = node_table.log.version
        n = len(node_table)
        codes = self.column.codes[:n]
        self.code_of: list[int] = (
            codes if node_filter is None else np.where(node_filter.mask(node_table), codes, -1)
        ).tolist()
        self.nodes_in: list[int] = np.bincount(
            np.array(self.code_of, dtype=np.int64) + 1, minlength=len(self.column.values) + 1
        )[1:].tolist()

    def sync(self) -> None:
        node_table = self._node_table
        version = node_table.log.version
        if self._seen == version:
            return
        changed = node_table.log.since(self._seen)
        self._seen = version
        self.stamp += 1
        n = len(node_table)
        self.code_of.extend([-1] * (n - len(self.code_of)))
        self.nodes_in.extend([0] * (len(self.column.values) - len(self.nodes_in)))
        codes, node_filter = self.column.codes, self._node_filter
        for node in range(n) if changed is None else dict.fromkeys(changed):
            new = int(codes[node])
            if new >= 0 and node_filter is not None and not node_filter.holds(node_table, node):
                new = -1
            old = self.code_of[node]
            if new == old:
                continue
            self.code_of[node] = new
            if old >= 0:
                self.nodes_in[old] -= 1
            if new >= 0:
                self.nodes_in[new] += 1
            for domains in self.counted:
                domains.node_moved(node, old, new)


class CountListener(Protocol):
    """Is told, by code, which domains' counts changed."""

    dirty: list[int]


class DomainCounts:
    """A tally by domain: `counts` by label code; `total` over all of them.

    The lowest count of the domains that have a node is kept by a histogram of the counts.
    """

    def __init__(self, pod_count: PodCount, index: DomainIndex) -> None:
        index.sync()
        self.pod_count = pod_count
        self.index = index
        self.counts = [0] * len(index.nodes_in)
        self.total = 0
        self.masks: list[CountListener] = []
        self._histogram: dict[int, int] = {}
        self._least = 0
        self._stale = True
        for node, count in pod_count.on_node.items():
            code = index.code_of[node]
            if code >= 0:
                self.counts[code] += count
                self.total += count
        index.counted.append(self)
        pod_count.domains.append(self)

    def add(self, node: int, change: int) -> None:
        code_of = self.index.code_of
        if node >= len(code_of):  # a node that came since: the tally has counted the pod already
            self.index.sync()
            code = self.index.code_of[node]
            if code >= 0:
                self._recount(code, self.index.code_of)
            return
        code = code_of[node]
        if code < 0:
            return
        counts = self.counts
        old = counts[code]
        new = counts[code] = old + change
        self.total += change
        if not self._stale:
            histogram = self._histogram
            histogram[old] -= 1
            histogram[new] = histogram.get(new, 0) + 1
            if new < self._least:
                self._least = new
            elif old == self._least:
                least = old
                while not histogram.get(least):
                    least += 1
                self._least = least
        for mask in self.masks:
            if len(mask.dirty) < MANY:
                mask.dirty.append(code)

    def _recount(self, code: int, code_of: list[int]) -> None:
        """`node_moved` may or may not have seen the pod: the domain is counted from its nodes."""
        self._fit()
        fresh = sum(count for node, count in self.pod_count.on_node.items() if code_of[node] == code)
        self.total += fresh - self.counts[code]
        self.counts[code] = fresh
        self._stale = True

    def node_moved(self, node: int, old: int, new: int) -> None:
        self._fit()
        self._stale = True
        count = self.pod_count.on_node.get(node, 0)
        if not count:
            return
        if old >= 0:
            self.counts[old] -= count
            self.total -= count
        if new >= 0:
            self.counts[new] += count
            self.total += count

    def sync(self) -> None:
        self.index.sync()
        if len(self.counts) < len(self.index.nodes_in):
            self._fit()

    def _fit(self) -> None:
        self.counts.extend([0] * (len(self.index.nodes_in) - len(self.counts)))

    def min_count(self) -> int:
        """The lowest count of a domain that has a node; 0 when none has. Call `sync` first."""
        if self._stale:
            histogram: dict[int, int] = {}
            for count, nodes in zip(self.counts, self.index.nodes_in, strict=True):
                if nodes:
                    histogram[count] = histogram.get(count, 0) + 1
            self._histogram = histogram
            self._least = min(histogram, default=0)
            self._stale = False
        return self._least

    def domain_count(self) -> int:
        """Domains that have a node."""
        if self._stale:
            self.min_count()
        return sum(self._histogram.values())


class DomainColumn:
    """The count of each node's domain, int64 [nodes]; 0 where the node lacks the topology label."""

    def __init__(self, node_table: NodeTable, domains: DomainCounts) -> None:
        self._node_table = node_table
        self._domains = domains
        self._column = domains.index.column
        self._seen = -1
        self._values: Int64 = np.zeros(0, dtype=np.int64)
        self.dirty: list[int] = []
        domains.masks.append(self)

    def now(self) -> Int64:
        """Up to date; valid until the next change."""
        domains = self._domains
        domains.sync()
        dirty, n = self.dirty, len(self._node_table)
        specs = self._node_table.log.version
        if specs != self._seen or len(dirty) >= MANY:
            self._seen = specs
            self._take(n)
        elif dirty:
            members = self._column.members()
            if any(len(members[code]) > FEW for code in dirty):
                self._take(n)
            else:
                for code in dirty:
                    for node in members[code]:
                        self._values[node] = domains.counts[code]
        if dirty:
            dirty.clear()
        return self._values[:n]

    def _take(self, n: int) -> None:
        counts = self._domains.counts
        by_code = np.zeros(max(len(counts), len(self._column.values)) + 1, dtype=np.int64)  # code -1 picks the last
        by_code[: len(counts)] = counts
        self._values = by_code[self._column.codes[:n]]
