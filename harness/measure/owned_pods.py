"""How many active pods each owner has, and how many it wants. A pod is active when it has neither ended nor been asked
to go."""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.model.meta import condition
from harness.model.workloads import Deployment, Job, ReplicaSet, ReplicationController, StatefulSet


class CountChange(NamedTuple):
    """What one write did to the counts. `active`: 1 where the pod is active from now on, -1 where it no longer is, else
    0. `owners`: uids of the owners whose counts changed."""

    active: int
    owners: tuple[str, ...]


UNCHANGED = CountChange(0, ())


class OwnedPods:
    """A fold over the writes of pods. `active`: by uid of the owner, '' for pods that nobody owns."""

    def __init__(self) -> None:
        self.active: dict[str, int] = {}
        self._owner_of: dict[str, str] = {}  # by uid of each active pod

    def write(self, change: str, pod: Any) -> CountChange:
        meta = pod.metadata
        before = self._owner_of.get(meta.uid)
        if change == "DELETED" or meta.deletion_timestamp is not None or pod.status.phase in ("Succeeded", "Failed"):
            if before is None:
                return UNCHANGED
            del self._owner_of[meta.uid]
            self.active[before] -= 1
            return CountChange(-1, (before,))
        owner = meta.owner_references[0].uid if meta.owner_references else ""
        if owner == before:
            return UNCHANGED
        self._owner_of[meta.uid] = owner
        self.active[owner] = self.active.get(owner, 0) + 1
        if before is None:  # it is new, or a store that is set back knows of it again
            return CountChange(1, (owner,))
        self.active[before] -= 1  # released or adopted
        return CountChange(0, (before, owner))


def wanted_pods(change: str, owner: Any) -> int | None:
    """How many pods an owner wants after a write: 0 when it is gone, being deleted or complete; None where its spec
    alone does not say so."""
    if change == "DELETED":
        return 0
    if isinstance(owner, ReplicaSet | Deployment | StatefulSet | ReplicationController):
        return 0 if owner.metadata.deletion_timestamp is not None else int(owner.spec.replicas or 0)
    if isinstance(owner, Job):
        complete = condition(owner.status.conditions, "Complete")
        return 0 if complete is not None and complete.status == "True" else None
    return None
