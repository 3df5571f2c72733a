"""Places of pods: how many an owner has to have, how many it has, and which are to be filled again."""

from __future__ import annotations

from collections import deque
from typing import Any

from harness.measure.fault import Hit
from harness.measure.pods import PodTimes
from harness.model.meta import condition
from harness.model.workloads import Job, ReplicaSet


class Places:
    """By uid of the owner. `gone`: uids of pods that have ended or were told to go."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self._wanted: dict[str, int] = {}
        self._active: dict[str, int] = {}  # pods that are neither ended nor told to go
        self._vacant: dict[str, deque[Hit | None]] = {}  # places to be filled, in order

    def want(self, change: str, owner: Any) -> None:
        """An owner was written: how many pods it has to have may be another number now."""
        wanted = wanted_of(change, owner)
        if wanted is None:
            return
        uid = owner.metadata.uid
        before, self._wanted[uid] = self._wanted.get(uid), wanted
        vacant = self._vacant.get(uid)
        fewer = before is None or wanted < before
        while vacant and fewer and len(vacant) > max(0, wanted - self._active.get(uid, 0)):
            hit = vacant.pop()
            if hit is not None:
                hit.needed = False

    def fill(self, life: PodTimes) -> None:
        """A pod is there, in the first place that is to be filled."""
        self.gone.discard(life.uid)
        self._active[life.owner] = self._active.get(life.owner, 0) + 1
        vacant = self._vacant.get(life.owner)
        hit = vacant.popleft() if vacant else None
        if hit is not None:
            hit.new = life

    def leave(self, life: PodTimes, hit: Hit | None, *, done: bool) -> bool:
        """A pod has ended (`done`: for good), or was told to go: whether its owner has to make another. `hit`: by which
        fault."""
        self.gone.add(life.uid)
        self._active[life.owner] -= 1
        wanted = self._wanted.get(life.owner)
        vacant = bool(life.owner) and not done and (wanted is None or self._active[life.owner] < wanted)
        if vacant:
            self._vacant.setdefault(life.owner, deque()).append(hit)
        return vacant


def wanted_of(change: str, owner: Any) -> int | None:
    """How many pods an owner has to have: none when it is gone or complete; None where that is not kept here."""
    if change == "DELETED":
        return 0
    if isinstance(owner, ReplicaSet):
        return 0 if owner.metadata.deletion_timestamp is not None else int(owner.spec.replicas or 0)
    if isinstance(owner, Job):
        complete = condition(owner.status.conditions, "Complete")
        return 0 if complete is not None and complete.status == "True" else None
    return None
