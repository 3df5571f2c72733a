"""Removing nodes: the taint, the drain with its time limits, the deletion, and what is undone when a drain fails.

Source: cluster-autoscaler core/scaledown/actuation (actuator.go, drain.go, group_deletion_scheduler.go), utils/taints
(1.32).
"""

from __future__ import annotations

import msgspec

from harness.autoscaling.cluster.cluster_state import DELETION_CANDIDATE, TO_BE_DELETED, ClusterState
from harness.autoscaling.cluster.drainability import Blocked, is_daemon, may_evict_daemon
from harness.autoscaling.cluster.scale_down import ScaleDownPlanner
from harness.autoscaling.pool import replaced
from harness.engine.component import SECOND, Delete, Effect, EvictPod, Observe, Record, StopMachine, Update, WakeAt
from harness.model.core import Node, Pod, Taint

EVICTION_RETRY_NS = 10 * SECOND
"""Source: DefaultEvictionRetryTime."""
HEADROOM_NS = 30 * SECOND
"""Source: DefaultPodEvictionHeadroom."""
LOOK_NS = 5 * SECOND
"""How often a drain looks whether its pods are gone. Source: drain.go waitPodsToDisappear."""
DELAY_DELETION = "delay-deletion.cluster-autoscaler.kubernetes.io/"
"""Annotations that begin so ask to wait with the deletion of a drained node. Source: delay.go
DelayDeletionAnnotationPrefix."""
PATIENCE_NS = 60 * SECOND
"""A deletion of which nothing was heard is done again: a write may be lost with the API server that took it."""


class Deletion(msgspec.Struct):
    """A node that goes. `evicting_since`: the first eviction; `evicted_at`: all were taken; `tried_at`: the last
    round of evictions, or the last attempt to delete. `evicting`: uids of the pods that were there at the first."""

    pool: str
    drain: bool
    evicting_since: int = -1
    evicted_at: int = -1
    tried_at: int = -1
    deleting: bool = False
    evicting: frozenset[str] = frozenset()
    delayed_since: int = -1  # an annotation asks to wait


