"""The pods that wait, by class, and which of them fit on a node: looked up at each step of an episode."""

from __future__ import annotations

from itertools import islice

from harness.gym.demands import Demands
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.strategy import PodView


class Waiting:
    """Pods of one class fit on the same nodes, so one of them is checked for all. A class that fits nowhere is closed:
    it is checked again on nodes that pods have left, where there is enough for it now. A class whose constraints depend
    on other pods is checked after each change."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._index: dict[str, int] = {}  # by key: the place in the order of arrival
        self._by_class: dict[int, dict[int, PodView]] = {}  # by class, by place
        self._open: set[int] = set()  # classes that are not closed
        self._closed: set[int] = set()
        self._room: dict[int, list[int]] = {}  # by node that pods have left: closed classes that it has enough for
        self._demands = Demands(snapshot)  # of closed classes, and of some that were
        self._terms = 0  # anti-affinity terms heard of: they split classes
        self.put_off: set[int] = set()  # places of pods that are not offered until something happens

    def add(self, index: int, view: PodView) -> None:
        self._index[view.key] = index
        cls = self._snapshot.classes.class_now(view).id
        pods = self._by_class.setdefault(cls, {})
        if not pods:
            self._open.add(cls)
        pods[index] = view

    def placed(self, view: PodView, node: int) -> int:
        """Removes a pod that has got a node, and returns its place in the order."""
        index = self._index.pop(view.key)
        cls = self._snapshot.classes.class_now(view).id
        pods = self._by_class.get(cls, {})
        if index not in pods:  # its class was split since
            cls, pods = next((cls, pods) for cls, pods in self._by_class.items() if index in pods)
        del pods[index]
        if not pods:
            del self._by_class[cls]
            self._open.discard(cls)
            self._closed.discard(cls)
        if node in self._room:
            self._look_at(node)
        return index

    def put_aside(self, views: list[PodView]) -> None:
        self.put_off.update(self._index[view.key] for view in views)

    def left(self, nodes: list[int]) -> None:
        """Notes that pods have left these nodes."""
        if self._closed:
            for node in nodes:
                self._look_at(node)

    def _look_at(self, node: int) -> None:
        classes = [cls for cls in self._demands.met_on(node) if cls in self._closed]
        if classes:
            self._room[node] = classes
        else:
            self._room.pop(node, None)

    def offered(self, most: int) -> list[PodView]:
        """The first `most` pods, in order of arrival, that fit on a node now."""
        self._regroup()
        if not self._open and not self._room:
            return []
        found: list[dict[int, PodView]] = []
        by_class = self._by_class
        room: dict[int, list[int]] = {}
        for node, classes in self._room.items():
            for cls in classes:
                if cls in self._closed:
                    room.setdefault(cls, []).append(node)
        for _, cls in sorted([(next(iter(by_class[cls])), cls) for cls in (*self._open, *room)]):
            pods = by_class[cls]
            if not self.put_off.issuperset(pods) and self._fits(cls, next(iter(pods.values())), room.get(cls)):
                found.append(pods)
                if most == 1 and not self.put_off:
                    return [next(iter(pods.values()))]
        by_place = {
            index: pods[index] for pods in found for index in islice((i for i in pods if i not in self.put_off), most)
        }
        return [by_place[index] for index in sorted(by_place)[:most]]

    def _fits(self, cls: int, view: PodView, room: list[int] | None) -> bool:
        snapshot = self._snapshot
        if room is not None:
            now = snapshot.classes.class_now(view)
            return any(snapshot.verdicts.holds(now, node) for node in room)
        if snapshot.feasible(view).any():
            return True
        if snapshot.is_independent(view):
            self._open.discard(cls)
            self._closed.add(cls)
            self._demands.add(snapshot.classes.class_now(view))
        return False

    def _regroup(self) -> None:
        terms = self._snapshot.classes.tables.affinity_terms.repelling
        if terms == self._terms:
            return
        self._terms = terms
        views = {index: view for pods in self._by_class.values() for index, view in pods.items()}
        for held in (self._by_class, self._open, self._closed, self._room):
            held.clear()
        for index in sorted(views):
            self.add(index, views[index])
