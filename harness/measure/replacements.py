"""Which new pod replaces which lost one: the next that the owner creates takes the oldest place that is vacant."""

from __future__ import annotations

from collections import deque
from typing import Any

from harness.measure.fault import Hit
from harness.measure.owned_pods import OwnedPods, wanted_pods
from harness.measure.pods import PodTimes


class Replacements:
    """By uid of the owner. `pods`: counts that include the write that is being told of."""

    def __init__(self, pods: OwnedPods) -> None:
        self._pods = pods
        self._wanted: dict[str, int] = {}
        self._vacant: dict[str, deque[Hit | None]] = {}  # places to be filled, oldest first

    def write_owner(self, change: str, owner: Any) -> None:
        """An owner was written. Where it wants fewer pods than before, places that became vacant last are given up."""
        wanted = wanted_pods(change, owner)
        if wanted is None:
            return
        uid = owner.metadata.uid
        before, self._wanted[uid] = self._wanted.get(uid), wanted
        vacant = self._vacant.get(uid)
        fewer = before is None or wanted < before
        while vacant and fewer and len(vacant) > max(0, wanted - self._pods.active.get(uid, 0)):
            hit = vacant.pop()
            if hit is not None:
                hit.needed = False

    def pod_joined(self, life: PodTimes) -> None:
        """A pod became active: it takes the oldest vacant place of its owner, if there is one."""
        vacant = self._vacant.get(life.owner)
        hit = vacant.popleft() if vacant else None
        if hit is not None:
            hit.new = life

    def pod_left(self, life: PodTimes, hit: Hit | None, *, done: bool) -> bool:
        """A pod ended (`done`: for good) or was asked to go, because of `hit` if a fault did it. Returns whether its
        owner has to create another."""
        wanted = self._wanted.get(life.owner)
        active = self._pods.active.get(life.owner, 0)
        vacant = bool(life.owner) and not done and (wanted is None or active < wanted)
        if vacant:
            self._vacant.setdefault(life.owner, deque()).append(hit)
        return vacant
