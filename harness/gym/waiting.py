"""The pods that wait, by class, and which of them fit on a node: looked up at each step of an episode."""

from __future__ import annotations

from itertools import islice

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import PodView


class Waiting:
    """Pods of one class fit on the same nodes, so one of them is checked for all. A class that fits nowhere is checked
    again when a pod has left a node, on that node only; a class whose constraints depend on other pods, after each
    change."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._index: dict[str, int] = {}  # by key: the place in the order of arrival
        self._by_class: dict[int, dict[int, PodView]] = {}  # by class, by place
        # Classes that had no node when last looked at, and the nodes that pods have left since, which may hold one.
        self._closed: dict[int, list[int]] = {}
        self._shut: set[int] = set()  # those that no pod has left a node for
        self._terms = 0  # anti-affinity terms heard of: they split classes
        self.put_off: set[int] = set()  # places of pods that are not offered until something happens

    def add(self, index: int, view: PodView) -> None:
        self._index[view.key] = index
        cls = self._snapshot.classes.class_now(view).id
        self._by_class.setdefault(cls, {})[index] = view

    def take(self, view: PodView) -> int:
        """Removes a pod, and returns its place in the order."""
        index = self._index.pop(view.key)
        cls = self._snapshot.classes.class_now(view).id
        pods = self._by_class.get(cls, {})
        if index not in pods:  # its class was split since
            cls, pods = next((cls, pods) for cls, pods in self._by_class.items() if index in pods)
        del pods[index]
        if not pods:
            del self._by_class[cls]
            self._closed.pop(cls, None)
            self._shut.discard(cls)
        return index

    def put_aside(self, views: list[PodView]) -> None:
        self.put_off.update(self._index[view.key] for view in views)

    def left(self, nodes: list[int]) -> None:
        """Notes that pods have left these nodes."""
        for since in self._closed.values():
            since += [node for node in nodes if node not in since]
        self._shut.clear()

    def offered(self, most: int) -> list[PodView]:
        """The first `most` pods, in order of arrival, that fit on a node now."""
        self._regroup()
        found: list[dict[int, PodView]] = []
        shut = self._shut
        for _, cls in sorted([(next(iter(pods)), cls) for cls, pods in self._by_class.items() if cls not in shut]):
            pods = self._by_class[cls]
            if not self.put_off.issuperset(pods) and self._fits(cls, next(iter(pods.values()))):
                found.append(pods)
                if most == 1 and not self.put_off:
                    return [next(iter(pods.values()))]
        by_place = {
            index: pods[index] for pods in found for index in islice((i for i in pods if i not in self.put_off), most)
        }
        return [by_place[index] for index in sorted(by_place)[:most]]

    def _fits(self, cls: int, view: PodView) -> bool:
        snapshot = self._snapshot
        nodes = self._closed.get(cls)
        if nodes is not None:
            holds, now = snapshot.verdicts.holds, snapshot.classes.class_now(view)
            while nodes and not holds(now, nodes[-1]):
                nodes.pop()  # until a pod leaves it again
            if not nodes:
                self._shut.add(cls)
            return bool(nodes)
        if snapshot.feasible(view).any():
            return True
        if snapshot.is_independent(view):
            self._closed[cls] = []
            self._shut.add(cls)
        return False

    def _regroup(self) -> None:
        terms = self._snapshot.classes.tables.affinity_terms.repelling
        if terms == self._terms:
            return
        self._terms = terms
        views = {index: view for pods in self._by_class.values() for index, view in pods.items()}
        self._by_class.clear()
        self._closed.clear()
        self._shut.clear()
        for index in sorted(views):
            self.add(index, views[index])
