"""The cluster autoscaler: node pools that grow for pods that fit nowhere, and shrink when nodes are not needed.

Source: kubernetes/autoscaler cluster-autoscaler (FAQ and core/static_autoscaler.go). Whether a pod would fit is asked
of the scheduler's own snapshot and constraints, on a copy to which the nodes of a pool are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from harness.engine.component import (
    DELETED,
    MINUTE,
    SECOND,
    Delete,
    Effect,
    Event,
    EvictPod,
    Instant,
    Observe,
    Outcome,
    Record,
    Relist,
    Start,
    StartMachine,
    StopMachine,
    Subscribe,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.engine.latency import Latency
from harness.model.core import Node, Pod, Taint
from harness.model.meta import condition
from harness.scheduling.cycle.volume_binder import WATCHES as VOLUMES
from harness.scheduling.feasibility import legality
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filters.volumes import claims_of
from harness.scheduling.pods.pod_classes import bound_devices, node_columns
from harness.scheduling.strategy import Bind, PodView

SCAN_NS = 10 * SECOND
"""Source: --scan-interval."""
UNNEEDED_NS = 10 * MINUTE
"""Source: --scale-down-unneeded-time."""
UTILIZATION_PERCENT = 50
"""Source: --scale-down-utilization-threshold."""
DELAY_AFTER_ADD_NS = 10 * MINUTE
"""Source: --scale-down-delay-after-add."""
PROVISION_NS = 15 * MINUTE
"""Source: --max-node-provision-time."""
BACKOFF_FIRST_NS, BACKOFF_MOST_NS = 5 * MINUTE, 30 * MINUTE
"""Source: --initial-node-group-backoff-duration, --max-node-group-backoff-duration."""
POOL_LABEL = "podyard.dev/pool"
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
"""Taint of a node that is being drained. Source: utils/taints."""
HOSTNAME = "kubernetes.io/hostname"

replaced = msgspec.structs.replace


class NodePool(msgspec.Struct, frozen=True, kw_only=True):
    """`template`: a node of the pool without its name."""

    name: str
    template: Node
    least: int = 0
    most: int
    provisioning: Latency


class _Pool(msgspec.Struct):
    asked: dict[str, int] = {}  # node that is coming: since when
    made: int = 0
    backoff_ns: int = 0
    until_ns: int = 0  # no scale-up before


class ClusterAutoscaler:
    name = "cluster-autoscaler"
    watches = ("Node", "Pod")

    def __init__(self, pools: tuple[NodePool, ...], rng: Random) -> None:
        self._pools = pools
        self._rng = rng
        self._reset()

    def _reset(self) -> None:
        self._snapshot = Snapshot()
        self._state = {pool.name: _Pool() for pool in self._pools}
        self._nodes: dict[str, Node] = {}
        self._members: dict[str, dict[str, None]] = {pool.name: {} for pool in self._pools}
        self._pods: dict[str, Pod] = {}  # bound and not ended, by key
        self._pending: dict[str, Pod] = {}  # told to be unschedulable
        self._unneeded: dict[str, int] = {}  # node: since when
        self._draining: dict[str, int] = {}
        self._helped: dict[str, None] = {}  # pods for which nodes have been asked
        self._last_add_ns = -DELAY_AFTER_ADD_NS
        self._armed = -1
        self._born = 0
        self._volumes = ""  # '' where no pod has claims, 'wanted' when one has come, then 'watched'

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                self._hear(now, event.type, event.obj)
            elif type(event) is Timer:
                if isinstance(event.token, tuple):
                    self._start(event.token, effects)
                elif event.token == self._armed:
                    self._armed = -1
                    self._scan(now, effects)
            elif type(event) is Relist:
                for obj in event.objects:
                    self._hear(now, "ADDED", obj)
            elif type(event) is Start:
                self._reset()
            elif type(event) is Outcome:
                pass  # what was refused is seen again at the next scan
        if self._volumes == "wanted":
            self._volumes = "watched"
            effects.append(Subscribe(VOLUMES))
        if self._armed < 0 and self._busy():
            self._armed = (now // SCAN_NS + 1) * SCAN_NS
            effects.append(WakeAt(self._armed, self._armed))
        return effects

    def _busy(self) -> bool:
        """Whether there is anything to scan for."""
        if self._pending or self._draining or any(state.asked for state in self._state.values()):
            return True
        return any(
            len(self._members[pool.name]) > pool.least or len(self._members[pool.name]) < pool.least
            for pool in self._pools
        )

    # -- what the watches bring ----------------------------------------------------------------------------------------

    def _hear(self, now: int, change: str, obj: object) -> None:
        if isinstance(obj, Node):
            self._node(now, change, obj)
        elif isinstance(obj, Pod):
            self._pod(change, obj)
        else:
            self._snapshot.classes.learn_volumes(obj, gone=change == DELETED)

    def _node(self, now: int, change: str, node: Node) -> None:
        name = node.metadata.name
        pool = node.metadata.labels.get(POOL_LABEL, "")
        members = self._members.get(pool)
        if change == DELETED:
            if self._nodes.pop(name, None) is not None:
                self._snapshot.remove_node(name)
            if members is not None:
                members.pop(name, None)
            self._unneeded.pop(name, None)
            self._draining.pop(name, None)
            return
        if name in self._nodes:
            self._snapshot.update_node(**node_columns(node))
        else:
            self._snapshot.add_node(**node_columns(node))
            if members is not None:
                members[name] = None
                self._last_add_ns = now
                state = self._state[pool]
                if state.asked.pop(name, None) is not None:
                    state.backoff_ns = 0
        self._nodes[name] = node

    def _pod(self, change: str, pod: Pod) -> None:
        key = pod.metadata.key
        if change == DELETED or pod.status.phase in ("Succeeded", "Failed"):
            self._pending.pop(key, None)
            self._helped.pop(key, None)
            if self._pods.pop(key, None) is not None:
                self._snapshot.forget(key)
            return
        if not self._volumes and claims_of(pod):
            self._volumes = "wanted"
        node = pod.spec.node_name
        if node:
            self._pending.pop(key, None)
            self._helped.pop(key, None)
            if key not in self._pods:
                self._snapshot.assume_on(self._view(pod), node, bound_devices(pod))
            self._pods[key] = pod
            return
        scheduled = condition(pod.status.conditions, "PodScheduled")
        if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
            self._pending[key] = pod

    def _view(self, pod: Pod) -> PodView:
        return self._snapshot.classes.view(pod)

    # -- a scan --------------------------------------------------------------------------------------------------------

    def _scan(self, now: int, effects: list[Effect]) -> None:
        self._overdue(now, effects)
        for pool in self._pools:
            missing = pool.least - len(self._members[pool.name]) - len(self._state[pool.name].asked)
            if missing > 0:
                self._ask(now, pool, missing, effects)
        if self._pending:
            self._scale_up(now, effects)
        self._scale_down(now, effects)

    def _overdue(self, now: int, effects: list[Effect]) -> None:
        """Machines that have not registered in time are given up, and their pool is left alone for a while."""
        for pool in self._pools:
            state = self._state[pool.name]
            late = [name for name, since in state.asked.items() if now - since > PROVISION_NS]
            for name in late:
                del state.asked[name]
                effects.append(StopMachine(name))
            if late:
                state.backoff_ns = min(max(2 * state.backoff_ns, BACKOFF_FIRST_NS), BACKOFF_MOST_NS)
                state.until_ns = now + state.backoff_ns
                self._helped.clear()

    def _scale_up(self, now: int, effects: list[Effect]) -> None:
        """First what exists and what is coming; for the rest the pool that wastes least, pool after pool."""
        what_if = self._snapshot.copy()
        for pool in self._pools:
            for name in self._state[pool.name].asked:
                what_if.add_node(**node_columns(_named(pool, name)))
        waiting = [self._view(pod) for _, pod in sorted(self._pending.items(), key=_age)]
        left = [view for view in waiting if not _place(what_if, view)]
        while left:
            best: tuple[float, int, NodePool, list[PodView], Snapshot] | None = None
            for index, pool in enumerate(self._pools):
                room = pool.most - len(self._members[pool.name]) - len(self._state[pool.name].asked)
                if room <= 0 or now < self._state[pool.name].until_ns:
                    continue
                count, placed = self._estimate(pool, left, room)
                if not placed:
                    continue
                waste = _waste(pool, count, placed)
                if best is None or (waste, index) < (best[0], self._pools.index(best[2])):
                    best = (waste, count, pool, placed, what_if)
            if best is None:
                break
            _, count, pool, placed, _ = best
            names = self._ask(now, pool, count, effects)
            for name in names:
                what_if.add_node(**node_columns(_named(pool, name)))
            before = len(self._members[pool.name]) + len(self._state[pool.name].asked) - count
            for view in placed:
                pod = self._pending[view.key]
                if view.key not in self._helped:
                    self._helped[view.key] = None
                    text = f"pod triggered scale-up: [{{{pool.name} {before}->{before + count} (max: {pool.most})}}]"
                    effects.append(Record(pod, "Normal", "TriggeredScaleUp", text))
            keys = {view.key for view in placed}
            left = [view for view in left if view.key not in keys]
        for view in left:
            if view.key not in self._helped:
                self._helped[view.key] = None
                text = "pod didn't trigger scale-up: no node pool would help"
                effects.append(Record(self._pending[view.key], "Normal", "NotTriggerScaleUp", text))

    def _estimate(self, pool: NodePool, pods: list[PodView], room: int) -> tuple[int, list[PodView]]:
        """Nodes of the pool that the pods need, at most `room`, and who would fit. Source: BinpackingNodeEstimator:
        first fit, biggest first."""
        empty = Snapshot(self._snapshot.classes)
        cpu = max((a.milli for name, a in pool.template.status.allocatable.items() if name == "cpu"), default=1)
        order = sorted(pods, key=lambda view: (-view.cls.amounts[0] / max(cpu, 1), -view.cls.amounts[1], view.key))
        placed: list[PodView] = []
        refused: set[int] = set()
        count = 0
        for view in order:
            if view.cls.id in refused:
                continue
            if count and _place(empty, view):
                placed.append(view)
                continue
            if count < room:
                empty.add_node(**node_columns(_named(pool, f"{pool.name}-estimate-{count}")))
                if _place(empty, view):
                    count += 1
                    placed.append(view)
                    continue
                empty.remove_node(f"{pool.name}-estimate-{count}")
            refused.add(view.cls.id)
        return count, placed

    def _ask(self, now: int, pool: NodePool, count: int, effects: list[Effect]) -> list[str]:
        """Order machines: each is there, and its kubelet starts, when the provider has provisioned it."""
        state = self._state[pool.name]
        names = []
        for _ in range(count):
            name = f"{pool.name}-{state.made}"
            state.made += 1
            state.asked[name] = now
            names.append(name)
            effects.append(WakeAt(now + pool.provisioning.draw(self._rng), ("machine", pool.name, name)))
        effects.append(Observe("autoscaling", (pool.name, "up", count)))
        return names

    def _start(self, token: tuple[str, str, str], effects: list[Effect]) -> None:
        _, pool_name, name = token
        if name in self._state[pool_name].asked:
            pool = next(pool for pool in self._pools if pool.name == pool_name)
            effects.append(StartMachine(_named(pool, name)))

    # -- down ----------------------------------------------------------------------------------------------------------

    def _scale_down(self, now: int, effects: list[Effect]) -> None:
        for name in list(self._draining):
            self._drain(now, name, effects)
        candidates = [
            (pool, name) for pool in self._pools for name in self._members[pool.name] if name not in self._draining
        ]
        needed: set[str] = set()
        for _, name in candidates:
            if self._utilization(name) >= UTILIZATION_PERCENT or not self._fits_elsewhere(name):
                needed.add(name)
        for _, name in candidates:
            if name in needed:
                self._unneeded.pop(name, None)
            else:
                self._unneeded.setdefault(name, now)
        if now - self._last_add_ns < DELAY_AFTER_ADD_NS or self._draining:
            return
        for pool, name in candidates:
            since = self._unneeded.get(name)
            if since is None or now - since < UNNEEDED_NS or len(self._members[pool.name]) <= pool.least:
                continue
            node = self._nodes[name]
            taint = Taint(key=TO_BE_DELETED, value=str(now // SECOND), effect="NoSchedule")
            effects.append(Update(replaced(node, spec=replaced(node.spec, taints=(*node.spec.taints, taint)))))
            effects.append(Record(node, "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable"))
            effects.append(Observe("autoscaling", (pool.name, "down", 1)))
            self._draining[name] = now
            self._drain(now, name, effects)
            return  # one that is not empty at a time. Source: --max-drain-parallelism 1

    def _drain(self, now: int, name: str, effects: list[Effect]) -> None:
        """Evict what is there; disruption budgets may refuse, then the next scan asks again."""
        pods = self._on(name)
        for pod in pods:
            if pod.metadata.deletion_timestamp is None:
                meta = pod.metadata
                effects.append(EvictPod(meta.namespace, meta.name, uid=meta.uid))
        if not pods:
            effects.append(StopMachine(name))
            effects.append(Delete("Node", "", name, uid=self._nodes[name].metadata.uid))
            effects.append(Record(self._nodes[name], "Normal", "ScaleDown", "node removed by cluster autoscaler"))

    def _on(self, name: str) -> list[Pod]:
        node = self._snapshot.node_table.index.get(name)
        if node is None:
            return []
        return [self._pods[view.key] for view in self._snapshot.pods_on(node) if view.key in self._pods]

    def _utilization(self, name: str) -> int:
        """Percent of CPU or memory, whichever is more. Source: simulator/utilization."""
        node = self._snapshot.node_table.index.get(name)
        if node is None:
            return 100
        out = 0
        for row in (0, 1):
            capacity = int(self._snapshot.capacity[row, node])
            if capacity:
                out = max(out, (capacity - int(self._snapshot.free[row, node])) * 100 // capacity)
        return out

    def _fits_elsewhere(self, name: str) -> bool:
        pods = self._on(name)
        if not pods:
            return True
        what_if = self._snapshot.copy()
        what_if.remove_node(name)
        for pod in pods:
            what_if.forget(pod.metadata.key)
        return all(_place(what_if, self._view(_unbound(pod))) for pod in pods)


def _unbound(pod: Pod) -> Pod:
    """As it would come to the scheduler again."""
    return replaced(pod, spec=replaced(pod.spec, node_name=""))


def _age(item: tuple[str, Pod]) -> tuple[int, int, str]:
    key, pod = item
    return (-(pod.spec.priority or 0), pod.metadata.creation_timestamp or 0, key)


def _place(on: Snapshot, view: PodView) -> bool:
    """On the first node, in order, that takes it."""
    feasible = on.feasible(view)
    for node in on.order():
        if node >= 0 and feasible[node]:
            return not isinstance(legality.apply_alone(on, Bind(view, node)), legality.Refused)
    return False


def _waste(pool: NodePool, count: int, placed: list[PodView]) -> float:
    """Idle CPU and memory after scale-up, as shares. Source: expander/waste."""
    allocatable = pool.template.status.allocatable
    total = 0.0
    for row, name in ((0, "cpu"), (1, "memory")):
        amount = allocatable.get(name)
        if amount is None or not amount.milli:
            continue
        size = amount.milli if name == "cpu" else amount.milli // 1000
        total += 1.0 - sum(view.cls.amounts[row] for view in placed) / (size * count)
    return total


def _named(pool: NodePool, name: str) -> Node:
    meta = pool.template.metadata
    return replaced(pool.template, metadata=replaced(meta, name=name, labels={**meta.labels, HOSTNAME: name}))
