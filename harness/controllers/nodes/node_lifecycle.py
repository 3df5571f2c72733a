"""The node lifecycle controller: who has fallen silent, what its node's taints say about it, and how fast pods go.

Source: pkg/controller/nodelifecycle (1.32). Health comes from the node's Lease. A lease that stands (annotation
STANDING_LEASE) is being renewed on time; one that does not is good until renewTime + grace, looked at on the ticks
of the monitor. Nothing is done for a node that is well, so an idle cluster costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

import msgspec

from harness.engine.component import (
    DELETED,
    SECOND,
    STANDING_LEASE,
    Effect,
    Event,
    Instant,
    Outcome,
    PatchStatus,
    Record,
    Relist,
    Start,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.model.core import Node, Pod, Taint
from harness.model.meta import Condition, condition, with_condition
from harness.model.wire import Time
from harness.model.workloads import Lease

MONITOR_NS = 5 * SECOND
"""Source: --node-monitor-period, 5s."""
GRACE_NS = 50 * SECOND
"""Source: --node-monitor-grace-period, 50s since 1.32 (40s before)."""
EVICTION_RATE_MILLI = 100
"""NoExecute taints per 1000 s and zone. Source: --node-eviction-rate, 0.1/s."""
SECONDARY_RATE_MILLI = 10
"""In a zone that is partly down. Source: --secondary-node-eviction-rate, 0.01/s."""
UNHEALTHY_PERCENT = 55
"""Source: --unhealthy-zone-threshold, 0.55; and at least 3 nodes (ComputeZoneState: notReady > 2)."""
LARGE_ZONE = 50
"""Zones up to this size evict nothing when partly down. Source: --large-cluster-size-threshold, 50."""

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_OURS = (NOT_READY, UNREACHABLE)
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"

replaced = msgspec.structs.replace


class _Health(msgspec.Struct):
    """`granted`: its turn for the NoExecute taint has come."""

    node: Node | None = None
    standing: bool = False
    last_ns: int = -1
    ready: str = ""  # True, False, Unknown
    granted: bool = False
    queued: bool = False
    marked: bool = False  # its pods have been told not to be ready
    asked: tuple[Taint, ...] | None = None  # taints of an update that is on its way


class NodeLifecycleController:
    name = "node-lifecycle-controller"
    watches = ("Node", "Lease", "Pod")

    def __init__(self, grace_ns: int = GRACE_NS) -> None:
        self._grace = grace_ns
        self._reset()

    def _reset(self) -> None:
        self._nodes: dict[str, _Health] = {}
        self._pods: dict[str, dict[str, Pod]] = {}  # by node, by key
        self._deadlines: list[tuple[int, str]] = []
        self._zones: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, dict[str, None]] = {}  # by zone: nodes whose turn has not come
        self._turn_ns: dict[str, int] = {}  # by zone: when the next turn is
        self._armed: set[int] = set()

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch and type(event.obj) is Pod:  # nearly all of them
                self._pod(event.type, event.obj)
                continue
            match event:
                case Watch(change, Node() as node, _):
                    self._node(now, change, node, effects)
                case Watch(change, Lease() as lease, _):
                    self._lease(now, change, lease)
                case Timer(token):
                    self._armed.discard(token)
                case Outcome(effect, _, error):
                    if error is not None and type(effect) is Update:
                        self._refused(now, effect.obj.metadata.name, effects)
                case Start():
                    self._reset()
                case Relist(_, objects):
                    for obj in objects:
                        effects += self.step(now, (Watch("ADDED", obj),))
                case _:
                    pass
        self._monitor(now, effects)
        self._turns(now, effects)
        return effects

    # -- what the watches bring ----------------------------------------------------------------------------------------

    def _pod(self, change: str, pod: Pod) -> None:
        node = pod.spec.node_name
        if not node:
            return
        if change == DELETED or pod.status.phase in ("Succeeded", "Failed"):
            held = self._pods.get(node)
            if held is not None:
                held.pop(pod.metadata.key, None)
        else:
            self._pods.setdefault(node, {})[pod.metadata.key] = pod

    def _lease(self, now: int, change: str, lease: Lease) -> None:
        name = lease.metadata.name
        health = self._nodes.setdefault(name, _Health())
        health.standing = change != DELETED and STANDING_LEASE in lease.metadata.annotations
        if lease.spec.renew_time is not None:
            health.last_ns = max(health.last_ns, lease.spec.renew_time)
        if not health.standing:
            self._watch_out(name, health)

    def _watch_out(self, name: str, health: _Health) -> None:
        """Look again on the first tick after its time is up."""
        due = health.last_ns + self._grace
        heappush(self._deadlines, ((due // MONITOR_NS + 1) * MONITOR_NS, name))

    def _node(self, now: int, change: str, node: Node, effects: list[Effect]) -> None:
        name = node.metadata.name
        if change == DELETED:
            self._nodes.pop(name, None)
            self._pods.pop(name, None)
            zone = _zone(node)
            self._zones.get(zone, {}).pop(name, None)
            self._waiting.get(zone, {}).pop(name, None)
            return
        health = self._nodes.setdefault(name, _Health())
        if health.node is None:
            self._zones.setdefault(_zone(node), {})[name] = None
            if health.last_ns < 0:
                health.last_ns = now  # a grace period to be heard of for the first time
                self._watch_out(name, health)
        health.node = node
        if health.asked is not None and health.asked == node.spec.taints:
            health.asked = None
        known = condition(node.status.conditions, "Ready")
        ready = "" if known is None else known.status
        if ready == health.ready and health.asked is None and not health.granted and ready == "True":
            return
        before, health.ready = health.ready, ready
        if ready == "True":
            health.granted = health.queued = health.marked = False
            self._waiting.get(_zone(node), {}).pop(name, None)
        elif ready in ("False", "Unknown"):
            if not health.marked:
                self._mark_pods(now, name, effects)
                health.marked = True
            if not health.granted and not health.queued:
                health.queued = True
                self._waiting.setdefault(_zone(node), {})[name] = None
        if before != ready or ready != "True":
            self._sync_taints(now, health, effects)

    def _refused(self, now: int, name: str, effects: list[Effect]) -> None:
        """The taints were written against a version that is gone; the newer one is here, or on its way."""
        health = self._nodes.get(name)
        if health is not None and health.node is not None:
            health.asked = None
            self._sync_taints(now, health, effects)

    # -- the monitor ---------------------------------------------------------------------------------------------------

    def _monitor(self, now: int, effects: list[Effect]) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, name = heappop(self._deadlines)
            health = self._nodes.get(name)
            if health is None or health.standing or health.node is None:
                continue
            due = health.last_ns + self._grace
            if due >= now:
                self._watch_out(name, health)
                continue
            if health.ready != "Unknown":
                self._silent(now, health, effects)
        if self._deadlines:
            self._wake(self._deadlines[0][0], effects)

    def _silent(self, now: int, health: _Health, effects: list[Effect]) -> None:
        """Source: node_lifecycle_controller.go updateNodeHealth: every condition becomes Unknown."""
        node = health.node
        assert node is not None
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
        effects.append(PatchStatus(replaced(node, status=replaced(node.status, conditions=conditions))))
        effects.append(Record(node, "Normal", "NodeNotReady", f"Node {node.metadata.name} status is now: NodeNotReady"))

    def _mark_pods(self, now: int, name: str, effects: list[Effect]) -> None:
        """Source: pkg/controller/util/node MarkPodsNotReady."""
        for pod in self._pods.get(name, {}).values():
            known = condition(pod.status.conditions, "Ready")
            if known is None or known.status != "True":
                continue
            conditions = with_condition(
                pod.status.conditions,
                Condition(type="Ready", status="False", last_transition_time=Time(now)),
            )
            effects.append(PatchStatus(replaced(pod, status=replaced(pod.status, conditions=conditions))))
            effects.append(Record(pod, "Warning", "NodeNotReady", "Node is not ready"))

    # -- taints --------------------------------------------------------------------------------------------------------

    def _sync_taints(self, now: int, health: _Health, effects: list[Effect]) -> None:
        node = health.node
        assert node is not None
        key = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(health.ready)
        wanted = [taint for taint in node.spec.taints if taint.key not in _OURS]
        if key is not None:
            for effect in ("NoSchedule", "NoExecute"):
                if effect == "NoExecute" and not health.granted:
                    continue
                there = [t for t in node.spec.taints if t.key == key and t.effect == effect]
                wanted.append(there[0] if there else Taint(key=key, effect=effect, time_added=Time(now)))
        taints = tuple(wanted)
        if taints == node.spec.taints or health.asked is not None:
            return
        health.asked = taints
        effects.append(Update(replaced(node, spec=replaced(node.spec, taints=taints))))

    def _turns(self, now: int, effects: list[Effect]) -> None:
        """Give nodes their NoExecute taint, zone by zone, no faster than the zone's state allows."""
        if not any(self._waiting.values()):
            return
        rates = self._rates()
        for zone in sorted(self._waiting):
            waiting = self._waiting[zone]
            rate = rates.get(zone, 0)
            if not waiting or not rate:
                continue
            while waiting and self._turn_ns.get(zone, 0) <= now:
                name = next(iter(waiting))
                del waiting[name]
                health = self._nodes[name]
                health.queued = False
                health.granted = True
                self._turn_ns[zone] = now + 1000 * SECOND // rate
                self._sync_taints(now, health, effects)
            if waiting:
                self._wake(self._turn_ns[zone], effects)

    def _rates(self) -> dict[str, int]:
        """By zone, per 1000 s. Source: handleDisruption, setLimiterInZone, ReducedQPSFunc, HealthyQPSFunc."""
        states = {zone: self._state(nodes) for zone, nodes in self._zones.items() if nodes}
        if states and all(state == "full" for state in states.values()):
            return {}
        rates = {}
        for zone, state in states.items():
            if state == "partial":
                rates[zone] = SECONDARY_RATE_MILLI if len(self._zones[zone]) > LARGE_ZONE else 0
            else:
                rates[zone] = EVICTION_RATE_MILLI
        return rates

    def _state(self, nodes: dict[str, None]) -> str:
        """Source: ComputeZoneState."""
        bad = sum(self._nodes[name].ready in ("False", "Unknown") for name in nodes)
        if bad == len(nodes):
            return "full"
        return "partial" if bad > 2 and bad * 100 >= UNHEALTHY_PERCENT * len(nodes) else "normal"

    def _wake(self, at: int, effects: list[Effect]) -> None:
        if at not in self._armed:
            self._armed.add(at)
            effects.append(WakeAt(at, at))


def _zone(node: Node) -> str:
    labels = node.metadata.labels
    return f"{labels.get(REGION, '')}:{labels.get(ZONE, '')}"
