"""How many replicas Deployments and ReplicaSets want and do not have, over time: the backlog of their controllers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.measure.owned_pods import OwnedPods, wanted_pods


class MissingReplicas:
    """A fold over ReplicaSets and Deployments, beside the counts of their pods. `log`: (instant, how many are missing
    from then on)."""

    def __init__(self, pods: OwnedPods) -> None:
        """`pods`: the counts, which are to include a write of a pod before `pods_changed` is told of it."""
        self.log: list[tuple[int, int]] = [(0, 0)]
        self._pods = pods
        self._total = 0
        self._wanted: dict[str, int] = {}  # by uid of the ReplicaSet
        self._replicas: dict[str, int] = {}  # by uid of the Deployment
        self._sets: dict[str, dict[str, None]] = {}  # of a Deployment
        self._short: dict[str, int] = {}  # by uid of either

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "ReplicaSet":
            uid = obj.metadata.uid
            self._wanted[uid] = wanted_pods(change, obj) or 0
            for ref in obj.metadata.owner_references:
                self._sets.setdefault(ref.uid, {})[uid] = None
                self._note_deployment(at_ns, ref.uid)
            self._note_set(at_ns, uid)
        elif kind == "Deployment":
            self._replicas[obj.metadata.uid] = wanted_pods(change, obj) or 0
            self._note_deployment(at_ns, obj.metadata.uid)

    def pods_changed(self, at_ns: int, owners: Iterable[str]) -> None:
        """The owners of these uids have more or fewer active pods than before."""
        for uid in owners:
            if uid in self._wanted:
                self._note_set(at_ns, uid)

    def at(self, at_ns: int) -> int:
        """How many were missing at an instant, with all that happened then."""
        return next((count for since, count in reversed(self.log) if since <= at_ns), 0)

    def made_up_for(self, since_ns: int) -> tuple[int | None, int | None]:
        """(when the first of them came, when none was missing any more), from an instant on; None: never."""
        first = None
        before = self.at(since_ns)
        if not before:
            return since_ns, since_ns
        for at, count in self.log:
            if at <= since_ns:
                continue
            if first is None and count < before:
                first = at
            if not count:
                return first, at
            before = count
        return first, None

    def _note_set(self, at_ns: int, uid: str) -> None:
        self._note(at_ns, uid, self._wanted[uid] - self._pods.active.get(uid, 0))

    def _note_deployment(self, at_ns: int, uid: str) -> None:
        """What it wants beyond what its ReplicaSets want: its controller has not reconciled it yet."""
        in_sets = sum(self._wanted[name] for name in self._sets.get(uid, ()))
        self._note(at_ns, uid, self._replicas.get(uid, 0) - in_sets)

    def _note(self, at_ns: int, uid: str, short: int) -> None:
        short = max(0, short)
        changed = short - self._short.get(uid, 0)
        if not changed:
            return
        self._short[uid] = short
        self._total += changed
        if self.log[-1][0] == at_ns:
            self.log[-1] = (at_ns, self._total)
        else:
            self.log.append((at_ns, self._total))
