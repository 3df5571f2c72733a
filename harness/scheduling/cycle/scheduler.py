"""kube-scheduler around a strategy, as a component: watch events and timers in, bindings and statuses out.

intake.py takes in what the watches tell, scheduling_cycle.py asks the strategy, binding.py and failure_handler.py write
what came of it; context.py is what they share. This file says when each of them runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from harness.engine.component import (
    ADDED,
    BindPod,
    Delete,
    Effect,
    Event,
    Instant,
    Outcome,
    Relist,
    Start,
    Subscribe,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.scheduling.cycle import queueing_hints, watched_objects
from harness.scheduling.cycle.binding import Binder
from harness.scheduling.cycle.context import SchedulerContext
from harness.scheduling.cycle.failure_handler import FailureHandler
from harness.scheduling.cycle.intake import Intake
from harness.scheduling.cycle.metrics import SchedulerMetrics
from harness.scheduling.cycle.queue import SchedulingQueue
from harness.scheduling.cycle.scheduling_cycle import SchedulingCycle
from harness.scheduling.cycle.settings import SchedulerSettings, SchedulerTally
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.sandbox.guard import Guard
from harness.scheduling.strategy import RandomGenerator, Strategy

_TICK = "tick"


class Scheduler:
    handled_failures = 0

    def __init__(
        self,
        strategy: Strategy,
        rng: Random,
        strategy_rng: RandomGenerator,
        settings: SchedulerSettings | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.settings = settings or SchedulerSettings()
        self.name = self.settings.name
        self.watches = ("Node", "Pod", "PodGroup", "PodDisruptionBudget", *watched_objects.WATCHES)
        if snapshot is None:
            snapshot = Snapshot(PodClasses(filters=self.settings.filters))
        self._context = SchedulerContext(self.settings, rng, snapshot)
        self._binder = Binder(self._context)
        self._intake = Intake(self._context, self._binder)
        self._failures = FailureHandler(self._context)
        self._cycle = SchedulingCycle(self._context, self._binder, self._failures, strategy, strategy_rng)
        self._started = False
        self._next_timer: Instant | None = None
        self._cluster_scope_version = -1  # of the snapshot, when pods that look at other nodes were last woken

    # -- what others may look at ---------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        return self._context.snapshot

    @property
    def queue(self) -> SchedulingQueue:
        return self._context.queue

    @property
    def tally(self) -> SchedulerTally:
        return self._context.tally

    @property
    def metrics(self) -> SchedulerMetrics:
        return self._context.metrics

    @property
    def guard(self) -> Guard:
        return self._cycle.guard

    @property
    def batch_size(self) -> int:
        return self._cycle.batch_size

    def prometheus(self) -> str:
        """Metrics under kube-scheduler's names, in Prometheus' text format."""
        context = self._context
        return context.metrics.text(context.queue, context.snapshot, len(context.gated))

    # -- the component -------------------------------------------------------------------------------------------------

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        context, cycle = self._context, self._cycle
        for event in events:
            self._handle_event(now, event)
        effects: list[Effect] = []
        self._send_deferred(now, effects)
        effects += self._binder.bind_volumes(now)
        context.queue.tick(now)
        effects += self._failures.give_up_groups(now)
        if context.queue.cluster_scope and self._cluster_scope_version != context.snapshot.version:
            self._cluster_scope_version = context.snapshot.version
            queueing_hints.wake_cluster_scope(context.snapshot, context.queue, now)
        while now >= cycle.busy_until and not context.deferred and context.queue.has_active:
            effects += cycle.run(now)
            self._send_deferred(now, effects)
        if self.settings.filters:
            effects += self._take_filter_faults(now)
        self._set_timer(effects)
        return effects

    def _take_filter_faults(self, now: Instant) -> list[Effect]:
        """What Filter plugins of others did wrong, asked by this scheduler or by an autoscaler."""
        return [
            self._context.record_violation(now, fault.kind, fault.pod, fault.reason, fault.traceback)
            for plugin in self.settings.filters
            for fault in plugin.take_faults()
        ]

    def _handle_event(self, now: Instant, event: Event) -> None:
        if type(event) is Watch:
            self._intake.handle_watch(now, event)
        elif type(event) is Timer:
            if event.token == _TICK and self._next_timer is not None and self._next_timer <= now:
                self._next_timer = None
        elif type(event) is Outcome:
            self._handle_outcome(now, event)
        elif type(event) is Relist:
            self._intake.handle_relist(now, event)
        elif type(event) is Start:
            self._restart()

    def _handle_outcome(self, now: Instant, outcome: Outcome) -> None:
        context = self._context
        effect = outcome.effect
        if type(effect) is Subscribe or type(effect) is Update:
            self.handled_failures += outcome.error is not None  # the binder of volumes asks again
            for key in context.volumes.answered(outcome):
                pod = context.pending.get(key)
                if pod is not None:
                    self._intake.handle_pod(now, ADDED, pod)
            return
        if outcome.error is None:
            return
        # A pod that could not be bound comes back, a victim that could not be deleted is looked for again, and a status
        # that could not be written is written by the next attempt, which finds that the pod does not have it.
        self.handled_failures += 1
        if type(effect) is Delete:
            node = context.preemptor.handle_delete_failure(effect)
            if node is not None:  # the pod that the victim should have made room for tries again
                for nominee in context.snapshot.nominations.pods_on(node):
                    context.queue.wake_pod(nominee.key, now, "ScheduleAttemptFailure")
        if type(effect) is BindPod:
            self._binder.handle_failure(now, effect)

    def _restart(self) -> None:
        """The process started anew: everything is learned again from the watches."""
        if self._started:
            self._context.restart()
            self._intake.restart()
            self._binder.restart()
            self._cycle.busy_until = 0
            self._next_timer = None
            self._cluster_scope_version = -1
        self._started = True

    def _send_deferred(self, now: Instant, effects: list[Effect]) -> None:
        """Decisions are written once the time that deciding takes has passed."""
        deferred = self._context.deferred
        if deferred and now >= self._cycle.busy_until:
            effects += deferred
            deferred.clear()

    def _set_timer(self, effects: list[Effect]) -> None:
        """One timer at a time, for whatever is due first."""
        context = self._context
        # Decisions to send, or pods that the last batch left over: both when deciding is done.
        busy = bool(context.deferred) or context.queue.has_active
        due = self._cycle.busy_until if busy else context.queue.next_tick()
        volumes_due = context.volumes.next_due()
        if volumes_due is not None:
            due = volumes_due if due is None else min(due, volumes_due)
        if due is not None and (self._next_timer is None or due < self._next_timer):
            self._next_timer = due
            effects.append(WakeAt(due, _TICK))
