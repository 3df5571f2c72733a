"""Pod garbage collection: pods of nodes that are gone, deleted ones of nodes that somebody says are out of service,
those deleted before they had a node, and the oldest of too many that have ended.

Source: pkg/controller/podgc (1.32): every 20 s; a node must have been gone for 40 s. What could not be deleted is seen
again on the next round.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import msgspec

from harness.controllers.runtime.pods import node_names
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Delete, Instant, Outcome, PatchStatus, next_tick
from harness.model.attachments import OUT_OF_SERVICE
from harness.model.core import Node, Pod
from harness.model.meta import Condition, is_ready, with_condition
from harness.model.wire import Time

_ROUND = "/round"
"""The key of a round; those of single pods are 'namespace/name'."""
_ENDED = ("Succeeded", "Failed")

replaced = msgspec.structs.replace


class PodGarbageCollector(Reconciler):
    phase_ns = 0

    def __init__(self, name: str = "pod-garbage-collector") -> None:
        super().__init__(name, {"Node": self._node_changed, "Pod": self._pod_changed})
        self._pods_on = self.informer.index("Pod", node_names, "spec")
        self._ended = 0
        self._oldest: list[tuple[int, str]] = []  # heap of `_age` of those, and of at most as many that are gone
        self._absent: dict[str, int] = {}  # node: since when
        self._out_of_service: dict[str, None] = {}  # names of nodes that are not ready and have that taint
        self._unscheduled: dict[str, None] = {}  # keys of pods that are going, have not ended, and never had a node

    @property
    def period_ns(self) -> int:
        return self.constants.gc_check_period_ns

    def forget_all(self) -> None:
        super().forget_all()
        self._ended = 0
        self._oldest.clear()
        self._absent.clear()
        self._out_of_service.clear()
        self._unscheduled.clear()

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self._out_of_service.pop(old.metadata.name, None)
            if old.metadata.name in self._pods_on:
                self._absent[old.metadata.name] = self.now
            return
        if old is None:
            self._absent.pop(new.metadata.name, None)
        if any(taint.key == OUT_OF_SERVICE for taint in new.spec.taints) and not is_ready(new.status.conditions):
            self._out_of_service[new.metadata.name] = None
        elif self._out_of_service:
            self._out_of_service.pop(new.metadata.name, None)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        was = old is not None and old.status.phase in _ENDED
        now = new is not None and new.status.phase in _ENDED
        self._ended += now - was
        if new is not None and now and not was:
            heappush(self._oldest, _age(new))
        elif was and not now and len(self._oldest) > 2 * self._ended:
            self._oldest = [each for each in set(self._oldest) if self._ended_of(each) is not None]
            heapify(self._oldest)
        if new is not None and not now and new.metadata.deletion_timestamp is not None and not new.spec.node_name:
            self._unscheduled[new.metadata.key] = None
        elif self._unscheduled:
            gone = old if new is None else new
            assert gone is not None
            self._unscheduled.pop(gone.metadata.key, None)
        if new is None:
            assert old is not None
            if self._absent and old.spec.node_name not in self._pods_on:
                self._absent.pop(old.spec.node_name, None)
        elif old is None or not old.spec.node_name:
            node = new.spec.node_name
            if node and node not in self._absent and self.informer.get("Node", node) is None:
                self._absent[node] = self.now

    def before_reconciling(self, now: Instant) -> None:
        lost = self._absent or self._unscheduled or any(name in self._pods_on for name in self._out_of_service)
        if lost or self._ended > self.constants.terminated_pod_gc_threshold:
            self.queue.add_at(_ROUND, next_tick(now, self.period_ns, self.phase_ns))

    def reconcile(self, now: Instant, key: str) -> None:
        if key != _ROUND or (now - self.phase_ns) % self.period_ns:
            return
        for node in self._out_of_service:
            for pod in self._pods_on[node].values():
                if pod.metadata.deletion_timestamp is not None:
                    self._collect_terminating(pod)
        for node in sorted(self._absent):
            if now - self._absent[node] < self.constants.quarantine_time_ns:
                continue
            for pod in self._pods_on[node].values():
                self._collect_orphan(now, pod)
        for unscheduled in sorted(self._unscheduled):
            self._collect_unscheduled(unscheduled)
        self._collect_oldest(self._ended - self.constants.terminated_pod_gc_threshold)

    def _collect_oldest(self, excess: int) -> None:
        """Source: gcTerminated."""
        taken: dict[tuple[int, str], Pod] = {}
        while len(taken) < excess:
            each = heappop(self._oldest)
            found = self._ended_of(each)
            if found is not None:
                taken[each] = found
        for each, pod in taken.items():
            self._delete(pod)
            heappush(self._oldest, each)  # until it is seen to be gone

    def _ended_of(self, age: tuple[int, str]) -> Pod | None:
        """Of an entry of `_oldest`; None where that pod is gone."""
        found: Pod | None = self.informer.get("Pod", age[1])
        return found if found is not None and found.status.phase in _ENDED and _age(found) == age else None

    def settled(self, now: Instant, key: str, failures: Sequence[Outcome]) -> None:
        """What failed is done again on the next round, which comes as long as anything is left to collect."""

    def _collect_orphan(self, now: int, pod: Pod) -> None:
        """Source: gcOrphaned: marked Failed with a DisruptionTarget, then deleted without grace."""
        if pod.status.phase not in _ENDED:
            target = Condition(
                type="DisruptionTarget",
                status="True",
                reason="DeletionByPodGC",
                message="PodGC: node no longer exists",
                last_transition_time=Time(now),
            )
            conditions = with_condition(pod.status.conditions, target)
            status = replaced(pod.status, phase="Failed", conditions=conditions)
            self.write(_ROUND, PatchStatus(replaced(pod, status=status), pod, _ROUND))
        self._delete(pod)

    def _collect_terminating(self, pod: Pod) -> None:
        """No kubelet will say that it has ended. Source: gcTerminating, for nodes with the out-of-service taint."""
        if pod.status.phase not in _ENDED:
            self.write(_ROUND, PatchStatus(replaced(pod, status=replaced(pod.status, phase="Failed")), pod, _ROUND))
        self._delete(pod)

    def _collect_unscheduled(self, key: str) -> None:
        """Only a finalizer keeps such a pod, and no kubelet will say that it has ended: marked Failed, so that a Job
        counts it and lets it go. Kubernetes deletes it again each round, which changes nothing.

        Source: gcUnscheduledTerminating."""
        pod: Pod = self.informer.get("Pod", key)
        self.write(_ROUND, PatchStatus(replaced(pod, status=replaced(pod.status, phase="Failed")), pod, _ROUND))
        self._delete(pod)

    def _delete(self, pod: Pod) -> None:
        meta = pod.metadata
        self.write(_ROUND, Delete("Pod", meta.namespace, meta.name, uid=meta.uid, grace_s=0, token=_ROUND))


def _age(pod: Pod) -> tuple[int, str]:
    return pod.metadata.creation_timestamp or 0, pod.metadata.key
