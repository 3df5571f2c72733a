"""What runs where, counted for those who ask: pods by selector, by node and by topology domain, kept up to date.

A pod that comes or goes costs the selectors that select it and a domain each, however many pods and nodes there are.
Nothing is counted before a filter or a score first asks; what asks keeps the count from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.scheduling.matching.affinity_terms import LabelKey, label_key
from harness.scheduling.matching.pod_selectors import Labels, Namespaces, PodSelector, SelectorIndex, anchors_of
from harness.scheduling.state.domain_counts import DomainColumn, DomainCounts, DomainIndex, NodeFilter, PodCount
from harness.scheduling.state.node_table import NodeTable
from harness.scheduling.state.placements import Placements
from harness.scheduling.strategy import PodView

_BUDGET_BYTES = 256 << 20  # of counts and masks; beyond it all are dropped, and counted again when asked for


@dataclass(frozen=True, slots=True)
class PodSelection:
    """Pods that all of `selectors` select; `living` leaves out those that are being deleted."""

    selectors: tuple[PodSelector, ...]
    living: bool = False

    def selects(self, namespace: str, labels: Labels, terminating: bool, known: Namespaces) -> bool:
        if self.living and terminating:
            return False
        return all(selector.selects(namespace, labels, known) for selector in self.selectors)


class LabelGroup:
    """The placed pods that no selector can tell apart: equal namespace, labels, and whether they are being deleted."""

    __slots__ = ("counts", "labels", "namespace", "nodes", "terminating")

    def __init__(self, namespace: str, labels: Labels, terminating: bool) -> None:
        self.namespace = namespace
        self.labels = dict(labels)
        self.terminating = terminating
        self.nodes: dict[int, int] = {}
        self.counts: list[PodCount] = []


class PodCounts:
    """The counts of one cluster state. `active` once pods must report to it (the state looks, to keep others fast)."""

    def __init__(self, node_table: NodeTable, namespaces: Namespaces, placements: Placements) -> None:
        self._node_table = node_table
        self._namespaces = namespaces
        self._placements = placements
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
        # What those above keep that follows from the counts, such as live masks; void when `generation` grows.
        self.derived: dict[Any, Any] = {}
        self._columns: dict[int, DomainColumn] = {}
        self._bytes = 0

    # -- what comes and goes --------------------------------------------------------------------------------------

    def add(self, pod: PodView, node: int) -> None:
        for number in pod.affinity_term_ids:
            pod_count = self._carriers.get(number)
            if pod_count is None:
                pod_count = self._carriers[number] = PodCount()
            pod_count.add(node, 1)
        if self.active:
            self._enter(pod, node)

    def remove(self, pod: PodView, node: int) -> None:
        for number in pod.affinity_term_ids:
            self._carriers[number].add(node, -1)
        if self.active:
            group = self._group_of.pop(pod.key)
            left = group.nodes[node] - 1
            if left:
                group.nodes[node] = left
            else:
                del group.nodes[node]
            for pod_count in group.counts:
                pod_count.add(node, -1)
            if not group.nodes:
                self._drop(group)

    def copy_affinity_term_counts(self, other: PodCounts) -> None:
        """Count the carriers of terms as `other` does (a copy of the snapshot); the rest is counted when asked for."""
        for number, pod_count in other._carriers.items():
            mine = self._carriers[number] = PodCount()
            mine.on_node = dict(pod_count.on_node)

    def reset(self) -> None:
        """Everything counted by selector is void: namespaces changed their labels, or there was too much of it."""
        self.generation += 1
        self._bytes = 0
        for group in self._groups.values():
            group.counts.clear()
        for pod_count in self._carriers.values():
            pod_count.domains.clear()
        self._pod_counts.clear()
        self._index = SelectorIndex()
        self._indexes.clear()
        self._domains.clear()
        self.derived.clear()
        self._columns.clear()

    def _enter(self, pod: PodView, node: int) -> None:
        namespace = pod.namespace
        key = (label_key(namespace, pod.labels), pod.terminating)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = LabelGroup(namespace, pod.labels, pod.terminating)
            for pair in group.labels.items():
                self._groups_by_label.setdefault(pair, {})[id(group)] = group
            known = self._namespaces
            for selection, pod_count in self._index.selecting(namespace, group.labels, known):
                if selection.selects(namespace, group.labels, group.terminating, known):
                    group.counts.append(pod_count)
        self._group_of[pod.key] = group
        group.nodes[node] = group.nodes.get(node, 0) + 1
        for pod_count in group.counts:
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

    def count_selected(self, selection: PodSelection) -> PodCount:
        """Pods of `pick` by node, live until `generation` grows."""
        found = self._pod_counts.get(selection)
        if found is not None:
            return found
        if not self.active:
            self.active = True
            for node, pods in enumerate(self._placements.pods):
                for pod in pods:
                    self._enter(pod, node)
        pod_count = self._pod_counts[selection] = PodCount()
        self._index.add(selection.selectors[0], (selection, pod_count))
        known = self._namespaces
        for group in self._candidates(selection.selectors[0]):
            if selection.selects(group.namespace, group.labels, group.terminating, known):
                group.counts.append(pod_count)
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

    def count_with_affinity_term(self, number: int) -> PodCount:
        """Pods that carry the term of this number, by node."""
        return self._carriers.setdefault(number, PodCount())

    def count_by_domain(self, pod_count: PodCount, key: str, node_filter: NodeFilter | None = None) -> DomainCounts:
        """`tally` by the domains of topology `key`, over the nodes of `which` (None: all)."""
        index = self._indexes.get((key, node_filter))
        if index is None:
            index = self._indexes[key, node_filter] = DomainIndex(self._node_table, key, node_filter)
        found = self._domains.get((id(pod_count), id(index)))
        if found is None:
            found = self._domains[id(pod_count), id(index)] = DomainCounts(pod_count, index)
            self._bytes += 8 * len(found.counts)
        return found

    def domain_column(self, domains: DomainCounts) -> DomainColumn:
        """`domains` as a live column, one for all who ask."""
        found = self._columns.get(id(domains))
        if found is None:
            found = self._columns[id(domains)] = DomainColumn(self._node_table, domains)
            self._bytes += 8 * self._node_table.room
        return found

    def trim(self) -> None:
        """Drop everything when there is too much of it: for those who are about to add to it."""
        if self._bytes > _BUDGET_BYTES:
            self.reset()

    def charge(self, size: int) -> None:
        """Bytes of something in `derived`."""
        self._bytes += size
