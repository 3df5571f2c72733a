"""Pods that were not placed: diagnosis, preemption, the pod's status, and back into the queue.

Source: kube-scheduler 1.32 schedule_one.go handleSchedulingFailure.
"""

from __future__ import annotations

from harness.engine.component import SECOND, Effect, Instant
from harness.scheduling.cycle import pod_status
from harness.scheduling.cycle.context import SchedulerContext
from harness.scheduling.cycle.queue import Queued
from harness.scheduling.feasibility.legality import needs_gang
from harness.scheduling.preemption.preemptor import Attempt
from harness.scheduling.scoring import NOWHERE
from harness.scheduling.strategy import PodView


class FailureHandler:
    def __init__(self, context: SchedulerContext) -> None:
        self._context = context

    def handle(self, now: Instant, unplaced: dict[str, Queued], waits: dict[str, str]) -> list[Effect]:
        """For the pods that a cycle did not place, by key. `waits`: the strategy's reasons, where it gave any."""
        effects: list[Effect] = []
        attempts: dict[str, Attempt] = {}
        views = [queued.view for queued in unplaced.values()]
        for members, attempt in self._context.preemptor.attempt_gangs(now, views):
            self._carry_out(attempt)
            attempts.update((member.key, attempt) for member in members)
        for key, queued in unplaced.items():
            effects += self._handle_pod(now, queued, waits.get(key, ""), attempts.get(key))
        return effects

    def give_up_groups(self, now: Instant) -> list[Effect]:
        """Gangs whose members did not all come in time."""
        context = self._context
        effects: list[Effect] = []
        for group, members in context.queue.given_up(now):
            min_member = context.pod_groups.min_member(group)
            seconds = context.pod_groups.timeout_ns(group) // SECOND
            for queued in members:
                pod = context.pending[queued.view.key]
                present = context.queue.waiting_in(group) + context.snapshot.placed_in_group(group)
                message = f"pod group {group}: {present} of at least {min_member} pods are there after {seconds} s"
                context.tally.unschedulable += 1
                # Nobody can tell when the others come, if ever: the node that was kept for it is for others to have.
                context.drop_nomination(now, queued.view.key)
                queued.nominated = False
                effects += pod_status.report_unschedulable(now, pod, message, "")
                if context.settings.retry:
                    context.queue.back_off(queued, now)
                else:
                    context.leave_out(queued.view.key)
        return effects

    def _handle_pod(self, now: Instant, queued: Queued, wait: str, attempt: Attempt | None) -> list[Effect]:
        context = self._context
        context.tally.unschedulable += 1
        view = queued.view
        key = view.key
        pod = context.pending.get(key)
        if pod is None:
            context.queue.remove(key)
            return []
        diagnosis = context.diagnoses.diagnose(context.snapshot, view)
        message = str(diagnosis)
        if wait and wait != NOWHERE:  # the diagnosis says more
            message = f"{message} {wait}" if not wait.startswith("0/") else wait
        if attempt is None and self._may_preempt(view):
            attempt = context.preemptor.attempt(now, view, pod, diagnosis)
            self._carry_out(attempt)
        released: tuple[str, ...] = ()
        if attempt is not None:
            released = attempt.released
            message = " ".join(filter(None, (message, attempt.message)))
        node = context.snapshot.nominations.node_of(key)
        queued.nominated = node is not None
        nominated = context.snapshot.node_table.names[node] if node is not None else ""
        effects = pod_status.report_unschedulable(now, pod, message, nominated)
        if context.settings.retry:
            context.queue.put_back(queued, now)
            for other in released:
                context.queue.wake_pod(other, now, "PodUpdate")
        else:
            context.leave_out(key)
        return effects

    def _may_preempt(self, view: PodView) -> bool:
        context = self._context
        return (
            context.preemptor.active
            and needs_gang(context.snapshot, view) <= 1
            and not context.snapshot.feasible(view).any()
        )

    def _carry_out(self, attempt: Attempt) -> None:
        self._context.metrics.preempted(attempt.victims)
        self._context.deferred += attempt.effects
