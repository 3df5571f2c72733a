"""What runs where, counted for those who ask: pods by selector, by node and by topology domain, kept up to date.

A pod that comes or goes costs the selectors that select it and a domain each, however many pods and nodes there are.
Nothing is counted before a constraint or a score first asks; what asks keeps the count from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from harness.scheduling.matching.affinity_terms import LabelKey, label_key
from harness.scheduling.matching.pod_selectors import Labels, Namespaces, PodSelector, SelectorIndex, anchors_of

if TYPE_CHECKING:
    from harness.scheduling.feasibility.snapshot import Snapshot
    from harness.scheduling.filters.live_masks import NodeMask
    from harness.scheduling.state.node_table import LabelColumn
    from harness.scheduling.strategy import Bool, Int64, PodView

_BUDGET_BYTES = 256 << 20  # of counts and masks; beyond it all are dropped, and counted again when asked for
FEW = 32  # nodes of a domain that turn one by one cheaper than by one numpy pass over all
MANY = 512  # changes after which a mask that nobody looked at is taken anew as a whole


@dataclass(frozen=True, slots=True)
class PodSelection:
    """Pods that all of `selectors` select; `living` leaves out those that are being deleted."""

    selectors: tuple[PodSelector, ...]
    living: bool = False

    def selects(self, namespace: str, labels: Labels, terminating: bool, known: Namespaces) -> bool:
        if self.living and terminating:
            return False
        return all(selector.selects(namespace, labels, known) for selector in self.selectors)


class NodeFilter(Protocol):
    """Which nodes a count looks at; a value."""

    def mask(self, state: Snapshot) -> Bool:
        """bool [nodes]."""

    def holds(self, state: Snapshot, node: int) -> bool: ...


class LabelGroup:
    """The placed pods that no selector can tell apart: equal namespace, labels, and whether they are being deleted."""

    __slots__ = ("labels", "namespace", "nodes", "pod_counts", "terminating")

    def __init__(self, namespace: str, labels: Labels, terminating: bool) -> None:
        self.namespace = namespace
        self.labels = dict(labels)
        self.terminating = terminating
        self.nodes: dict[int, int] = {}
        self.pod_counts: list[PodCount] = []


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

    def __init__(self, state: Snapshot, key: str, node_filter: NodeFilter | None) -> None:
        self._state = state
        self._node_filter = node_filter
        self.column: LabelColumn = state.node_table.label_column(key)
        self.counted: list[DomainCounts] = []
        self.stamp = 0
        self._seen = state.spec_log.version
        n = len(state.node_table)
        codes = self.column.codes[:n]
        self.code_of: list[int] = (
            codes if node_filter is None else np.where(node_filter.mask(state), codes, -1)
        ).tolist()
        self.nodes_in: list[int] = np.bincount(
            np.array(self.code_of, dtype=np.int64) + 1, minlength=len(self.column.values) + 1
        )[1:].tolist()

    def sync(self) -> None:
        state = self._state
        version = state.spec_log.version
        if self._seen == version:
            return
        changed = state.spec_log.since(self._seen)
        self._seen = version
        self.stamp += 1
        n = len(state.node_table)
        self.code_of.extend([-1] * (n - len(self.code_of)))
        self.nodes_in.extend([0] * (len(self.column.values) - len(self.nodes_in)))
        codes, node_filter = self.column.codes, self._node_filter
        for node in range(n) if changed is None else dict.fromkeys(changed):
            new = int(codes[node])
            if new >= 0 and node_filter is not None and not node_filter.holds(state, node):
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

    def least(self) -> int:
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

    def there(self) -> int:
        """Domains that have a node."""
        if self._stale:
            self.least()
        return sum(self._histogram.values())


class DomainColumn:
    """The count of each node's domain, int64 [nodes]; 0 where the node lacks the topology label."""

    def __init__(self, state: Snapshot, domains: DomainCounts) -> None:
        self._state = state
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
        dirty, n = self.dirty, len(self._state.node_table)
        specs = self._state.spec_log.version
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


