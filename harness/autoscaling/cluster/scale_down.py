"""Scale-down: which nodes are not needed, and how one is drained and removed.

Source: cluster-autoscaler core/scaledown (planner, unneeded, actuation) and simulator/utilization (1.32).
"""

from __future__ import annotations

from harness.autoscaling.cluster.cluster_state import DELAY_AFTER_ADD_NS, ClusterState
from harness.autoscaling.cluster.pool_state import PoolState
from harness.autoscaling.cluster.scale_up import place
from harness.autoscaling.pool import replaced
from harness.engine.component import MINUTE, SECOND, Delete, Effect, EvictPod, Observe, Record, StopMachine, Update
from harness.model.core import Node, Pod, Taint

UNNEEDED_NS = 10 * MINUTE
"""Source: --scale-down-unneeded-time."""
UTILIZATION_PERCENT = 50
"""Source: --scale-down-utilization-threshold."""
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
"""Taint of a node that is being drained. Source: utils/taints."""


class ScaleDown:
    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._unneeded: dict[str, int] = {}  # node: since when
        self._draining: dict[str, int] = {}  # node: since when
        self._abandoned: dict[str, None] = {}  # tainted nodes that nobody drains: by an autoscaler that was here before

    @property
    def busy(self) -> bool:
        return bool(self._draining or self._abandoned)

    def observe_node(self, node: Node) -> None:
        name = node.metadata.name
        if name not in self._draining and _is_tainted(node):
            self._abandoned[name] = None
        else:
            self._abandoned.pop(name, None)

    def forget(self, name: str) -> None:
        """The node is gone."""
        self._unneeded.pop(name, None)
        self._draining.pop(name, None)
        self._abandoned.pop(name, None)

    def scan(self, now: int, effects: list[Effect]) -> None:
        state = self._state
        for name in self._abandoned:
            # Source: static_autoscaler.go cleanUpIfRequired, taints.CleanAllToBeDeleted.
            node = state.nodes[name]
            kept = tuple(taint for taint in node.spec.taints if taint.key != TO_BE_DELETED)
            effects.append(Update(replaced(node, spec=replaced(node.spec, taints=kept))))
        for name in list(self._draining):
            self.drain(name, effects)
        candidates = [
            (pool, name) for pool in state.pools.values() for name in pool.members if name not in self._draining
        ]
        self._mark_unneeded(now, [name for _, name in candidates])
        if now - state.last_add_ns < DELAY_AFTER_ADD_NS or self._draining:
            return
        for pool, name in candidates:
            since = self._unneeded.get(name)
            if since is None or now - since < UNNEEDED_NS or len(pool.members) <= pool.pool.least:
                continue
            self._start_drain(now, pool, name, effects)
            return  # one that is not empty at a time. Source: --max-drain-parallelism 1

    def _mark_unneeded(self, now: int, names: list[str]) -> None:
        """Judged for all before any is marked: what fits elsewhere is asked of the cluster as it is."""
        needed = {
            name for name in names if self.utilization(name) >= UTILIZATION_PERCENT or not self.fits_elsewhere(name)
        }
        for name in names:
            if name in needed:
                self._unneeded.pop(name, None)
            else:
                self._unneeded.setdefault(name, now)

    def _start_drain(self, now: int, pool: PoolState, name: str, effects: list[Effect]) -> None:
        node = self._state.nodes[name]
        effects.append(Record(node, "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable"))
        effects.append(Observe("autoscaling", (pool.pool.name, "down", 1)))
        self._draining[name] = now
        self.drain(name, effects)

    def drain(self, name: str, effects: list[Effect]) -> None:
        """Taint the node; once it is tainted, evict what is there; once it is empty, remove it. What is refused, by a
        disruption budget or for any other reason, is asked for again by the next scan."""
        if name not in self._draining:
            return
        found = self._state.nodes[name]
        if not _is_tainted(found):
            since = str(self._draining[name] // SECOND)
            taints = (*found.spec.taints, Taint(key=TO_BE_DELETED, value=since, effect="NoSchedule"))
            effects.append(Update(replaced(found, spec=replaced(found.spec, taints=taints)), token=name))
            return
        pods = self._state.pods_on(name)
        for pod in pods:
            if pod.metadata.deletion_timestamp is None:
                meta = pod.metadata
                effects.append(EvictPod(meta.namespace, meta.name, uid=meta.uid))
        if not pods:
            node = self._state.nodes[name]
            effects.append(StopMachine(name))
            effects.append(Delete("Node", "", name, uid=node.metadata.uid))
            effects.append(Record(node, "Normal", "ScaleDown", "node removed by cluster autoscaler"))

    def utilization(self, name: str) -> int:
        """Percent of CPU or memory, whichever is more. Source: simulator/utilization."""
        snapshot = self._state.snapshot
        node = snapshot.node_table.index.get(name)
        if node is None:
            return 100
        out = 0
        for row in (0, 1):
            capacity = int(snapshot.capacity[row, node])
            if capacity:
                out = max(out, (capacity - int(snapshot.free[row, node])) * 100 // capacity)
        return out

    def fits_elsewhere(self, name: str) -> bool:
        state = self._state
        pods = state.pods_on(name)
        if not pods:
            return True
        what_if = state.snapshot.copy()
        what_if.remove_node(name)
        for pod in pods:
            what_if.forget(pod.metadata.key)
        return all(place(what_if, state.view(_unbound(pod))) for pod in pods)


def _is_tainted(node: Node) -> bool:
    return any(taint.key == TO_BE_DELETED for taint in node.spec.taints)


def _unbound(pod: Pod) -> Pod:
    """As it would come to the scheduler again."""
    return replaced(pod, spec=replaced(pod.spec, node_name=""))
