"""Pod garbage collection: pods of nodes that are gone, pods that were being deleted unscheduled, and the oldest of
too many that have ended.

Source: pkg/controller/podgc (1.32): every 20 s; a node must have been gone for 40 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

import msgspec

from harness.engine.component import (
    DELETED,
    SECOND,
    Delete,
    Effect,
    Event,
    Instant,
    PatchStatus,
    Relist,
    Start,
    Timer,
    WakeAt,
    Watch,
)
from harness.model.core import Node, Pod
from harness.model.meta import Condition, with_condition
from harness.model.wire import Time

PERIOD_NS = 20 * SECOND
"""Source: gcCheckPeriod."""
QUARANTINE_NS = 40 * SECOND
"""Source: quarantineTime."""
TERMINATED_MOST = 12_500
"""Source: --terminated-pod-gc-threshold."""

replaced = msgspec.structs.replace


class PodGarbageCollector:
    name = "pod-garbage-collector"
    watches = ("Node", "Pod")

    def __init__(self, terminated_most: int = TERMINATED_MOST) -> None:
        self._most = terminated_most
        self._reset()

    def _reset(self) -> None:
        self._nodes: set[str] = set()
        self._on: dict[str, dict[str, Pod]] = {}  # by node
        self._ended: dict[str, Pod] = {}
        self._oldest: list[tuple[int, str]] = []  # heap of (creation, key) of those, and of some that are gone since
        self._absent: dict[str, int] = {}  # node: since when
        self._armed = -1

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                self._hear(now, event)
            elif type(event) is Timer:
                if event.token == self._armed:
                    self._armed = -1
                    self._collect(now, effects)
            elif type(event) is Relist:
                for obj in event.objects:
                    self._hear(now, Watch("ADDED", obj))
            elif type(event) is Start:
                self._reset()
        if self._armed < 0 and (self._absent or len(self._ended) > self._most):
            self._armed = (now // PERIOD_NS + 1) * PERIOD_NS
            effects.append(WakeAt(self._armed, self._armed))
        return effects

    def _hear(self, now: int, event: Watch) -> None:
        obj = event.obj
        if type(obj) is Node:
            name = obj.metadata.name
            if event.type == DELETED:
                self._nodes.discard(name)
                if self._on.get(name):
                    self._absent[name] = now
            else:
                self._nodes.add(name)
                self._absent.pop(name, None)
            return
        pod: Pod = obj
        key, node = pod.metadata.key, pod.spec.node_name
        if event.type == DELETED:
            self._ended.pop(key, None)
            held = self._on.get(node)
            if held is not None:
                held.pop(key, None)
                if not held:
                    del self._on[node]
                    self._absent.pop(node, None)
            return
        if node:
            self._on.setdefault(node, {})[key] = pod
            if node not in self._nodes and node not in self._absent:
                self._absent[node] = now
        if pod.status.phase in ("Succeeded", "Failed"):
            if key not in self._ended:
                heappush(self._oldest, (pod.metadata.creation_timestamp or 0, key))
            self._ended[key] = pod

    def _collect(self, now: int, effects: list[Effect]) -> None:
        for node in sorted(self._absent):
            if now - self._absent[node] < QUARANTINE_NS:
                continue
            for pod in self._on.get(node, {}).values():
                self._orphan(now, pod, effects)
        excess = len(self._ended) - self._most
        if excess > 0:
            taken: list[tuple[int, str]] = []
            while len(taken) < excess:
                entry = heappop(self._oldest)
                found = self._ended.get(entry[1])
                if found is not None and (found.metadata.creation_timestamp or 0) == entry[0]:
                    taken.append(entry)
            for entry in taken:
                effects.append(_delete(self._ended[entry[1]]))
                heappush(self._oldest, entry)  # until it is seen to be gone

    def _orphan(self, now: int, pod: Pod, effects: list[Effect]) -> None:
        """Source: gcOrphaned: marked Failed with a DisruptionTarget, then deleted without grace."""
        if pod.status.phase not in ("Succeeded", "Failed"):
            target = Condition(
                type="DisruptionTarget",
                status="True",
                reason="DeletionByPodGC",
                message="PodGC: node no longer exists",
                last_transition_time=Time(now),
            )
            conditions = with_condition(pod.status.conditions, target)
            status = replaced(pod.status, phase="Failed", conditions=conditions)
            effects.append(PatchStatus(replaced(pod, status=status)))
        effects.append(_delete(pod))


def _delete(pod: Pod) -> Delete:
    meta = pod.metadata
    return Delete("Pod", meta.namespace, meta.name, uid=meta.uid, grace_s=0)
