"""What the cluster autoscaler knows of the cluster: its watches' events as a snapshot, pools and pending pods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.autoscaling.cluster.daemon_pods import DaemonPods
from harness.autoscaling.cluster.drainability import RemainingBudgets
from harness.autoscaling.cluster.pool_state import PoolState
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings, names_of
from harness.autoscaling.pool import POOL_LABEL, NodePool, cores_and_memory, replaced
from harness.engine.component import DELETED, Relist, Watch
from harness.model.core import Node, Pod
from harness.model.meta import condition
from harness.model.objects import DaemonSet, PodDisruptionBudget, kind_of
from harness.model.volumes import claims_of
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filter_plugin import FilterPlugin
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.pods.requests import bound_devices
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import PodView

TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
DELETION_CANDIDATE = "DeletionCandidateOfClusterAutoscaler"
"""Taints of a node that goes, and of one that may go soon. Source: utils/taints."""


class ClusterState:
    """`pending`: pods that were told to be unschedulable; `pods`: bound and not ended; both by key.

    `snapshot` leaves out pods below the priority cutoff: they do not keep a place. A pool's node that was never ready
    stands in it as its pool's template says, so that pending pods are placed on it and buy no other.
    """

    def __init__(
        self, pools: tuple[NodePool, ...], settings: ClusterAutoscalerSettings, filters: Sequence[FilterPlugin] = ()
    ) -> None:
        """`filters`: the cluster's Filter plugins of others."""
        self.settings = settings
        self.snapshot = Snapshot(PodClasses(filters=filters))
        self.daemon_pods = DaemonPods(self.snapshot)
        self.pools = {pool.name: PoolState(pool, self._started(pool)) for pool in pools}
        self.nodes: dict[str, Node] = {}
        self.size: Counter[str] = Counter()  # `cores_and_memory` of all of them
        self.pods: dict[str, Pod] = {}
        self.pending: dict[str, Pod] = {}
        self.budgets: dict[str, PodDisruptionBudget] = {}
        self.starting: dict[str, int] = {}  # nodes of pools that were never ready, by name: since when
        self.unready: dict[str, None] = {}  # nodes that are not ready, and were
        self.has_claims = False  # whether any pod had volumes
        self.terminating: dict[str, str] = {}  # bound pods that are being deleted, by key: their node
        self._keys_on: dict[str, dict[str, None]] = {}  # by node: pods, the expendable ones included
        self._unbound: dict[str, tuple[str, PodView]] = {}
        self._others: dict[str, dict[str, Any]] = {}  # DaemonSets and what is known of volumes, by kind, by key

    def _started(self, pool: NodePool) -> NodePool:
        """Its template without taints that are left out of templates. Source: utils/taints SanitizeTaints."""
        spec = pool.template.spec
        kept = tuple(taint for taint in spec.taints if not self.settings.is_left_out(taint.key))
        if kept == spec.taints:
            return pool
        return replaced(pool, template=replaced(pool.template, spec=replaced(spec, taints=kept)))

    def observe(self, now: int, event: Watch) -> None:
        obj, gone = event.obj, event.type == DELETED
        if isinstance(obj, Node):
            if gone:
                self._remove_node(obj)
            else:
                self._update_node(now, obj)
        elif isinstance(obj, Pod):
            self._update_pod(obj, gone=gone)
        elif isinstance(obj, PodDisruptionBudget):
            if gone:
                self.budgets.pop(obj.metadata.key, None)
            else:
                self.budgets[obj.metadata.key] = obj
        else:
            held = self._others.setdefault(kind_of(obj), {})
            if gone:
                held.pop(obj.metadata.key, None)
            else:
                held[obj.metadata.key] = obj
            if not isinstance(obj, DaemonSet):
                self.snapshot.tables.learn_volumes(obj, gone=gone)
            elif gone:
                self.daemon_pods.remove(obj.metadata.key)
            else:
                self.daemon_pods.put(obj)

    def missing(self, event: Relist) -> list[Any]:
        """What is known and not in the list any more."""
        there = {obj.metadata.key: obj.metadata.uid for obj in event.objects}
        known: list[Any] = list(self._others.get(event.kind, {}).values())
        if event.kind == "Node":
            known = list(self.nodes.values())
        elif event.kind == "Pod":
            known = [*self.pods.values(), *self.pending.values()]
        elif event.kind == "PodDisruptionBudget":
            known = list(self.budgets.values())
        return [obj for obj in known if there.get(obj.metadata.key) != obj.metadata.uid]

    def view(self, pod: Pod) -> PodView:
        return self.snapshot.classes.view(pod)

    def unbound_view(self, pod: Pod) -> PodView:
        """As it would come to the scheduler again."""
        key, version = pod.metadata.key, pod.metadata.resource_version
        known = self._unbound.get(key)
        if known is None or known[0] != version:
            view = self.view(replaced(pod, spec=replaced(pod.spec, node_name="")))
            self._unbound[key] = known = (version, view)
        return known[1]

    def pods_on(self, name: str) -> list[Pod]:
        """Bound there and not ended, but for the expendable ones."""
        keys = self._keys_on.get(name, ())
        return [pod for key in keys if not self.is_expendable(pod := self.pods[key])]

    def has_pods(self, name: str) -> bool:
        """Whether `pods_on` has any."""
        return any(not self.is_expendable(self.pods[key]) for key in self._keys_on.get(name, ()))

    def daemon_set(self, key: str) -> DaemonSet | None:
        return self._others.get("DaemonSet", {}).get(key)

    def is_expendable(self, pod: Pod) -> bool:
        return (pod.spec.priority or 0) < self.settings.expendable_pods_priority_cutoff

    def pool_of(self, node: Node) -> PoolState | None:
        return self.pools.get(node.metadata.labels.get(POOL_LABEL, ""))

    def remaining_budgets(self) -> RemainingBudgets:
        return RemainingBudgets(self.budgets)

    @property
    def is_healthy(self) -> bool:
        """Not too many nodes that are not ready. Source: clusterstate.go IsClusterHealthy."""
        unready, settings = len(self.unready), self.settings
        share = settings.max_total_unready_percentage / 100 * len(self.nodes)
        return unready <= settings.ok_total_unready_count or unready <= share

    def settle_starting(self, now: int) -> None:
        """Nodes that were not ready in time are taken as they are."""
        for name, since in list(self.starting.items()):
            if now - since >= self.settings.max_node_startup_time_ns:
                del self.starting[name]
                self.unready[name] = None
                self.snapshot.update_node(**node_columns(self.nodes[name]))

    # -- within --------------------------------------------------------------------------------------------------------

    def _remove_node(self, node: Node) -> None:
        name = node.metadata.name
        known = self.nodes.pop(name, None)
        if known is not None:
            self.size.subtract(cores_and_memory(known))
            self.snapshot.remove_node(name)
        self.starting.pop(name, None)
        self.unready.pop(name, None)
        pool = self.pool_of(node)
        if pool is not None:
            pool.members.pop(name, None)

    def _update_node(self, now: int, node: Node) -> None:
        name = node.metadata.name
        known = self.nodes.get(name)
        new = known is None
        if known is None or known.status.capacity is not node.status.capacity:
            self.size.subtract({} if known is None else cores_and_memory(known))
            self.size.update(cores_and_memory(node))
        pool = self.pool_of(node)
        ready = condition(node.status.conditions, "Ready")
        starting = any(self.settings.is_startup_taint(taint.key) for taint in node.spec.taints)
        if ready is not None and ready.status == "True" and not starting:
            self.starting.pop(name, None)
            self.unready.pop(name, None)
        elif new and pool is not None and pool.awaits(name, now):
            self.starting[name] = now
        elif name not in self.starting:
            self.unready[name] = None
        seen = pool.expected.node(name) if pool is not None and name in self.starting else node
        if not new:
            self.snapshot.update_node(**node_columns(seen))
        else:
            self.snapshot.add_node(**node_columns(seen))
            if pool is not None:
                pool.members[name] = None
                if pool.awaits(name, now):
                    del pool.requested[name]
        self.nodes[name] = node

    def _update_pod(self, pod: Pod, *, gone: bool) -> None:
        key = pod.metadata.key
        before = self.pods.get(key)
        if before is not None and before.spec.node_name != pod.spec.node_name:  # the store was set back
            self._forget_pod(key)
        if gone or pod.status.phase in ("Succeeded", "Failed"):
            self._forget_pod(key)
            return
        self.has_claims = self.has_claims or bool(claims_of(pod))
        node = pod.spec.node_name
        if node:
            self.pending.pop(key, None)
            if key not in self.pods:
                self._keys_on.setdefault(node, {})[key] = None
                if not self.is_expendable(pod):
                    self.snapshot.assume_on(self.view(pod), node, bound_devices(pod))
            elif self.pods[key].metadata.labels != pod.metadata.labels:
                self.snapshot.update_pod(self.view(pod))
            self.pods[key] = pod
            if pod.metadata.deletion_timestamp is not None:
                self.terminating[key] = node
            return
        if self.would_pend(pod):
            self.pending[key] = pod
        else:
            self.pending.pop(key, None)

    def _forget_pod(self, key: str) -> None:
        self.pending.pop(key, None)
        self._unbound.pop(key, None)
        self.terminating.pop(key, None)
        old = self.pods.pop(key, None)
        if old is not None:
            self._keys_on[old.spec.node_name].pop(key, None)
            if not self.is_expendable(old):
                self.snapshot.forget(key)

    def would_pend(self, pod: Pod) -> bool:
        """Whether a pod without a node is one to be helped."""
        return is_unschedulable(pod) or self._is_bypassed(pod)

    def _is_bypassed(self, pod: Pod) -> bool:
        """Whether it is looked at before its scheduler has. Source: SchedulerUnprocessedPods."""
        if pod.spec.scheduling_gates or condition(pod.status.conditions, "PodScheduled") is not None:
            return False
        named = pod.spec.scheduler_name or "default-scheduler"
        return named in names_of(self.settings.bypassed_scheduler_names)


def is_unschedulable(pod: Pod) -> bool:
    """Its scheduler has said so."""
    scheduled = condition(pod.status.conditions, "PodScheduled")
    unbound = not pod.spec.node_name and scheduled is not None
    return bool(unbound and scheduled and scheduled.status == "False" and scheduled.reason == "Unschedulable")
