"""The node lifecycle controller: who has fallen silent, what its node's taints say about it, and how fast pods go.

Source: pkg/controller/nodelifecycle (1.32). Health comes from the node's Lease. A lease that stands (annotation
STANDING_LEASE) is being renewed on time; one that does not is good until renewTime + grace. A node that is not well is
looked at on every tick of the monitor, whatever was or was not heard of it meanwhile; one that is well, on the first
tick after its lease has run out. So an idle cluster costs nothing, and what could not be written is written later.
"""

from __future__ import annotations

import msgspec

from harness.controllers.runtime.pods import node_names
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import SECOND, STANDING_LEASE, Instant, PatchStatus, Update, next_tick
from harness.model.core import Node, Pod, Taint
from harness.model.meta import Condition, condition, with_condition
from harness.model.wire import Time
from harness.model.workloads import Lease

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_OURS = (NOT_READY, UNREACHABLE)
CORDONED = "node.kubernetes.io/unschedulable"
"""Taint of a node whose spec is unschedulable. Source: node_lifecycle_controller.go doNoScheduleTaintingPass."""
_TAINT_FOR = {"False": NOT_READY, "Unknown": UNREACHABLE}
_BAD = ("False", "Unknown")
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"

EXCLUDED = "node.kubernetes.io/exclude-disruption"
"""Nodes with this label count for no zone. Source: labelNodeDisruptionExclusion, node_lifecycle_controller.go."""

_TURNS = "/turns"
"""The key that is due when a zone may have its next NoExecute taint; no node has this name."""

replaced = msgspec.structs.replace


class _Health(msgspec.Struct):
    """`granted`: its turn for the NoExecute taint has come."""

    zone: str = ""
    standing: bool = False
    last_ns: int = -1
    ready: str = ""  # True, False, Unknown
    granted: bool = False
    counted: bool = False  # for the state of its zone


class _Zone(msgspec.Struct):
    members: int = 0
    nodes: int = 0  # that count for its state
    bad: int = 0  # not ready, of them
    waiting: dict[str, None] = {}  # nodes whose turn has not come, in order
    next_turn_ns: int = 0

    def state(self, threshold: float) -> str:
        """`threshold`: the share of nodes that are not ready from which it is partly down, three at least. Source:
        ComputeZoneState."""
        if self.nodes and self.bad == self.nodes:
            return "full"
        return "partial" if self.bad > 2 and self.bad / self.nodes >= threshold else "normal"


