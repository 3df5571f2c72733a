"""A watcher whose only business is to believe what it is told, so that its view can be held against the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.apiserver.server import ApiServer
from harness.engine.component import DELETED, SECOND, Effect, Event, Instant, Relist, Watch
from harness.model.objects import kind_of
from harness.scheduling.feasibility.snapshot import Snapshot

SETTLED_NS = SECOND
"""A change is acted upon so long after it was heard at most."""


class Auditor:
    name = "auditor"
    watches = ("Node", "Pod")

    def __init__(self) -> None:
        self.view: dict[str, dict[str, str]] = {kind: {} for kind in self.watches}

    def step(self, now: Instant, events: Sequence[Event]) -> Sequence[Effect]:
        for event in events:
            if type(event) is Watch:
                meta = event.obj.metadata
                view = self.view[kind_of(event.obj)]
                if event.type == DELETED:
                    view.pop(meta.key, None)
                else:
                    view[meta.key] = meta.resource_version
            elif isinstance(event, Relist):
                self.view[event.kind] = {obj.metadata.key: obj.metadata.resource_version for obj in event.objects}
        return ()

    def differences(self, server: ApiServer, changed_ns: dict[tuple[str, str], int], settled: Instant) -> list[str]:
        """What it believes and is not so, in words. `changed_ns`: when each object was last written; what changed
        after `settled` may still be on its way."""
        out = []
        for kind in self.watches:
            view, there = self.view[kind], server.objects(kind)
            for key in sorted(set(view) | set(there)):
                if changed_ns.get((kind, key), 0) > settled:
                    continue
                obj = there.get(key)
                truth = None if obj is None else obj.metadata.resource_version
                if view.get(key) != truth:
                    out.append(f"a watcher believes {kind} {key} to be at {view.get(key)}, the store has {truth}")
        return out


def miscounted(snapshot: Snapshot) -> list[str]:
    """Nodes on which the scheduler counts as free what its own list of pods does not leave, in words."""
    out = []
    for name, node in sorted(snapshot.node_table.index.items()):
        left = snapshot.capacity[:, node].copy()
        for pod in snapshot.pods_on(node):
            for row, amount in pod.cls.footprint.amounts:
                left[row] -= amount
        for row in np.flatnonzero(left != snapshot.free[:, node]).tolist():
            is_, told = left[row], snapshot.free[row, node]
            out.append(f"the scheduler counts {told} of {snapshot.resources[row]} free on {name}, its pods leave {is_}")
    return out


class LastWrites:
    """A fold: when each node and pod was last written."""

    kinds = Auditor.watches

    def __init__(self) -> None:
        self.at_ns: dict[tuple[str, str], int] = {}

    def write(self, at_ns: int, kind: str, change: str, obj: object, old: object) -> None:
        if kind in Auditor.watches:
            self.at_ns[(kind, obj.metadata.key)] = at_ns  # type: ignore[attr-defined]

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[object, ...]) -> None:
        pass