class Actuator:
    def __init__(self, state: ClusterState, planner: ScaleDownPlanner) -> None:
        self._state = state
        self._planner = planner
        self._going: dict[str, Deletion] = {}
        self.last_failure_ns: int | None = None

    @property
    def going(self) -> set[str]:
        return set(self._going)

    @property
    def counts(self) -> tuple[int, int]:
        """(empty nodes, drained nodes) that are going."""
        drained = sum(deletion.drain for deletion in self._going.values())
        return len(self._going) - drained, drained

    def forget(self, name: str) -> None:
        """The node is gone."""
        self._going.pop(name, None)

    def start(self, now: int, name: str, drain: bool, effects: list[Effect]) -> None:
        node = self._state.nodes[name]
        pool = self._state.pool_of(node)
        assert pool is not None, name
        self._going[name] = Deletion(pool.pool.name, drain)
        taint = Taint(key=TO_BE_DELETED, value=str(now // SECOND), effect="NoSchedule")
        kept = tuple(item for item in node.spec.taints if item.key != DELETION_CANDIDATE)
        effects.append(Update(_tainted(node, (*kept, taint)), token=("taint", name)))
        effects.append(Record(node, "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable"))
        effects.append(WakeAt(now + self._state.settings.node_delete_delay_after_taint_ns, ("delete", name)))

    def taint_failed(self, now: int, name: str) -> None:
        """Nothing has happened to the node yet: it is planned anew."""
        deletion = self._going.get(name)
        if deletion is not None and not deletion.deleting:
            self._failed(now, self._going.pop(name))

    def go_on(self, now: int, name: str, effects: list[Effect]) -> None:
        """The next step of a node that goes: called at its timers and at each scan."""
        deletion, node = self._going.get(name), self._state.nodes.get(name)
        if deletion is None or node is None:
            return
        if deletion.deleting:
            if now - deletion.tried_at >= PATIENCE_NS:
                self._delete(now, node, deletion, effects)
            return
        if deletion.delayed_since >= 0:
            self._delete_unless_delayed(now, node, deletion, effects)
            return
        pods = self._planner.pods_to_move(now, name, self._state.remaining_budgets())
        if not deletion.drain:
            if isinstance(pods, Blocked) or pods or self._planner.has_completing(now, name):
                self._undo(now, node, f"node is not empty: {len(self._state.pods_on(name))} pods", effects)
            else:
                self._evict_daemons(name, self._state.settings.daemonset_eviction_for_empty_nodes, effects)
                self._delete_unless_delayed(now, node, deletion, effects)
            return
        self._drain(now, node, deletion, effects)

    def clean_up(self, now: int, effects: list[Effect]) -> None:
        """Taints of nodes that are not going (any more): after a failed drain, or a restart. Level-triggered."""
        for pool in self._state.pools.values():
            for name in pool.members:
                node = self._state.nodes[name]
                if name not in self._going and any(taint.key == TO_BE_DELETED for taint in node.spec.taints):
                    kept = tuple(taint for taint in node.spec.taints if taint.key != TO_BE_DELETED)
                    effects.append(Update(_tainted(node, kept)))

    def mark_candidates(self, now: int, effects: list[Effect]) -> None:
        """A soft taint keeps new pods off unneeded nodes. Source: softtaint.go UpdateSoftDeletionTaints."""
        budget = self._state.settings.max_bulk_soft_taint_count
        unneeded = set(self._planner.unneeded)
        for pool in self._state.pools.values():
            for name in pool.members:
                if budget <= 0:
                    return
                node = self._state.nodes[name]
                marked = any(taint.key == DELETION_CANDIDATE for taint in node.spec.taints)
                if name in self._going or marked == (name in unneeded):
                    continue
                budget -= 1
                kept = tuple(taint for taint in node.spec.taints if taint.key != DELETION_CANDIDATE)
                if not marked:
                    value = str(now // SECOND)
                    kept = (*kept, Taint(key=DELETION_CANDIDATE, value=value, effect="PreferNoSchedule"))
                effects.append(Update(_tainted(node, kept)))

    # -- within --------------------------------------------------------------------------------------------------------

    def _drain(self, now: int, node: Node, deletion: Deletion, effects: list[Effect]) -> None:
        """Those that were there when it began are evicted and waited for. Who tolerates the taint and comes later goes
        with the node. Source: drain.go drainNode, waitPodsToDisappear."""
        name, settings = node.metadata.name, self._state.settings
        if deletion.evicting_since < 0:
            deletion.evicting_since = now
            deletion.evicting = frozenset(
                pod.metadata.uid for pod in self._state.pods_on(name) if not self._stays(now, pod)
            )
            self._evict_daemons(name, settings.daemonset_eviction_for_occupied_nodes, effects)
        pods = [pod for pod in self._state.pods_on(name) if pod.metadata.uid in deletion.evicting]
        if not pods:
            self._delete_unless_delayed(now, node, deletion, effects)
            return
        waiting = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        if waiting:
            if now - deletion.evicting_since >= settings.max_pod_eviction_time_ns:
                keys = ", ".join(pod.metadata.key for pod in waiting)
                self._undo(now, node, f"failed to drain the node, aborting ScaleDown: not evicted: {keys}", effects)
                return
            if deletion.tried_at < 0 or now - deletion.tried_at >= EVICTION_RETRY_NS:
                deletion.tried_at = now
                effects += [self._eviction(pod) for pod in waiting]
        elif deletion.evicted_at < 0:
            deletion.evicted_at = now
        elif now - deletion.evicted_at > settings.max_graceful_termination_s * SECOND + HEADROOM_NS:
            text = "failed to drain the node, aborting ScaleDown: pods remaining after timeout"
            self._undo(now, node, text, effects)
            return
        effects.append(WakeAt(now + LOOK_NS, ("delete", name)))

    def _stays(self, now: int, pod: Pod) -> bool:
        """Whether the drain does not wait for it."""
        budgets = self._state.remaining_budgets()
        return is_daemon(pod) or self._planner.is_ignored(now, pod, budgets)

    def _evict_daemons(self, name: str, by_default: bool, effects: list[Effect]) -> None:
        """Best effort: nobody waits for them."""
        effects += [
            self._eviction(pod)
            for pod in self._state.pods_on(name)
            if is_daemon(pod) and may_evict_daemon(pod, by_default) and pod.metadata.deletion_timestamp is None
        ]

    def _eviction(self, pod: Pod) -> EvictPod:
        meta, most = pod.metadata, self._state.settings.max_graceful_termination_s
        own = pod.spec.termination_grace_period_seconds
        grace = most if own is not None and own > most else None
        return EvictPod(meta.namespace, meta.name, uid=meta.uid, grace_s=grace)

    def _delete_unless_delayed(self, now: int, node: Node, deletion: Deletion, effects: list[Effect]) -> None:
        """Looked at each 5 s, the first time after 5 s. Source: delay.go WaitForDelayDeletion."""
        timeout_ns = self._state.settings.node_deletion_delay_timeout_ns
        asked = any(key.startswith(DELAY_DELETION) for key in node.metadata.annotations)
        if deletion.delayed_since < 0 and asked and timeout_ns:
            deletion.delayed_since = now
        if not asked or not timeout_ns or now - deletion.delayed_since >= timeout_ns:
            self._delete(now, node, deletion, effects)
        else:
            effects.append(WakeAt(now + LOOK_NS, ("delete", node.metadata.name)))

    def _delete(self, now: int, node: Node, deletion: Deletion, effects: list[Effect]) -> None:
        name = node.metadata.name
        if not deletion.deleting:
            self._state.pools[deletion.pool].last_delete_ns = now
            effects.append(Observe("autoscaling", (deletion.pool, "down", 1)))
            effects.append(Record(node, "Normal", "ScaleDown", "node removed by cluster autoscaler"))
        deletion.deleting, deletion.tried_at = True, now
        effects.append(StopMachine(name))
        effects.append(Delete("Node", "", name, uid=node.metadata.uid))

    def _failed(self, now: int, deletion: Deletion) -> None:
        self.last_failure_ns = self._state.pools[deletion.pool].last_failure_ns = now

    def _undo(self, now: int, node: Node, text: str, effects: list[Effect]) -> None:
        self._failed(now, self._going.pop(node.metadata.name))
        effects.append(Record(node, "Warning", "ScaleDownFailed", text))
        kept = tuple(taint for taint in node.spec.taints if taint.key != TO_BE_DELETED)
        effects.append(Update(_tainted(node, kept)))


def _tainted(node: Node, taints: tuple[Taint, ...]) -> Node:
    return replaced(node, spec=replaced(node.spec, taints=taints))
