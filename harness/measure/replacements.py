"""Which new pod replaces which lost one: the next that the owner creates takes the oldest place that is vacant.

Places of a DaemonSet are its nodes: a pod for another node replaces none, and a node that is gone for good needs none.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from harness.measure.fault import Hit
from harness.measure.owned_pods import OwnedPods, wanted_pods
from harness.measure.pods import PodTimes
from harness.model.workloads import DaemonSet


class Replacements:
    """By uid of the owner. `pods`: counts that include the write that is being told of."""

    def __init__(self, pods: OwnedPods) -> None:
        self._pods = pods
        self._wanted: dict[str, int] = {}
        # Places to be filled, oldest first, by uid of the owner and node of a DaemonSet's pod, '' of others.
        self._vacant: dict[str, dict[str, deque[Hit | None]]] = {}
        self._daemon_sets: set[str] = set()
        self._deleted_nodes: set[str] = set()

    def write_owner(self, change: str, owner: Any) -> None:
        """An owner was written. Where it wants fewer pods than before, places that became vacant last are given up."""
        if isinstance(owner, DaemonSet):
            self._daemon_sets.add(owner.metadata.uid)
        wanted = wanted_pods(change, owner)
        if wanted is None:
            return
        uid = owner.metadata.uid
        before, self._wanted[uid] = self._wanted.get(uid), wanted
        if before is not None and wanted >= before:
            return
        missing = max(0, wanted - self._pods.active.get(uid, 0))
        for vacant in self._vacant.get(uid, {}).values():
            while len(vacant) > missing:
                _give_up(vacant.pop())

    def write_node(self, change: str, name: str) -> None:
        """A node was written."""
        if change != "DELETED":
            self._deleted_nodes.discard(name)
            return
        self._deleted_nodes.add(name)
        for uid in self._daemon_sets:
            for hit in self._vacant.get(uid, {}).pop(name, ()):
                _give_up(hit)

    def pod_joined(self, life: PodTimes, node: str) -> None:
        """A pod became active: it takes the oldest vacant place of its owner, if there is one. `node`: that it is for,
        where it says so."""
        vacant = self._vacant.get(life.owner, {}).get(self._place(life.owner, node))
        hit = vacant.popleft() if vacant else None
        if hit is not None:
            hit.new = life

    def pod_left(self, life: PodTimes, hit: Hit | None, *, done: bool) -> bool:
        """A pod ended (`done`: for good) or was asked to go, because of `hit` if a fault did it. Returns whether its
        owner has to create another."""
        wanted = self._wanted.get(life.owner)
        active = self._pods.active.get(life.owner, 0)
        vacant = bool(life.owner) and not done and (wanted is None or active < wanted)
        if life.owner in self._daemon_sets and life.node in self._deleted_nodes:
            vacant = False
        if vacant:
            places = self._vacant.setdefault(life.owner, {})
            places.setdefault(self._place(life.owner, life.node), deque()).append(hit)
        return vacant

    def _place(self, owner: str, node: str) -> str:
        return node if owner in self._daemon_sets else ""


def _give_up(hit: Hit | None) -> None:
    """Nobody has to create a pod in this place any more."""
    if hit is not None:
        hit.needed = False
