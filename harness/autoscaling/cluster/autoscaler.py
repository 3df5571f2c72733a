"""The cluster autoscaler: node pools that grow for pods that fit nowhere, and shrink when nodes are not needed.

Source: kubernetes/autoscaler cluster-autoscaler (FAQ.md and core/static_autoscaler.go, 1.32). Whether a pod would fit
is asked of the scheduler's own snapshot and filters, on a fork of the whole cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from harness.autoscaling.cluster.actuation import Actuator
from harness.autoscaling.cluster.changes import ENDED, could_help, touched_nodes
from harness.autoscaling.cluster.cluster_state import ClusterState, is_unschedulable
from harness.autoscaling.cluster.eligibility import cooldown
from harness.autoscaling.cluster.estimator import add_template_node, empty_as_template
from harness.autoscaling.cluster.expander import PRIORITY_CONFIG, contained, priority_expanders, take_faults
from harness.autoscaling.cluster.expander import expander as make_expander
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.cluster.loop_trigger import LoopTrigger
from harness.autoscaling.cluster.pending_pods import PendingPods
from harness.autoscaling.cluster.provider import Provider
from harness.autoscaling.cluster.scale_down import ScaleDownPlanner
from harness.autoscaling.cluster.scale_up import GREW, ScaleUp
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings, UnknownFlag, parse_flags
from harness.autoscaling.cluster.stays import note_stays, reasons_to_stay
from harness.autoscaling.policy import Expander
from harness.autoscaling.pool import NodePool
from harness.autoscaling.spells import Spells
from harness.engine.component import (
    DELETED,
    DisturbProvider,
    Effect,
    Event,
    Instant,
    KeepPlace,
    Outcome,
    ReclaimMachine,
    Record,
    Relist,
    Start,
    Subscribe,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.engine.guard import fault_of
from harness.model.core import ConfigMap, Node, Pod
from harness.model.errors import UserError, did_you_mean
from harness.scheduling.cycle.volume_binder import WATCHES as VOLUMES
from harness.scheduling.filter_plugin import FilterPlugin
from harness.scheduling.strategy import PodView


class ClusterAutoscaling:
    """cluster-autoscaler on node pools; its flags are parameters: `?expander=random&scale-down-unneeded-time=5m`."""

    def __init__(self, **flags: Any) -> None:
        """Raises UserError for a flag that is unknown or malformed."""
        try:
            self._settings = parse_flags(flags)
        except UnknownFlag as error:
            expected = ", ".join(error.known)
            raise UserError(
                "cluster-autoscaler has no such flag, or it is not modelled",
                found=error.name,
                expected=expected,
                hint=did_you_mean(error.name, error.known),
            ) from None
        except ValueError as error:
            raise UserError(f"cluster-autoscaler: {error}") from None
        self._expander = make_expander(self._settings.expander)

    @property
    def settings(self) -> ClusterAutoscalerSettings:
        return self._settings

    def component(self, pools: tuple[NodePool, ...], rng: Random) -> ClusterAutoscaler:
        return ClusterAutoscaler(pools, rng, self._settings, self._expander)


class ClusterAutoscaler:
    """`rng`: of provisioning times and of expanders that draw."""

    handled_failures = 0
    phase_ns = 0
    name = "cluster-autoscaler"
    orders_machines = True  # what happens to the provider happens to it
    watches: tuple[str, ...] = ("Node", "Pod", "DaemonSet", "PodDisruptionBudget")

    def __init__(
        self,
        pools: tuple[NodePool, ...],
        rng: Random,
        settings: ClusterAutoscalerSettings | None = None,
        expander: Expander | None = None,
    ) -> None:
        self._pools = pools
        self._rng = rng
        self._settings = settings or ClusterAutoscalerSettings()
        self.period_ns = self._settings.scan_interval_ns
        self._expander = expander or make_expander(self._settings.expander)
        self._others = contained(self._expander)
        self._by_priority = priority_expanders(self._expander)
        if self._by_priority:
            self.watches = (*ClusterAutoscaler.watches, "ConfigMap")
        self._filters: Sequence[FilterPlugin] = ()
        self._state = ClusterState(pools, self._settings)
        self.stays: Spells | None = None  # of nodes, and why, for a record
        self._reset()

    def use_filter_plugins(self, plugins: Sequence[FilterPlugin]) -> None:
        """Those of the cluster: a node that they would reject helps nobody."""
        self._filters = plugins
        self._reset()

    def _reset(self) -> None:
        """A new process. What was ordered of the provider is not forgotten: the provider knows."""
        ordered = self._state.pools
        self._state = ClusterState(self._pools, self._settings, self._filters)
        for name, pool in self._state.pools.items():
            before = ordered[name]
            pool.created, pool.requested = before.created, before.requested
            pool.failing, pool.trouble = before.failing, before.trouble
        self._provider = Provider(self._state, self._rng)
        self._scale_up = ScaleUp(self._state, self._expander, self._rng, self._provider.order)
        self._pending = PendingPods(self._state)
        self._planner = ScaleDownPlanner(self._state)
        self._actuator = Actuator(self._state, self._planner)
        self._trigger = LoopTrigger(self._settings)
        self._armed = -1
        self._watches_volumes = False
        self._last_scale_up_ns: int | None = None
        self._last_delete_ns: int | None = None
        self._told_unhealthy = False
        self._cooling = ""
        self._kept: Fork | None = None  # as the last scan left it
        self._left: list[PodView] = []  # one of each class of the pods that it left without a place

    @property
    def overruns(self) -> int:
        """Calls of others' expanders that passed their deadline."""
        return sum(item.overruns for item in self._others)

    def disturb_provider(self, now: Instant, what: DisturbProvider) -> None:
        """Whether its process runs or not."""
        self._provider.disturb(now, what)

    def keep_place(self, what: KeepPlace) -> None:
        """What is done to the provider by somebody else."""
        self._release()
        self._provider.keep_place(what)

    def reasons_against(self, pod: str) -> Mapping[str, tuple[str, ...]]:
        """Of a pending pod ('namespace/name'): for each pool that did not help it at the last scan, why."""
        return self._scale_up.reasons_against(pod)

    def reasons_to_stay(self) -> Mapping[str, str]:
        """For each node of a pool that the last scan did not find removable, or that has to wait, why."""
        return reasons_to_stay(self._state, self._planner, self._cooling, timed=True)

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                self._observe(now, event)
            elif type(event) is Timer:
                self._on_timer(now, event.token, effects)
            elif type(event) is Relist:
                self._relist(now, event)
            elif type(event) is Start:
                self._reset()
            elif type(event) is Outcome:
                self._on_outcome(now, event)
        if self._state.has_claims and not self._watches_volumes:
            self._watches_volumes = True
            effects.append(Subscribe(VOLUMES))
        if self._busy():
            due = self._trigger.due(now, self.phase_ns)
            if self._armed < 0 or due < self._armed:
                self._armed = due
                effects.append(WakeAt(due, due))
        faults = take_faults(self._others)
        effects.extend(fault_of(self.name, fault, key="its expander").observation() for fault in faults)
        return effects

    # -- events --------------------------------------------------------------------------------------------------------

    def _on_timer(self, now: int, token: object, effects: list[Effect]) -> None:
        if isinstance(token, tuple):
            if token[0] == "machine":
                self._provider.deliver(token, effects)
            else:
                self._actuator.go_on(now, token[1], effects)
        elif isinstance(token, ReclaimMachine):
            return  # a managed group makes another by itself, or does not
        elif token == self._armed:
            self._armed = -1
            self._scan(now, effects)
            if self.stays is not None:
                note_stays(self.stays, now, self._state, self._planner, self._cooling)
            self._trigger.ran(now, productive=now in (self._last_scale_up_ns, self._last_delete_ns))

    def _on_outcome(self, now: int, event: Outcome) -> None:
        """A taint that was refused stops its deletion. Every other write is seen to at the next scan, from what is."""
        if event.error is None:
            return
        self.handled_failures += 1
        if isinstance(event.effect, Update) and isinstance(event.token, tuple):
            self._actuator.taint_failed(now, event.token[1])

    def _relist(self, now: int, event: Relist) -> None:
        """Everything of a kind as it is: what is not among it is gone."""
        for gone in self._state.missing(event):
            self._observe(now, Watch(DELETED, gone))
        if event.kind == "ConfigMap":
            for item in self._by_priority:
                item.learn(None)
        for obj in event.objects:
            self._observe(now, Watch("ADDED", obj))

    def _observe(self, now: int, event: Watch) -> None:
        if isinstance(event.obj, ConfigMap):
            self._learn_priorities(event)
            return
        obj = event.obj
        if isinstance(obj, Pod) and event.type != DELETED and is_unschedulable(obj):
            self._trigger.observe(now, obj)
        if self._kept is not None and self._absorb(event):
            return
        self._state.observe(now, event)
        if isinstance(obj, Node):
            if event.type == DELETED:
                self._planner.forget(obj.metadata.name)
                self._actuator.forget(obj.metadata.name)
                if self.stays is not None:
                    self.stays.tell(now, obj.metadata.name, "")
        elif isinstance(obj, Pod) and (event.type == DELETED or obj.spec.node_name or obj.status.phase in ENDED):
            self._scale_up.forget(obj.metadata.key)

    def _absorb(self, event: Watch) -> bool:
        """What was simulated stands, but for nodes that the event touches; where it changes more, all is taken back.
        True where nothing is left to observe: of a node that is out of the snapshot, and comes back as it is then."""
        touched = None if self._pending.has_placed or not self._planner.are_plain else touched_nodes(self._state, event)
        if touched is None:
            self._release()
            return False
        for name in touched:
            self._planner.touch(name)
        obj = event.obj
        if isinstance(obj, Node) and obj.metadata.name not in self._state.snapshot.node_table.index:
            self._state.nodes[obj.metadata.name] = obj
            return True
        return False

    def _learn_priorities(self, event: Watch) -> None:
        meta = event.obj.metadata
        if (meta.namespace, meta.name) == PRIORITY_CONFIG:
            self._release()
            for item in self._by_priority:
                item.learn(None if event.type == DELETED else event.obj)

    def _busy(self) -> bool:
        """Whether there is anything to scan for."""
        if self._state.pending or self._actuator.going:
            return True
        return any(pool.requested or len(pool.members) != pool.pool.least for pool in self._state.pools.values())

    # -- a scan --------------------------------------------------------------------------------------------------------

    def _scan(self, now: int, effects: list[Effect]) -> None:
        """Source: static_autoscaler.go RunOnce."""
        state = self._state
        if self._kept is not None:
            if self._scan_again(now, effects):
                return
            self._release()
        self._provider.give_up(now, effects)
        state.settle_starting(now)
        self._actuator.clean_up(now, effects)
        for name in sorted(self._actuator.going):
            self._actuator.go_on(now, name, effects)
        for pool in state.pools.values():
            missing = pool.pool.least - pool.size
            if missing > 0 and now >= pool.backoff_until_ns:
                self._provider.order(now, pool.pool, missing, effects)
        if not self._is_healthy(effects):
            self._planner.clear()
            return
        fork = Fork(state.snapshot)
        try:
            if self._simulate(now, fork, effects) and self._is_quiet():
                self._kept = fork
        finally:
            if self._kept is not fork:
                self._planner.release()
                fork.revert()

    def _release(self) -> None:
        """Something changes: what was simulated is taken back."""
        if self._kept is not None:
            self._planner.release()
            self._kept.revert()
            self._kept = None

    def _is_quiet(self) -> bool:
        """Nothing is under way that time alone would change."""
        state = self._state
        busy = self._actuator.going or state.starting
        return not busy and not any(pool.requested for pool in state.pools.values())

    def _scan_again(self, now: int, effects: list[Effect]) -> bool:
        """A scan from where the last one ended: only what has changed since, or changes with time, is looked at. False
        where that needs a whole scan."""
        pools = self._state.pools.values()
        if any(pool.size < pool.pool.least for pool in pools):
            return False
        for name in set(self._state.terminating.values()):
            self._planner.touch(name)
        if could_help(self._state, self._planner.touched, self._left):
            return False
        self._actuator.clean_up(now, effects)
        if self._pending.has_young or (self._left and not self._scale_up.repeat(now, effects)):
            return False
        if self._settings.scale_down_enabled:
            self._planner.carry_on(now)
            self._scale_down(now, effects)
            if not self._is_quiet():
                self._release()
        self._planner.touched.clear()
        return True

    def _simulate(self, now: int, fork: Fork, effects: list[Effect]) -> bool:
        """Whether the next scan can begin where this one ended, if nothing changes."""
        self._look_ahead(fork)
        left, pods = self._pending.place(now, fork)
        self._left = list({view.cls.id: view for view in left}.values())
        wait = False
        if left:
            wait = self._scale_up.are_new(now, pods)
            tried = "" if wait else self._scale_up.scan(now, fork, left, effects)
            if tried == GREW:
                self._last_scale_up_ns = now
            if tried:
                return False  # no scale-down in this scan
        if self._settings.scale_down_enabled:
            self._planner.update(now, self._actuator.going)
            self._scale_down(now, effects, wait=wait)
        return not wait and not self._settings.scale_down_delay_type_local

    def _scale_down(self, now: int, effects: list[Effect], *, wait: bool = False) -> None:
        local = self._settings.scale_down_delay_type_local  # candidates are then passed over by their pool's delays
        last = (self._last_scale_up_ns, self._actuator.last_failure_ns, self._last_delete_ns)
        self._cooling = "" if local else cooldown(now, self._settings, *last)
        if not wait and not self._cooling:
            empty, drain = self._planner.to_delete(now, *self._actuator.counts, self._actuator.going)
            for name in (*empty, *drain):
                self._actuator.start(now, name, name in drain, effects)
                self._planner.forget(name)
                self._last_delete_ns = now
        self._actuator.mark_candidates(now, effects)

    def _look_ahead(self, fork: Fork) -> None:
        """The cluster as it will be: with nodes that were asked for, and without those that are drained."""
        state = self._state
        for pool in state.pools.values():
            for name in pool.coming:
                add_template_node(fork, pool.expected, name, state.daemon_pods)
        for name in state.starting:
            empty_as_template(fork, name, state.daemon_pods)
        self._pending.place_moving(fork, self._actuator.going)

    def _is_healthy(self, effects: list[Effect]) -> bool:
        """Too many nodes that are not ready: nothing is done."""
        healthy = self._state.is_healthy
        if not healthy and not self._told_unhealthy:
            some = next(iter(self._state.nodes.values()))
            effects.append(Record(some, "Warning", "ClusterUnhealthy", "Cluster is unhealthy"))
        self._told_unhealthy = not healthy
        return healthy
