"""The cluster autoscaler: node pools that grow for pods that fit nowhere, and shrink when nodes are not needed.

Source: kubernetes/autoscaler cluster-autoscaler (FAQ and core/static_autoscaler.go, 1.32). Whether a pod would fit is
asked of the scheduler's own snapshot and constraints, on a copy to which the nodes of a pool are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.expander import LeastWaste
from harness.autoscaling.cluster.expander import expander as make_expander
from harness.autoscaling.cluster.scale_down import ScaleDown
from harness.autoscaling.cluster.scale_up import ScaleUp
from harness.autoscaling.policy import Expander
from harness.autoscaling.pool import NodePool
from harness.engine.component import (
    DELETED,
    MINUTE,
    SECOND,
    Effect,
    Event,
    Instant,
    Observe,
    Outcome,
    Relist,
    Start,
    StartMachine,
    StopMachine,
    Subscribe,
    Timer,
    Update,
    WakeAt,
    Watch,
    next_tick,
)
from harness.model.core import Node, Pod
from harness.scheduling.cycle.volume_binder import WATCHES as VOLUMES

SCAN_NS = 10 * SECOND
"""Source: --scan-interval."""
PROVISION_NS = 15 * MINUTE
"""Source: --max-node-provision-time."""
BACKOFF_FIRST_NS, BACKOFF_MOST_NS = 5 * MINUTE, 30 * MINUTE
"""Source: --initial-node-group-backoff-duration, --max-node-group-backoff-duration."""


class ClusterAutoscaling:
    """cluster-autoscaler on node pools, with `expander` (or several, with commas) to choose the pool that grows."""

    def __init__(self, expander: str = "least-waste") -> None:
        self._expander = make_expander(expander)

    def component(self, pools: tuple[NodePool, ...], rng: Random) -> ClusterAutoscaler:
        return ClusterAutoscaler(pools, rng, self._expander)


class ClusterAutoscaler:
    """`rng`: of provisioning times and of an expander that draws."""

    handled_failures = 0
    name = "cluster-autoscaler"
    period_ns, phase_ns = SCAN_NS, 0
    watches = ("Node", "Pod")

    def __init__(self, pools: tuple[NodePool, ...], rng: Random, expander: Expander | None = None) -> None:
        self._pools = pools
        self._rng = rng
        self._expander = expander or LeastWaste()
        self._state = ClusterState(pools)
        self._reset()

    def _reset(self) -> None:
        """A new process. What was ordered of the provider is not forgotten: the provider knows."""
        ordered = self._state.pools
        self._state = ClusterState(self._pools)
        for name, pool in self._state.pools.items():
            pool.created, pool.requested = ordered[name].created, ordered[name].requested
        self._scale_up = ScaleUp(self._state, self._expander, self._rng, self._request)
        self._scale_down = ScaleDown(self._state)
        self._armed = -1
        self._watches_volumes = False

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                self._observe(now, event)
            elif type(event) is Timer:
                if isinstance(event.token, tuple):
                    self._start_machine(event.token, effects)
                elif event.token == self._armed:
                    self._armed = -1
                    self._scan(now, effects)
            elif type(event) is Relist:
                for gone in self._state.missing(event):
                    self._observe(now, Watch(DELETED, gone))
                for obj in event.objects:
                    self._observe(now, Watch("ADDED", obj))
            elif type(event) is Start:
                self._reset()
            elif type(event) is Outcome:
                if event.error is not None:
                    self.handled_failures += 1  # what was refused is seen, and asked for again, at the next scan
                elif type(event.effect) is Update and event.effect.token is not None:
                    self._state.observe(now, Watch("MODIFIED", event.obj))
                    self._scale_down.drain(event.effect.token, effects)
        if self._state.has_claims and not self._watches_volumes:
            self._watches_volumes = True
            effects.append(Subscribe(VOLUMES))
        if self._armed < 0 and self._busy():
            self._armed = next_tick(now, SCAN_NS, self.phase_ns)
            effects.append(WakeAt(self._armed, self._armed))
        return effects

    def _busy(self) -> bool:
        """Whether there is anything to scan for."""
        if self._state.pending or self._scale_down.busy:
            return True
        return any(pool.requested or len(pool.members) != pool.pool.least for pool in self._state.pools.values())

    def _observe(self, now: int, event: Watch) -> None:
        self._state.observe(now, event)
        obj = event.obj
        if isinstance(obj, Node):
            if event.type == DELETED:
                self._scale_down.forget(obj.metadata.name)
            else:
                self._scale_down.observe_node(obj)
        elif isinstance(obj, Pod) and (event.type == DELETED or obj.spec.node_name or obj.status.phase in ENDED):
            self._scale_up.forget(obj.metadata.key)

    # -- a scan --------------------------------------------------------------------------------------------------------

    def _scan(self, now: int, effects: list[Effect]) -> None:
        self._give_up_overdue(now, effects)
        for pool in self._state.pools.values():
            missing = pool.pool.least - pool.size
            if missing > 0:
                self._request(now, pool.pool, missing, effects)
        if self._state.pending:
            self._scale_up.scan(now, effects)
        self._scale_down.scan(now, effects)

    def _give_up_overdue(self, now: int, effects: list[Effect]) -> None:
        """Machines that have not registered in time are given up, and their pool is left alone for a while."""
        for pool in self._state.pools.values():
            late = [name for name, since in pool.requested.items() if now - since > PROVISION_NS]
            for name in late:
                del pool.requested[name]
                effects.append(StopMachine(name))
            if late:
                pool.backoff_ns = min(max(2 * pool.backoff_ns, BACKOFF_FIRST_NS), BACKOFF_MOST_NS)
                pool.backoff_until_ns = now + pool.backoff_ns
                self._scale_up.forget_all()

    def _request(self, now: int, pool: NodePool, count: int, effects: list[Effect]) -> list[str]:
        """Order machines: each is there, and its kubelet starts, when the provider has provisioned it."""
        state = self._state.pools[pool.name]
        names = []
        for _ in range(count):
            name = state.next_name()
            state.requested[name] = now
            names.append(name)
            effects.append(WakeAt(now + pool.provisioning.draw(self._rng), ("machine", pool.name, name)))
        effects.append(Observe("autoscaling", (pool.name, "up", count)))
        return names

    def _start_machine(self, token: tuple[str, str, str], effects: list[Effect]) -> None:
        _, pool_name, name = token
        pool = self._state.pools[pool_name]
        if name in pool.requested:
            effects.append(StartMachine(pool.pool.node(name)))


ENDED = ("Succeeded", "Failed")
