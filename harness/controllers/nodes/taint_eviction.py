"""Taint eviction: pods that do not tolerate a node's NoExecute taints go, at once or when their time is up.

Source: pkg/controller/tainteviction.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.engine.component import (
    DELETED,
    SECOND,
    Delete,
    Effect,
    Event,
    Instant,
    Outcome,
    PatchStatus,
    Record,
    Relist,
    Start,
    Timer,
    WakeAt,
    Watch,
)
from harness.model.core import Node, Pod, Taint
from harness.model.meta import Condition, with_condition
from harness.model.wire import Time

RETRY_NS = 10 * SECOND

replaced = msgspec.structs.replace


class TaintEvictionController:
    name = "taint-eviction-controller"
    watches = ("Node", "Pod")

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._taints: dict[str, tuple[Taint, ...]] = {}  # NoExecute, by node
        self._pods: dict[str, dict[str, Pod]] = {}  # by node, by key
        self._due: dict[str, tuple[int, str, str]] = {}  # by key of the pod: (when, uid, node)

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                if type(event.obj) is Pod:
                    self._pod(now, event.type, event.obj, effects)
                elif type(event.obj) is Node:
                    self._node(now, event.type, event.obj, effects)
            elif type(event) is Timer:
                key = event.token
                due = self._due.get(key)
                if due is not None and due[0] <= now:
                    self._evict(now, self._pods.get(due[2], {}).get(key), due[1], effects)
            elif type(event) is Outcome:
                effect, error = event.effect, event.error
                if error is not None and type(effect) is Delete and error.code >= 500:
                    key = f"{effect.namespace}/{effect.name}"
                    self._due[key] = (now + RETRY_NS, effect.uid, effect.token)
                    effects.append(WakeAt(now + RETRY_NS, key))
            elif type(event) is Relist:
                effects += self.step(now, [Watch("ADDED", obj) for obj in event.objects])
            elif type(event) is Start:
                self._reset()
        return effects

    def _pod(self, now: int, change: str, pod: Pod, effects: list[Effect]) -> None:
        node = pod.spec.node_name
        if not node:
            return
        key = pod.metadata.key
        if (
            change == DELETED
            or pod.metadata.deletion_timestamp is not None
            or pod.status.phase in ("Succeeded", "Failed")
        ):
            held = self._pods.get(node)
            if held is not None:
                held.pop(key, None)
            self._due.pop(key, None)
            return
        held = self._pods.setdefault(node, {})
        new = key not in held
        held[key] = pod
        if new:
            taints = self._taints.get(node)
            if taints:
                self._weigh(now, pod, taints, effects)

    def _node(self, now: int, change: str, node: Node, effects: list[Effect]) -> None:
        name = node.metadata.name
        if change == DELETED:
            taints: tuple[Taint, ...] = ()
        else:
            taints = tuple(taint for taint in node.spec.taints if taint.effect == "NoExecute")
        before = self._taints.get(name, ())
        if taints == before:
            return
        if taints:
            self._taints[name] = taints
        else:
            self._taints.pop(name, None)
        for pod in list(self._pods.get(name, {}).values()):
            if taints:
                self._weigh(now, pod, taints, effects)
            elif self._due.pop(pod.metadata.key, None) is not None:
                effects.append(
                    Record(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {pod.metadata.key}")
                )

    def _weigh(self, now: int, pod: Pod, taints: tuple[Taint, ...], effects: list[Effect]) -> None:
        """How long the pod may stay: the least of what its tolerations say. Source: processPodOnNode."""
        key, uid = pod.metadata.key, pod.metadata.uid
        least: int | None = None
        for taint in taints:
            tolerating = [toleration for toleration in pod.spec.tolerations if toleration.tolerates(taint)]
            if not tolerating:
                self._evict(now, pod, uid, effects)
                return
            spans = [t.toleration_seconds for t in tolerating if t.toleration_seconds is not None]
            if spans:
                span = max(min(spans), 0)
                least = span if least is None else min(least, span)
        if least is None:
            self._due.pop(key, None)
            return
        known = self._due.get(key)
        at = now + least * SECOND
        if known is not None and known[0] <= at:
            return  # its time has been running since an earlier taint
        self._due[key] = (at, uid, pod.spec.node_name)
        effects.append(WakeAt(at, key))

    def _evict(self, now: int, pod: Pod | None, uid: str, effects: list[Effect]) -> None:
        if pod is None or pod.metadata.uid != uid:
            return
        key = pod.metadata.key
        self._due.pop(key, None)
        effects.append(Record(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}"))
        target = Condition(
            type="DisruptionTarget",
            status="True",
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            last_transition_time=Time(now),
        )
        conditions = with_condition(pod.status.conditions, target)
        effects.append(PatchStatus(replaced(pod, status=replaced(pod.status, conditions=conditions))))
        meta = pod.metadata
        effects.append(Delete("Pod", meta.namespace, meta.name, uid=uid, token=pod.spec.node_name))
