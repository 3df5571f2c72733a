"""Taint eviction: pods that do not tolerate a node's NoExecute taints go, at once or when their time is up.

Source: pkg/controller/tainteviction (1.32).
"""

from __future__ import annotations

import msgspec

from harness.controllers.runtime.pods import node_names
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import SECOND, Delete, Instant, PatchStatus
from harness.model.core import Node, Pod, Taint
from harness.model.meta import Condition, with_condition
from harness.model.wire import Time

replaced = msgspec.structs.replace


class TaintEvictionController(Reconciler):
    """Keys are 'namespace/name' of pods."""

    def __init__(self, name: str = "taint-eviction-controller") -> None:
        super().__init__(name, {"Node": self._node_changed, "Pod": None})
        self._pods_on = self.informer.index("Pod", node_names, "spec")
        self._taints: dict[str, tuple[Taint, ...]] = {}  # NoExecute, by node
        self._since: dict[str, Instant] = {}  # pods whose time is running, by key

    def forget_all(self) -> None:
        super().forget_all()
        self._taints.clear()
        self._since.clear()
        self.informer.listen("Pod", None)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        node = new if new is not None else old
        assert node is not None
        name = node.metadata.name
        taints = () if new is None else tuple(taint for taint in new.spec.taints if taint.effect == "NoExecute")
        if taints == self._taints.get(name, ()):
            return
        if taints:
            self._taints[name] = taints
        else:
            self._taints.pop(name, None)
        for key in self._pods_on[name]:
            self.queue.add(key)
        # Pods are of no interest as long as no node is tainted.
        self.informer.listen("Pod", self._pod_changed if self._taints else None)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            assert old is not None
            self._since.pop(old.metadata.key, None)
        elif new.spec.node_name in self._taints and (old is None or old.spec is not new.spec):
            self.queue.add(new.metadata.key)

    def reconcile(self, now: Instant, key: str) -> None:
        """Source: processPodOnNode: a pod may stay for the least of what its tolerations say."""
        pod: Pod | None = self.informer.get("Pod", key)
        if pod is None or not _may_be_evicted(pod):
            self._since.pop(key, None)
            return
        taints = self._taints.get(pod.spec.node_name, ())
        stays_s = _stays_s(pod, taints)
        if stays_s is None:
            if self._since.pop(key, None) is not None and not taints:
                self.record(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return
        due = self._since.setdefault(key, now) + stays_s * SECOND  # running since an earlier taint, if there was one
        if now < due:
            self.queue.add_at(key, due)
        else:
            self._evict(now, key, pod)

    def _evict(self, now: int, key: str, pod: Pod) -> None:
        """Source: addConditionAndDeletePod."""
        self.record(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        target = Condition(
            type="DisruptionTarget",
            status="True",
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            last_transition_time=Time(now),
        )
        status = replaced(pod.status, conditions=with_condition(pod.status.conditions, target))
        self.write(key, PatchStatus(replaced(pod, status=status), pod, key))
        meta = pod.metadata
        self.write(key, Delete("Pod", meta.namespace, meta.name, uid=meta.uid, token=key))


def _stays_s(pod: Pod, taints: tuple[Taint, ...]) -> int | None:
    """None: for as long as it likes."""
    least: int | None = None
    for taint in taints:
        tolerating = [toleration for toleration in pod.spec.tolerations if toleration.tolerates(taint)]
        if not tolerating:
            return 0
        spans = [t.toleration_seconds for t in tolerating if t.toleration_seconds is not None]
        if spans:
            span = max(min(spans), 0)
            least = span if least is None else min(least, span)
    return least


def _may_be_evicted(pod: Pod) -> bool:
    if not pod.spec.node_name or pod.metadata.deletion_timestamp is not None:
        return False
    return pod.status.phase not in ("Succeeded", "Failed")