class PodCounts:
    """The counts of one snapshot. `active` once pods must report to it (the snapshot looks, to keep others fast)."""

    def __init__(self, state: Snapshot) -> None:
        self._state = state
        self.generation = 0  # grows when every count and mask handed out is void
        self.active = False
        self._groups: dict[tuple[LabelKey, bool], LabelGroup] = {}
        self._group_of: dict[str, LabelGroup] = {}
        self._groups_by_label: dict[tuple[str, str], dict[int, LabelGroup]] = {}
        self._pod_counts: dict[PodSelection, PodCount] = {}
        self._index: SelectorIndex[tuple[PodSelection, PodCount]] = SelectorIndex()
        self._carriers: dict[int, PodCount] = {}
        self._indexes: dict[tuple[str, NodeFilter | None], DomainIndex] = {}
        self._domains: dict[tuple[int, int], DomainCounts] = {}
        self._masks: dict[Any, NodeMask] = {}
        self._columns: dict[int, DomainColumn] = {}
        self._bytes = 0

    # -- what comes and goes --------------------------------------------------------------------------------------

    def put(self, pod: PodView, node: int) -> None:
        for number in pod.affinity_term_ids:
            pod_count = self._carriers.get(number)
            if pod_count is None:
                pod_count = self._carriers[number] = PodCount()
            pod_count.add(node, 1)
        if self.active:
            self._enter(pod, node)

    def take(self, pod: PodView, node: int) -> None:
        for number in pod.affinity_term_ids:
            self._carriers[number].add(node, -1)
        if self.active:
            group = self._group_of.pop(pod.key)
            left = group.nodes[node] - 1
            if left:
                group.nodes[node] = left
            else:
                del group.nodes[node]
            for pod_count in group.pod_counts:
                pod_count.add(node, -1)
            if not group.nodes:
                self._drop(group)

    def carry_on(self, other: PodCounts) -> None:
        """Count the carriers of terms as `other` does (a copy of the snapshot); the rest is counted when asked for."""
        for number, pod_count in other._carriers.items():
            mine = self._carriers[number] = PodCount()
            mine.on_node = dict(pod_count.on_node)

    def reset(self) -> None:
        """Everything counted by selector is void: namespaces changed their labels, or there was too much of it."""
        self.generation += 1
        self._bytes = 0
        for group in self._groups.values():
            group.pod_counts.clear()
        for pod_count in self._carriers.values():
            pod_count.domains.clear()
        self._pod_counts.clear()
        self._index = SelectorIndex()
        self._indexes.clear()
        self._domains.clear()
        self._masks.clear()
        self._columns.clear()

    def _enter(self, pod: PodView, node: int) -> None:
        namespace = pod.namespace
        key = (label_key(namespace, pod.labels), pod.terminating)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = LabelGroup(namespace, pod.labels, pod.terminating)
            for pair in group.labels.items():
                self._groups_by_label.setdefault(pair, {})[id(group)] = group
            known = self._state.classes.namespaces
            for selection, pod_count in self._index.selecting(namespace, group.labels, known):
                if selection.selects(namespace, group.labels, group.terminating, known):
                    group.pod_counts.append(pod_count)
        self._group_of[pod.key] = group
        group.nodes[node] = group.nodes.get(node, 0) + 1
        for pod_count in group.pod_counts:
            pod_count.add(node, 1)

    def _drop(self, group: LabelGroup) -> None:
        """Nobody of it runs any more; a pod that comes later makes it again."""
        del self._groups[label_key(group.namespace, group.labels), group.terminating]
        for pair in group.labels.items():
            same = self._groups_by_label[pair]
            del same[id(group)]
            if not same:
                del self._groups_by_label[pair]

    # -- what is asked --------------------------------------------------------------------------------------------

    def count(self, selection: PodSelection) -> PodCount:
        """Pods of `pick` by node, live until `generation` grows."""
        found = self._pod_counts.get(selection)
        if found is not None:
            return found
        if not self.active:
            self.active = True
            for node, pods in enumerate(self._state.placed()):
                for pod in pods:
                    self._enter(pod, node)
        pod_count = self._pod_counts[selection] = PodCount()
        self._index.add(selection.selectors[0], (selection, pod_count))
        known = self._state.classes.namespaces
        for group in self._candidates(selection.selectors[0]):
            if selection.selects(group.namespace, group.labels, group.terminating, known):
                group.pod_counts.append(pod_count)
                for node, count in group.nodes.items():
                    pod_count.on_node[node] = pod_count.on_node.get(node, 0) + count
        return pod_count

    def _candidates(self, selector: PodSelector) -> list[LabelGroup]:
        if selector.labels is None:
            return []
        anchors = anchors_of(selector)
        if anchors is None:
            return list(self._groups.values())
        return [group for pair in anchors for group in self._groups_by_label.get(pair, {}).values()]

    def carriers(self, number: int) -> PodCount:
        """Pods that carry the term of this number, by node."""
        return self._carriers.setdefault(number, PodCount())

    def domains(self, pod_count: PodCount, key: str, node_filter: NodeFilter | None = None) -> DomainCounts:
        """`tally` by the domains of topology `key`, over the nodes of `which` (None: all)."""
        index = self._indexes.get((key, node_filter))
        if index is None:
            index = self._indexes[key, node_filter] = DomainIndex(self._state, key, node_filter)
        found = self._domains.get((id(pod_count), id(index)))
        if found is None:
            found = self._domains[id(pod_count), id(index)] = DomainCounts(pod_count, index)
            self._bytes += 8 * len(found.counts)
        return found

    def column(self, domains: DomainCounts) -> DomainColumn:
        """`domains` as a live column, one for all who ask."""
        found = self._columns.get(id(domains))
        if found is None:
            found = self._columns[id(domains)] = DomainColumn(self._state, domains)
            self._bytes += 8 * self._state.room
        return found

    def trim(self) -> None:
        """Drops everything when there is too much of it; a score calls it before it asks for columns."""
        if self._bytes > _BUDGET_BYTES:
            self.reset()

    def mask(self, term: HasNodeMask) -> NodeMask:
        """The live mask of a term, one for all who ask; valid until `generation` grows."""
        found = self._masks.get(term)
        if found is None:
            self.trim()
            found = self._masks[term] = term.live(self._state)
            self._bytes += self._state.room
        return found


@runtime_checkable
class HasNodeMask(Protocol):
    """A CLUSTER term whose verdicts are kept live."""

    def live(self, state: Snapshot) -> NodeMask:
        """Where it holds, kept up to date."""