class NodeLifecycleController(Reconciler):
    """Keys are names of nodes."""

    phase_ns = 0

    def __init__(self, name: str = "node-lifecycle-controller") -> None:
        super().__init__(
            name,
            {"Node": self._node_changed, "Lease": self._lease_changed, "Pod": None},
        )
        self._pods_on = self.informer.index("Pod", node_names, "spec")
        self._health: dict[str, _Health] = {}
        self._zones: dict[str, _Zone] = {}
        self._all_down = False
        self._zones_changed = False

    @property
    def period_ns(self) -> int:
        return self.constants.node_monitor_period_ns

    def forget_all(self) -> None:
        super().forget_all()
        self._health.clear()
        self._zones.clear()
        self._all_down = False
        self._zones_changed = False

    # -- what happened -------------------------------------------------------------------------------------------------

    def _lease_changed(self, old: Lease | None, new: Lease | None) -> None:
        lease = new if new is not None else old
        assert lease is not None
        name = lease.metadata.name
        if new is None and self.informer.get("Node", name) is None:
            self._health.pop(name, None)
            return
        health = self._health.get(name)
        if health is None:
            health = self._health[name] = _Health()
        was = health.standing
        health.standing = new is not None and STANDING_LEASE in new.metadata.annotations
        if lease.spec.renew_time is not None:
            health.last_ns = max(health.last_ns, lease.spec.renew_time)
        if not health.standing and (was or old is None or health.ready != "True"):
            self.queue.add(name)  # else the look that is due anyway takes notice

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            assert old is not None
            self._node_removed(old)
            return
        name = new.metadata.name
        health = self._health.get(name)
        if health is None:
            health = self._health[name] = _Health()
        if old is None:
            health.zone = _zone(new)
            self._zones.setdefault(health.zone, _Zone()).members += 1
            if health.last_ns < 0:
                health.last_ns = self.now  # a grace period to be heard of for the first time
        self._count(health, EXCLUDED not in new.metadata.labels)
        known = condition(new.status.conditions, "Ready")
        was = health.ready
        self._ready_changed(name, health, "" if known is None else known.status)
        if (
            health.ready != "True"
            or was != health.ready
            or old is None
            or old.spec.taints is not new.spec.taints
            or old.spec.unschedulable != new.spec.unschedulable
        ):
            self.queue.add(name)

    def _node_removed(self, node: Node) -> None:
        name = node.metadata.name
        health = self._health.pop(name)
        self._wait_no_longer(name, health)
        self._count(health, False)
        self._zones_changed = True
        zone = self._zones[health.zone]
        zone.members -= 1
        if not zone.members:
            del self._zones[health.zone]

    def _count(self, health: _Health, counted: bool) -> None:
        if health.counted is not counted:
            self._zones_changed = True
            by = 1 if counted else -1
            zone = self._zones[health.zone]
            zone.nodes += by
            zone.bad += by * (health.ready in _BAD)
            health.counted = counted

    def _ready_changed(self, name: str, health: _Health, ready: str) -> None:
        was, health.ready = health.ready, ready
        if was == ready:
            return
        self._zones_changed = True
        zone = self._zones[health.zone]
        zone.bad += ((ready in _BAD) - (was in _BAD)) * health.counted
        if ready not in _BAD:
            self._wait_no_longer(name, health)
            health.granted = False
        elif was not in _BAD and not health.granted and name not in zone.waiting:
            zone.waiting[name] = None

    def _wait_no_longer(self, name: str, health: _Health) -> None:
        zone = self._zones.get(health.zone)
        if zone is not None:
            zone.waiting.pop(name, None)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        node: Node | None = self.informer.get("Node", key)
        if node is None:
            return
        health = self._health[key]
        silent = not health.standing and now > health.last_ns + self.constants.node_monitor_grace_period_ns
        if silent and health.ready != "Unknown":
            self._silent(now, key, node)
        else:
            self._mark_pods(now, key, health)
            self._sync_taints(now, key, node, health)
        if silent or health.ready != "True":
            self.queue.add_at(key, next_tick(now, self.period_ns, self.phase_ns))
        elif not health.standing:
            due = health.last_ns + self.constants.node_monitor_grace_period_ns
            self.queue.add_at(key, next_tick(due, self.period_ns, self.phase_ns))

    def _silent(self, now: int, key: str, node: Node) -> None:
        """Source: node_lifecycle_controller.go updateNodeHealth, tryUpdateNodeHealth: every condition becomes Unknown,
        unless the node has been written since it was read."""
        conditions = node.status.conditions
        for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
            unknown = Condition(
                type=kind,
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                last_transition_time=Time(now),
            )
            conditions = with_condition(conditions, unknown)
        self.write(key, Update(replaced(node, status=replaced(node.status, conditions=conditions)), "status", key))
        self.record(node, "Normal", "NodeNotReady", f"Node {node.metadata.name} status is now: NodeNotReady")

    def _mark_pods(self, now: Instant, key: str, health: _Health) -> None:
        """No pod of a node that is not ready is ready. Source: pkg/controller/util/node MarkPodsNotReady."""
        if health.ready not in _BAD:
            return
        for pod in self._pods_on[key].values():
            if _is_ready(pod):
                unready = Condition(type="Ready", status="False", last_transition_time=Time(now))
                status = replaced(pod.status, conditions=with_condition(pod.status.conditions, unready))
                self.write(key, PatchStatus(replaced(pod, status=status), pod, key))
                self.record(pod, "Warning", "NodeNotReady", "Node is not ready")

    def _sync_taints(self, now: int, key: str, node: Node, health: _Health) -> None:
        ours = _TAINT_FOR.get(health.ready)
        there = node.spec.taints
        cordoned = bool(node.spec.unschedulable)
        if ours is None and not there and not cordoned:
            return
        wanted = [
            taint
            for taint in there
            if taint.key not in _OURS and (cordoned or (taint.key, taint.effect) != (CORDONED, "NoSchedule"))
        ]
        if cordoned and not any((taint.key, taint.effect) == (CORDONED, "NoSchedule") for taint in there):
            wanted.append(Taint(key=CORDONED, effect="NoSchedule", time_added=Time(now)))
        if ours is not None:
            for effect in ("NoSchedule", "NoExecute"):
                if effect == "NoExecute" and not health.granted:
                    continue
                held = [t for t in there if t.key == ours and t.effect == effect]
                wanted.append(held[0] if held else Taint(key=ours, effect=effect, time_added=Time(now)))
        taints = tuple(wanted)
        if taints != there:
            self.write(key, Update(replaced(node, spec=replaced(node.spec, taints=taints)), "", key))

    # -- whose turn it is ----------------------------------------------------------------------------------------------

    def before_reconciling(self, now: Instant) -> None:
        """Give nodes their NoExecute taint, zone by zone, no faster than the zone's state allows. Source:
        handleDisruption, setLimiterInZone, ReducedQPSFunc, HealthyQPSFunc."""
        constants = self.constants
        if self._zones_changed:
            self._zones_changed = False
            self._master_disruption()
        waiting = [name for name, zone in self._zones.items() if zone.waiting]
        if not waiting or self._all_down:
            return
        for zone in (self._zones[name] for name in sorted(waiting)):
            rate = constants.node_eviction_rate
            if zone.state(constants.unhealthy_zone_threshold) == "partial":
                large = zone.nodes > constants.large_cluster_size_threshold
                rate = constants.secondary_node_eviction_rate if large else 0.0
            if not rate:
                continue
            while zone.waiting and zone.next_turn_ns <= now:
                name = next(iter(zone.waiting))
                del zone.waiting[name]
                self._health[name].granted = True
                zone.next_turn_ns = now + round(SECOND / rate)
                self.queue.add(name)
            if zone.waiting:
                self.queue.add_at(_TURNS, zone.next_turn_ns)

    def _master_disruption(self) -> None:
        """When all zones are down it is more likely us who hear nothing: nodes lose the NoExecute taints that they were
        given on the way there, and none is given until one is ready again. Source: handleDisruption, when
        allAreFullyDisrupted: markNodeAsReachable for each node, limiters at 0."""
        threshold = self.constants.unhealthy_zone_threshold
        states = [zone.state(threshold) for zone in self._zones.values() if zone.nodes]
        all_down = bool(states) and all(state == "full" for state in states)
        if all_down and not self._all_down:
            for name, health in self._health.items():
                zone = self._zones.get(health.zone)
                if health.granted and zone is not None:
                    health.granted = False
                    zone.waiting[name] = None
                    self.queue.add(name)
        self._all_down = all_down


def _is_ready(pod: Pod) -> bool:
    known = condition(pod.status.conditions, "Ready")
    return known is not None and known.status == "True" and pod.status.phase not in ("Succeeded", "Failed")


def _zone(node: Node) -> str:
    labels = node.metadata.labels
    return f"{labels.get(REGION, '')}:{labels.get(ZONE, '')}"
