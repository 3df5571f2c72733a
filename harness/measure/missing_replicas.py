"""How many replicas Deployments and ReplicaSets want and do not have, over time: the backlog of their controllers."""

from __future__ import annotations

from typing import Any


class MissingReplicas:
    """A fold. `log`: (instant, how many are missing from then on)."""

    def __init__(self) -> None:
        self.log: list[tuple[int, int]] = [(0, 0)]
        self._total = 0
        self._wanted: dict[str, int] = {}  # by uid of the ReplicaSet
        self._active: dict[str, int] = {}  # pods neither ended nor told to go, by uid of the owner
        self._gone: set[str] = set()  # of those that were active
        self._replicas: dict[str, int] = {}  # by uid of the Deployment
        self._sets: dict[str, dict[str, None]] = {}  # of a Deployment
        self._short: dict[str, int] = {}  # by uid of either

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod":
            self._pod(at_ns, change, obj)
        elif kind == "ReplicaSet":
            uid = obj.metadata.uid
            self._wanted[uid] = self._wants(change, obj)
            for ref in obj.metadata.owner_references:
                self._sets.setdefault(ref.uid, {})[uid] = None
                self._of_deployment(at_ns, ref.uid)
            self._of_set(at_ns, uid)
        elif kind == "Deployment":
            self._replicas[obj.metadata.uid] = self._wants(change, obj)
            self._of_deployment(at_ns, obj.metadata.uid)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

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

    @staticmethod
    def _wants(change: str, obj: Any) -> int:
        going = change == "DELETED" or obj.metadata.deletion_timestamp is not None
        return 0 if going else int(obj.spec.replicas or 0)

    def _pod(self, at_ns: int, change: str, pod: Any) -> None:
        uid = pod.metadata.uid
        if not pod.metadata.owner_references:
            return
        owner = pod.metadata.owner_references[0].uid
        going = (
            change == "DELETED"
            or pod.status.phase in ("Succeeded", "Failed")
            or pod.metadata.deletion_timestamp is not None
        )
        if not going and (change == "ADDED" or uid in self._gone):  # a store that is set back knows of it again
            self._gone.discard(uid)
            self._active[owner] = self._active.get(owner, 0) + 1
        elif going and uid not in self._gone:
            self._gone.add(uid)
            self._active[owner] = self._active.get(owner, 0) - (change != "ADDED")
        else:
            return
        if owner in self._wanted:
            self._of_set(at_ns, owner)

    def _of_set(self, at_ns: int, uid: str) -> None:
        self._note(at_ns, uid, self._wanted[uid] - self._active.get(uid, 0))

    def _of_deployment(self, at_ns: int, uid: str) -> None:
        """What it wants beyond what its ReplicaSets do: its controller has not looked yet."""
        told = sum(self._wanted[name] for name in self._sets.get(uid, ()))
        self._note(at_ns, uid, self._replicas.get(uid, 0) - told)

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
