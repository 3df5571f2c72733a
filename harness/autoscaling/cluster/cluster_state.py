"""What the cluster autoscaler knows of the cluster: its watches' events as a snapshot, pools and pending pods."""

from __future__ import annotations

from harness.autoscaling.cluster.pool_state import PoolState
from harness.autoscaling.pool import POOL_LABEL, NodePool
from harness.engine.component import DELETED, MINUTE, Relist, Watch
from harness.model.core import Node, Pod
from harness.model.meta import condition
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.volume_claims import claims_of
from harness.scheduling.pods.requests import bound_devices
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import PodView

DELAY_AFTER_ADD_NS = 10 * MINUTE
"""Source: --scale-down-delay-after-add."""


class ClusterState:
    """`pending`: pods that were told to be unschedulable; `pods`: bound and not ended; both by key."""

    def __init__(self, pools: tuple[NodePool, ...]) -> None:
        self.snapshot = Snapshot()
        self.pools = {pool.name: PoolState(pool) for pool in pools}
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}
        self.pending: dict[str, Pod] = {}
        self.last_add_ns = -DELAY_AFTER_ADD_NS
        self.has_claims = False  # whether any pod had volumes

    def observe(self, now: int, event: Watch) -> None:
        obj = event.obj
        if isinstance(obj, Node):
            if event.type == DELETED:
                self._remove_node(obj)
            else:
                self._update_node(now, obj)
        elif isinstance(obj, Pod):
            self._update_pod(obj, gone=event.type == DELETED)
        else:
            self.snapshot.tables.learn_volumes(obj, gone=event.type == DELETED)

    def missing(self, event: Relist) -> list[Node | Pod]:
        """What is known and not in the list any more."""
        there = {obj.metadata.key: obj.metadata.uid for obj in event.objects}
        known: list[Node | Pod] = []
        if event.kind == "Node":
            known = list(self.nodes.values())
        elif event.kind == "Pod":
            known = [*self.pods.values(), *self.pending.values()]
        return [obj for obj in known if there.get(obj.metadata.key) != obj.metadata.uid]

    def view(self, pod: Pod) -> PodView:
        return self.snapshot.classes.view(pod)

    def pods_on(self, name: str) -> list[Pod]:
        node = self.snapshot.node_table.index.get(name)
        if node is None:
            return []
        return [self.pods[view.key] for view in self.snapshot.pods_on(node) if view.key in self.pods]

    def pool_of(self, node: Node) -> PoolState | None:
        return self.pools.get(node.metadata.labels.get(POOL_LABEL, ""))

    def _remove_node(self, node: Node) -> None:
        name = node.metadata.name
        if self.nodes.pop(name, None) is not None:
            self.snapshot.remove_node(name)
        pool = self.pool_of(node)
        if pool is not None:
            pool.members.pop(name, None)

    def _update_node(self, now: int, node: Node) -> None:
        name = node.metadata.name
        if name in self.nodes:
            self.snapshot.update_node(**node_columns(node))
        else:
            self.snapshot.add_node(**node_columns(node))
            pool = self.pool_of(node)
            if pool is not None:
                pool.members[name] = None
                self.last_add_ns = now
                if pool.requested.pop(name, None) is not None:
                    pool.backoff_ns = 0
        self.nodes[name] = node

    def _update_pod(self, pod: Pod, *, gone: bool) -> None:
        key = pod.metadata.key
        if gone or pod.status.phase in ("Succeeded", "Failed"):
            self.pending.pop(key, None)
            if self.pods.pop(key, None) is not None:
                self.snapshot.forget(key)
            return
        self.has_claims = self.has_claims or bool(claims_of(pod))
        node = pod.spec.node_name
        if node:
            self.pending.pop(key, None)
            if key not in self.pods:
                self.snapshot.assume_on(self.view(pod), node, bound_devices(pod))
            self.pods[key] = pod
            return
        scheduled = condition(pod.status.conditions, "PodScheduled")
        if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
            self.pending[key] = pod
