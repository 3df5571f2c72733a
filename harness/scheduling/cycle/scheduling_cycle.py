"""One scheduling cycle: the head of the queue goes to the strategy, and its decisions to the snapshot and the binder.

Source: kube-scheduler 1.32 schedule_one.go, for a batch of pods instead of one.
"""

from __future__ import annotations

from harness.engine.component import Effect, EvictPod, Instant
from harness.engine.latency import Constant
from harness.scheduling.cycle.binding import Binder
from harness.scheduling.cycle.context import SchedulerContext
from harness.scheduling.cycle.failure_handler import FailureHandler
from harness.scheduling.cycle.nominated_first import nominated_first
from harness.scheduling.cycle.queue import Queued
from harness.scheduling.cycle.settings import DEFAULT_BATCH
from harness.scheduling.feasibility import legality
from harness.scheduling.sandbox.guard import Guard
from harness.scheduling.sandbox.rebuild import rebuild_snapshot
from harness.scheduling.strategy import (
    Bind,
    BindTogether,
    Decision,
    Evict,
    PodView,
    RandomGenerator,
    Strategy,
    StrategyFault,
    Wait,
)


class SchedulingCycle:
    """`busy_until`: when the decisions of the last cycle are sent and the next cycle may begin."""

    def __init__(
        self,
        context: SchedulerContext,
        binder: Binder,
        failures: FailureHandler,
        strategy: Strategy,
        strategy_rng: RandomGenerator,
    ) -> None:
        self._context = context
        self._binder = binder
        self._failures = failures
        self._strategy_rng = strategy_rng
        self.guard = Guard(strategy, context.settings.deadline_s)
        self.batch_size = context.settings.batch_size or int(getattr(strategy, "batch_size", DEFAULT_BATCH))
        self.busy_until: Instant = 0

    def run(self, now: Instant) -> list[Effect]:
        """What to write at once; decisions are deferred (`SchedulerContext.deferred`)."""
        context = self._context
        batch = context.queue.pop(self.batch_size, lambda pod: self._wait_for_members(now, pod))
        if not batch:
            return []
        pods = {queued.view.key: queued for queued in batch}
        context.tally.cycles += 1
        context.snapshot.now_ns = now
        effects: list[Effect] = []
        waits: dict[str, str] = {}
        clock = context.settings.clock
        started = clock() if clock is not None else 0.0
        # As classes are now: anti-affinity of pods that came later, in the same batch too, may have split them.
        views = [context.snapshot.classes.current(queued.view) for queued in batch]
        self._ask(now, views, pods, waits, effects)
        measured_s = clock() - started if clock is not None else None
        if measured_s is not None:
            context.tally.deciding_s += measured_s
        self._charge(now, len(batch), effects)
        charged_s = (self.busy_until - now) / 1e9 / len(batch)
        context.metrics.cycle(len(batch) - len(pods), len(pods), charged_s, measured_s)
        effects += self._failures.handle(now, pods, waits)
        return effects

    def _wait_for_members(self, now: Instant, pod: PodView) -> Instant | None:
        """Until when a pod waits for the rest of its gang; None where enough are there."""
        if self._context.missing_members(pod) <= 0:
            return None
        return now + self._context.pod_groups.timeout_ns(pod.group)

    def _ask(
        self,
        now: Instant,
        views: list[PodView],
        pods: dict[str, Queued],
        waits: dict[str, str],
        effects: list[Effect],
    ) -> None:
        """Pods that are placed are taken out of `pods`; reasons to wait are put into `waits`."""
        context = self._context

        def decide(bind: Bind | BindTogether) -> None:
            self._apply(now, bind, pods, {}, effects)

        turns = nominated_first(views, pods, lambda: context.snapshot, context.preemptor.preemption, decide)
        for turn in turns:
            for answer in self.guard.place(turn, context.snapshot, self._strategy_rng):
                if isinstance(answer, StrategyFault):
                    at = answer.pod or next((key for key in pods if key not in waits), "")
                    effects.append(context.record_violation(now, answer.kind, at, answer.reason, answer.traceback))
                else:
                    self._apply(now, answer, pods, waits, effects)
            if self.guard.interrupted:
                context.replace_snapshot(rebuild_snapshot(context.snapshot, pods, self.guard.removed))

    def _apply(
        self,
        now: Instant,
        decision: Decision,
        pods: dict[str, Queued],
        waits: dict[str, str],
        effects: list[Effect],
    ) -> None:
        if type(decision) is Bind or type(decision) is BindTogether:
            self._assume(now, decision, pods, effects)
        elif type(decision) is Wait:
            waits[decision.pod.key] = decision.reason
        elif type(decision) is Evict:
            namespace, _, name = decision.pod.rpartition("/")
            effects.append(EvictPod(namespace, name, reason="PreemptionByScheduler", message=decision.reason))

    def _assume(
        self, now: Instant, decision: Bind | BindTogether, pods: dict[str, Queued], effects: list[Effect]
    ) -> None:
        context = self._context
        for bind in (decision,) if isinstance(decision, Bind) else decision.binds:
            if bind.pod.key not in pods:
                reason = "this pod was placed already"
                effects.append(context.record_violation(now, "illegal bind", bind.pod.key, reason))
                return
        outcome = legality.apply(context.snapshot, decision)
        if isinstance(outcome, legality.Refused):
            effects.append(context.record_violation(now, "illegal bind", outcome.pod.key, outcome.reason))
            return
        for bind in outcome:
            context.deferred += self._binder.bind(now, pods.pop(bind.pod.key), bind)

    def _charge(self, now: Instant, decided: int, effects: list[Effect]) -> None:
        """Deciding takes time, by the strategy's own model or by the scenario's latency, a pod at a time."""
        context = self._context
        modelled = self.guard.modelled_ns(decided, len(context.snapshot))
        if isinstance(modelled, StrategyFault):
            effects.append(context.record_violation(now, modelled.kind, "", modelled.reason, modelled.traceback))
            modelled = None
        latency = context.settings.latency
        if modelled is not None:
            spent = modelled
        elif isinstance(latency, Constant):
            spent = latency.ns * decided
        else:
            spent = sum(latency.draw(context.rng) for _ in range(decided))
        self.busy_until = now + spent
