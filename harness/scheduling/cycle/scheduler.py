"""kube-scheduler around a strategy, as a component: queue, snapshot, decisions, bindings, and what went wrong.

Source: kube-scheduler's scheduling cycle. A cycle hands the head of the queue to the strategy, assumes what it decides
on the snapshot and, once the time that deciding takes has passed, sends the bindings.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np

from harness.engine.component import (
    ADDED,
    DELETED,
    SECOND,
    BindPod,
    Delete,
    Effect,
    Event,
    EvictPod,
    Instant,
    Observe,
    Outcome,
    Relist,
    Start,
    Subscribe,
    Timer,
    Update,
    WakeAt,
    Watch,
)
from harness.engine.latency import Constant
from harness.model.core import Node, Pod
from harness.model.gpu import GPU_INDEX, devices_text
from harness.model.objects import PodDisruptionBudget, Unstructured
from harness.scheduling.cycle import pod_status, queueing_hints, watched_objects
from harness.scheduling.cycle.metrics import SchedulerMetrics
from harness.scheduling.cycle.nominated_first import turns
from harness.scheduling.cycle.pod_groups import Gangs
from harness.scheduling.cycle.queue import Queued, SchedulingQueue
from harness.scheduling.cycle.settings import DEFAULT_BATCH, SchedulerSettings, Tally
from harness.scheduling.cycle.volume_binder import WATCHES as VOLUMES
from harness.scheduling.cycle.volume_binder import VolumeBinder
from harness.scheduling.feasibility import legality
from harness.scheduling.feasibility.fit_error import Diagnoses
from harness.scheduling.feasibility.legality import needs_gang
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.pod_classes import bound_devices, node_columns
from harness.scheduling.preemption.preemptor import Attempt, Preemptor
from harness.scheduling.sandbox.guard import Fault, Guard
from harness.scheduling.sandbox.rebuild import rebuilt
from harness.scheduling.scoring import NOWHERE
from harness.scheduling.strategy import Bind, BindTogether, Decision, Evict, PodView, Strategy, Wait

_TICK = "tick"


class Scheduler:
    def __init__(
        self,
        strategy: Strategy,
        rng: Random,
        strategy_rng: np.random.Generator,
        settings: SchedulerSettings | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.settings = settings or SchedulerSettings()
        self.name = self.settings.name
        self.watches = ("Node", "Pod", "PodGroup", "PodDisruptionBudget", *watched_objects.WATCHES)
        self.tally = Tally()
        self.metrics = SchedulerMetrics(self.name)
        self.snapshot = Snapshot() if snapshot is None else snapshot
        self.queue = SchedulingQueue()
        self._strategy = strategy
        self.guard = Guard(strategy, self.settings.deadline_s)
        self._rng = rng
        self._strategy_rng = strategy_rng
        own = getattr(strategy, "batch_size", DEFAULT_BATCH)
        self.batch_size = self.settings.batch_size or int(own)
        self._gangs = Gangs()
        self._pending: dict[str, Pod] = {}  # unbound pods as last seen, by key
        self._gated: set[str] = set()  # pods that wait for their scheduling gates to go; only counted
        self._binding: dict[str, Instant] = {}  # when the binding of a pod was sent, until it is seen
        self._decided: list[Effect] = []
        self._busy_until = 0
        self._next_timer: int | None = None
        self._left_out: set[str] = set()
        self._diagnoses = Diagnoses()
        self._looked_at = -1  # version of the snapshot
        self._preemptor = self._new_preemptor()
        self._volumes = VolumeBinder(self.snapshot)

    # -- the component -------------------------------------------------------------------------------------------------

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                obj = event.obj
                if type(obj) is Pod:
                    self._pod(now, event.type, obj, event.old)
                elif type(obj) is Node:
                    self._node(now, event.type, obj)
                elif type(obj) is PodDisruptionBudget:
                    self._preemptor.budget(event.type, obj)
                elif not watched_objects.learn(self.snapshot.classes, obj, gone=event.type == DELETED):
                    assert type(obj) is Unstructured
                    self._group(now, event.type, obj)
            elif type(event) is Timer:
                if event.token == _TICK and self._next_timer is not None and self._next_timer <= now:
                    self._next_timer = None
            elif type(event) is Outcome:
                self._failed(now, event)
            elif type(event) is Relist:
                self._relist(now, event)
            elif type(event) is Start:
                self._forget()
        if self._decided and now >= self._busy_until:
            effects += self._decided
            self._decided = []
        effects += self._bind_volumes(now)
        self.queue.tick(now)
        self._give_up_groups(now, effects)
        if self.queue.elsewhere and self._looked_at != self.snapshot.version:
            self._look_elsewhere(now)
        while now >= self._busy_until and not self._decided and self.queue.has_active:
            effects += self._cycle(now)
            if now >= self._busy_until:
                effects += self._decided
                self._decided = []
        self._arm(effects)
        return effects

    def _arm(self, effects: list[Effect]) -> None:
        """One timer at a time, for whatever is due first."""
        due = self._busy_until if self._decided else self.queue.next_tick()
        unbound = self._volumes.next_due()
        if unbound is not None:
            due = unbound if due is None else min(due, unbound)
        if due is not None and (self._next_timer is None or due < self._next_timer):
            self._next_timer = due
            effects.append(WakeAt(due, _TICK))

    # -- what the world looks like -------------------------------------------------------------------------------------

    def _pod(self, now: int, change: str, pod: Pod, old: Pod | None = None) -> None:
        key = pod.metadata.key
        preemptor = self._preemptor
        node = pod.spec.node_name
        ended = change == DELETED or pod.status.phase in ("Succeeded", "Failed")
        if node:
            self._pending.pop(key, None)
            sent = self._binding.pop(key, None)
            if sent is not None:
                self.metrics.point("Bind", "Success", (now - sent) / 1e9)
            self._volumes.drop(key)
            if key in self.queue:
                self.queue.remove(key)
                self._kept_no_longer(now, key)
            if ended:
                preemptor.preemption.lost(key)
                self._freed(now, key)
                return
            if preemptor.wanted is not False:
                preemptor.heard_of(pod.spec.priority)
                preemptor.preemption.saw(pod)
            at = self.snapshot.where(key)
            if at is None or self.snapshot.facts.names[at] != node:
                self.snapshot.forget(key)
                self._place(pod, node)
            elif old is not None and _told_apart(pod) != _told_apart(old):
                self.snapshot.looks(key, *_told_apart(pod))
            return
        if ended or pod.metadata.deletion_timestamp is not None:
            self._pending.pop(key, None)
            self._left_out.discard(key)
            self._gated.discard(key)
            self.queue.remove(key)
            self._freed(now, key)  # it may have been assumed
            self._kept_no_longer(now, key)
            return
        if pod.spec.scheduler_name != self.name:
            return
        if pod.spec.scheduling_gates:
            self._gated.add(key)
            return
        if self._gated:
            self._gated.discard(key)
        preemptor.heard_of(pod.spec.priority)
        before = self._pending.get(key)
        self._pending[key] = pod
        if pod.status.nominated_node_name or (old is not None and old.status.nominated_node_name):
            preemptor.nominated_elsewhere(pod, self._view(pod), old)
        if key in self._left_out or self.snapshot.where(key) is not None:
            return
        if key not in self.queue:
            view = self._view(pod)
            if view.cls.constraints.claims and self._volumes.must_wait(key):
                return
            self.queue.add(view, pod.metadata.uid, now)
            if view.group is not None and not self._missing(view):
                self.queue.gathered(view.group)
        elif before is not None and (
            pod.spec is not before.spec
            or pod.metadata.labels != before.metadata.labels
            or pod.metadata.annotations != before.metadata.annotations
        ):
            self.queue.change(self._view(pod), now)

    def _view(self, pod: Pod) -> PodView:
        view = self.snapshot.classes.view(pod)
        lifetime = self.settings.lifetime_of(pod) if self.settings.lifetime_of is not None else None
        if view.group is None and lifetime is None:
            return view
        return self.snapshot.classes.view(pod, group_min=self._gangs.least(view.group), lifetime_ns=lifetime)

    def _place(self, pod: Pod, node: str) -> None:
        """Somebody else bound it, or it was there before this scheduler was."""
        self.snapshot.assume_on(self._view(pod), node, bound_devices(pod))

    def _kept_no_longer(self, now: int, key: str) -> None:
        """The pod needs the node no more that was kept for it: others may."""
        node = self.snapshot.nominations.drop(key)
        if node is not None:
            self._helped(now, node, "AssignedPodDelete")

    def _freed(self, now: int, key: str) -> None:
        node = self.snapshot.forget(key)
        self._volumes.drop(key)
        if node is not None:
            self._helped(now, node, "AssignedPodDelete")

    def _node(self, now: int, change: str, node: Node) -> None:
        name = node.metadata.name
        if change == DELETED:
            if name in self._nodes():
                self._node_gone(now, name)
            return
        columns = node_columns(node)
        if name in self._nodes():
            before = self.snapshot.version
            self.snapshot.update_node(**columns)
            if self.snapshot.version == before:
                return  # a heartbeat: nothing that scheduling looks at
            event = "NodeUpdate"
        else:
            self.snapshot.add_node(**columns)
            event = "NodeAdd"
        self._helped(now, self._nodes()[name], event)

    def _node_gone(self, now: int, name: str) -> None:
        nominations = self.snapshot.nominations
        for pod in nominations.on(self._nodes()[name]):
            nominations.drop(pod.key)
            self.queue.wake_pod(pod.key, now, "NodeDelete")
        self.snapshot.remove_node(name)

    def _nodes(self) -> dict[str, int]:
        return self.snapshot.facts.index

    def _group(self, now: int, change: str, group: Unstructured) -> None:
        key = self._gangs.learn(change, group)
        for pod_key in list(self.queue.keys()):
            queued = self.queue.get(pod_key)
            if queued is not None and queued.view.group == key:
                self.queue.change(self._view(self._pending[pod_key]), now)

    def _look_elsewhere(self, now: int) -> None:
        self._looked_at = self.snapshot.version
        queueing_hints.look_elsewhere(self.snapshot, self.queue, now)

    def _missing(self, pod: PodView) -> int:
        """How many members its gang lacks of those that must be placed together."""
        return needs_gang(self.snapshot, pod) - self.queue.waiting_in(pod.group) if pod.group is not None else 0

    def _give_up_groups(self, now: int, effects: list[Effect]) -> None:
        for group, members in self.queue.given_up(now):
            least = self._gangs.least(group)
            seconds = self._gangs.timeout_ns(group) // SECOND
            for queued in members:
                pod = self._pending[queued.view.key]
                there = self.queue.waiting_in(group) + self.snapshot.placed_in_group(group)
                message = f"pod group {group}: {there} of at least {least} pods are there after {seconds} s"
                self.tally.unschedulable += 1
                effects += pod_status.unschedulable(now, pod, message, pod.status.nominated_node_name)
                if self.settings.retry:
                    self.queue.back_off(queued, now)
                else:
                    self._leave_out(queued.view.key)

    def _helped(self, now: int, node: int, event: str) -> None:
        preemption = self._preemptor.preemption if self._preemptor.active else None
        queueing_hints.helped(self.snapshot, self.queue, preemption, node, now, event)

    def _relist(self, now: int, event: Relist) -> None:
        """The watch lost its place: what is not in the list is gone."""
        there = {obj.metadata.key for obj in event.objects}
        if event.kind == "Pod":
            known = [*self._pending, *self.snapshot.placed_keys()]
            for key in known:
                if key not in there:
                    self._pending.pop(key, None)
                    self._preemptor.preemption.lost(key)
                    self.queue.remove(key)
                    self._freed(now, key)
                    self._kept_no_longer(now, key)
        elif event.kind == "Node":
            for name in list(self._nodes()):
                if name not in there:
                    self._node_gone(now, name)
        elif event.kind == "PodDisruptionBudget":
            self._preemptor.preemption.budgets.clear()
        elif event.kind in VOLUMES:
            self.snapshot.classes.volumes.clear(event.kind)
        for obj in event.objects:
            match obj:
                case Pod():
                    self._pod(now, ADDED, obj)
                case Node():
                    self._node(now, ADDED, obj)
                case PodDisruptionBudget():
                    self._preemptor.budget(ADDED, obj)
                case _:
                    if not watched_objects.learn(self.snapshot.classes, obj):
                        assert isinstance(obj, Unstructured)
                        self._group(now, ADDED, obj)

    def _forget(self) -> None:
        """A restart: everything is learned again from the watches."""
        if self._pending or len(self.snapshot):
            self.snapshot = self.snapshot.fresh()
            self._diagnoses = Diagnoses()
            self.queue = SchedulingQueue()
            self._pending.clear()
            self._preemptor = self._new_preemptor()
            self._volumes = VolumeBinder(self.snapshot)
            self._gated.clear()
            self._binding.clear()
            self._decided.clear()
            self._busy_until = 0
            self._next_timer = None

    def _new_preemptor(self) -> Preemptor:
        wanted = self.settings.preemption if self.settings.retry else False  # who gets no second chance gains nothing
        return Preemptor(self.snapshot, wanted, self._rng, self._pending)

    def prometheus(self) -> str:
        """Metrics under kube-scheduler's names, in Prometheus' text format."""
        return self.metrics.text(self.queue, self.snapshot, len(self._gated))

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _cycle(self, now: int) -> list[Effect]:
        batch = self.queue.pop(
            self.batch_size,
            lambda pod: now + self._gangs.timeout_ns(pod.group) if self._missing(pod) > 0 else None,
        )
        if not batch:
            return []
        pods = {queued.view.key: queued for queued in batch}
        views = [queued.view for queued in batch]
        tally = self.tally
        tally.cycles += 1
        effects: list[Effect] = []
        self.snapshot.now_ns = now
        said: dict[str, str] = {}
        clock = self.settings.clock
        started = clock() if clock is not None else 0.0

        def decide(bind: Bind | BindTogether) -> None:
            self._decide(now, bind, pods, {}, effects)

        for turn in turns(views, pods, lambda: self.snapshot, self._preemptor.preemption, decide):
            for answer in self.guard.place(turn, self.snapshot, self._strategy_rng):
                if isinstance(answer, Fault):
                    at = answer.pod or next((key for key in pods if key not in said), "")
                    self._violation(now, effects, answer.kind, at, answer.reason)
                else:
                    self._decide(now, answer, pods, said, effects)
            if self.guard.interrupted:
                self.snapshot = self._volumes.on = rebuilt(self.snapshot, without=pods)
                self._preemptor.look_at(self.snapshot)
                self._diagnoses = Diagnoses()
        spent = clock() - started if clock is not None else None
        if spent is not None:
            tally.deciding_s += spent
        self._charge(now, len(batch), effects)
        self.metrics.cycle(len(batch) - len(pods), len(pods), (self._busy_until - now) / 1e9 / len(batch), spent)
        attempts: dict[str, Attempt] = {}
        for members, attempt in self._preemptor.attempt_gangs(now, [queued.view for queued in pods.values()]):
            self._took(attempt)
            attempts.update((member.key, attempt) for member in members)
        for key, queued in pods.items():
            self._unplaced(now, queued, said.get(key, ""), attempts.get(key), effects)
        return effects

    def _charge(self, now: int, decided: int, effects: list[Effect]) -> None:
        """Deciding takes time, by the strategy's own model or by the scenario's latency, a pod at a time."""
        modelled = self.guard.modelled_ns(decided, len(self.snapshot))
        if isinstance(modelled, Fault):
            self._violation(now, effects, modelled.kind, "", modelled.reason)
            modelled = None
        if modelled is not None:
            spent = modelled
        elif isinstance(self.settings.latency, Constant):
            spent = self.settings.latency.ns * decided
        else:
            spent = sum(self.settings.latency.draw(self._rng) for _ in range(decided))
        self._busy_until = now + spent

    def _decide(
        self, now: int, decision: Decision, pods: dict[str, Queued], said: dict[str, str], effects: list[Effect]
    ) -> None:
        if type(decision) is Bind or type(decision) is BindTogether:
            for bind in (decision,) if isinstance(decision, Bind) else decision.binds:
                if bind.pod.key not in pods:
                    self._violation(now, effects, "illegal bind", bind.pod.key, "this pod was placed already")
                    return
            outcome = legality.apply(self.snapshot, decision)
            if isinstance(outcome, legality.Refused):
                self._violation(now, effects, "illegal bind", outcome.pod.key, outcome.reason)
                return
            for bind in outcome:
                key = bind.pod.key
                queued = pods.pop(key)
                self.queue.remove(key)
                self._kept_no_longer(now, key)
                self.tally.decisions += 1
                self.metrics.scheduled(now - queued.entered_ns, queued.attempts)
                self._binding[key] = now
                namespace, _, name = key.rpartition("/")
                devices = {GPU_INDEX: devices_text(bind.devices)} if bind.devices else {}
                node = self.snapshot.facts.names[bind.node]
                binding = BindPod(namespace, name, queued.uid, node, devices)
                claims = bind.pod.cls.constraints.claims
                self._decided += self._volumes.bind(now, key, binding) if claims else [binding]
        elif type(decision) is Wait:
            said[decision.pod.key] = decision.reason
        elif type(decision) is Evict:
            namespace, _, name = decision.pod.rpartition("/")
            effects.append(EvictPod(namespace, name, reason="PreemptionByScheduler", message=decision.reason))

    def _took(self, attempt: Attempt) -> None:
        self.metrics.preempted(attempt.victims)
        self._decided += attempt.effects

    def _unplaced(self, now: int, queued: Queued, said: str, attempt: Attempt | None, effects: list[Effect]) -> None:
        self.tally.unschedulable += 1
        key = queued.view.key
        pod = self._pending.get(key)
        if pod is None:
            self.queue.remove(key)
            return
        view = queued.view
        why = self._diagnoses.of(self.snapshot, view)
        message = str(why)
        if said and said != NOWHERE:  # the diagnosis says more
            message = f"{message} {said}" if not said.startswith("0/") else said
        released: tuple[str, ...] = ()
        if (
            attempt is None
            and self._preemptor.active
            and legality.needs_gang(self.snapshot, view) <= 1
            and not self.snapshot.feasible(view).any()
        ):
            attempt = self._preemptor.attempt(now, view, pod, why)
            self._took(attempt)
        if attempt is not None:
            released = attempt.released
            message = " ".join(filter(None, (message, attempt.message)))
        kept = self.snapshot.nominations.node_of(key)
        queued.nominated = kept is not None
        nominated = self.snapshot.facts.names[kept] if kept is not None else ""
        effects += pod_status.unschedulable(now, pod, message, nominated)
        if self.settings.retry:
            self.queue.put_back(queued, now)
            for other in released:
                self.queue.wake_pod(other, now, "PodUpdate")
        else:
            self._leave_out(key)

    def _leave_out(self, key: str) -> None:
        self.queue.remove(key)
        self._left_out.add(key)

    def _failed(self, now: int, outcome: Outcome) -> None:
        effect = outcome.effect
        if type(effect) is Subscribe or type(effect) is Update:
            for held in self._volumes.answered(outcome):
                pod = self._pending.get(held)
                if pod is not None:
                    self._pod(now, ADDED, pod)
            return
        if outcome.error is None:
            return
        if type(effect) is Delete:
            node = self._preemptor.not_deleted(effect)
            if node is not None:  # the pod it should have gone for tries again
                for nominee in self.snapshot.nominations.on(node):
                    self.queue.wake_pod(nominee.key, now, "ScheduleAttemptFailure")
        if type(effect) is BindPod:
            self._not_bound(now, effect)

    def _bind_volumes(self, now: int) -> list[Effect]:
        """Pods whose claims are bound by now are bound themselves; those whose claims will not be try again."""
        ready, failed = self._volumes.due(now)
        effects: list[Effect] = [*self._volumes.subscription(), *ready]
        for bind, why in failed:
            pod = self._pending.get(f"{bind.namespace}/{bind.name}")
            if pod is not None:
                effects += pod_status.unschedulable(now, pod, why, "")
            self._not_bound(now, bind)
        return effects

    def _not_bound(self, now: int, effect: BindPod) -> None:
        key = f"{effect.namespace}/{effect.name}"
        sent = self._binding.pop(key, None)
        self.metrics.errors()
        if sent is not None:
            self.metrics.point("Bind", "Error", (now - sent) / 1e9)
        pod = self._pending.get(key)
        if pod is None or pod.metadata.uid != effect.uid or key in self.queue:
            return  # deleted, or bound by somebody else: the watch has told
        self._freed(now, key)
        queued = self.queue.add(self._view(pod), pod.metadata.uid, now)
        queued.attempts += 1
        self.queue.back_off(queued, now)

    def _violation(self, now: int, effects: list[Effect], kind: str, pod: str, reason: str) -> None:
        self.tally.violations.append((now, kind, pod, reason))
        effects.append(Observe("violation", (self.name, kind, pod, reason)))


def _told_apart(pod: Pod) -> tuple[dict[str, str], bool]:
    """What other pods' constraints see of a placed pod."""
    return pod.metadata.labels, pod.metadata.deletion_timestamp is not None
