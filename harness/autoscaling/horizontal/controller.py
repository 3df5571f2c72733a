"""The horizontal pod autoscaler: replicas by CPU utilisation, by Kubernetes' algorithm.

Source: pkg/controller/podautoscaler horizontal.go and replica_calculator.go (1.32). Kubelets here report usage only
when it changed, so the last PodMetrics of a pod is what every scrape since has shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from harness.autoscaling.policy import REPLICA_POLICIES, PodSample, Proposal, ReplicaPolicy, ScaleTarget
from harness.engine.component import (
    DELETED,
    MINUTE,
    SECOND,
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
    next_tick,
)
from harness.model.core import Pod
from harness.model.meta import Condition, LabelSelector, condition, with_condition
from harness.model.wire import Time
from harness.model.workloads import (
    Deployment,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerStatus,
    PodMetrics,
    ReplicaSet,
)

SYNC_NS = 15 * SECOND
"""Source: --horizontal-pod-autoscaler-sync-period."""
CPU_INITIALIZATION_NS = 5 * MINUTE
"""Source: --horizontal-pod-autoscaler-cpu-initialization-period."""
READINESS_DELAY_NS = 30 * SECOND
"""Source: --horizontal-pod-autoscaler-initial-readiness-delay."""
SCALE_DOWN_WINDOW_NS = 300 * SECOND
"""Source: --horizontal-pod-autoscaler-downscale-stabilization."""
PERIOD_NS = 15 * SECOND
UP_PODS, UP_PERCENT, DOWN_PERCENT = 4, 100, 100
"""Source: pkg/apis/autoscaling/v2/defaults.go: scale up max(4 pods, 100 %), down 100 %, each in 15 s."""
SCRAPE_NS = 15 * SECOND
"""Source: metrics-server --metric-resolution, 15s."""

replaced = msgspec.structs.replace


class _Memory(msgspec.Struct):
    """Of one autoscaler: recommendations and scalings with their instants."""

    recommended: list[tuple[int, int]] = []
    ups: list[tuple[int, int]] = []
    downs: list[tuple[int, int]] = []


class HorizontalController:
    name = "horizontal-pod-autoscaler"
    period_ns, phase_ns = SYNC_NS, 0
    watches = ("HorizontalPodAutoscaler", "Deployment", "ReplicaSet", "Pod", "PodMetrics")

    handled_failures = 0

    def __init__(self, policy: str | ReplicaPolicy = "utilization") -> None:
        """`policy`: a replica policy, or the name of one. Raises UserError."""
        self._policy: ReplicaPolicy = REPLICA_POLICIES.make(policy) if isinstance(policy, str) else policy
        self._reset()

    def _reset(self) -> None:
        self._scalers: dict[str, HorizontalPodAutoscaler] = {}
        self._memory: dict[str, _Memory] = {}
        self._targets: dict[tuple[str, str], Deployment | ReplicaSet] = {}
        self._pods: dict[tuple[str, str, str], dict[str, Pod]] = {}  # by namespace and label
        self._known_pods: dict[str, Pod] = {}
        self._metrics: dict[str, PodMetrics] = {}
        self._armed = -1

    def step(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if type(event) is Watch:
                self._hear(event)
            elif type(event) is Relist:
                self._relist(event)
            elif type(event) is Timer:
                if event.token == self._armed:
                    self._armed = -1
                    for key in sorted(self._scalers):
                        self._sync(now, self._scalers[key], effects)
            elif type(event) is Start:
                self._reset()
            elif type(event) is Outcome and event.error is not None:
                self._refused(event, effects)
        if self._scalers and self._armed < 0:
            self._armed = next_tick(now, SYNC_NS, self.phase_ns)
            effects.append(WakeAt(self._armed, self._armed))
        return effects

    def _refused(self, outcome: Outcome, effects: list[Effect]) -> None:
        """The next sync sees what is, and writes again. Source: horizontal.go reconcileAutoscaler: FailedRescale; what
        was not scaled does not count towards the rates; the rate limiter asks again after one sync period."""
        self.handled_failures += 1
        effect, error = outcome.effect, outcome.error
        if type(effect) is not Update:
            return
        key, scaling = effect.token
        memory = self._memory.get(key)
        if memory is not None:
            memory.ups = [item for item in memory.ups if item != scaling]
            memory.downs = [item for item in memory.downs if item != scaling]
        scaler = self._scalers.get(key)
        if scaler is not None:
            text = f"New size: {effect.obj.spec.replicas}; error: {error}"
            effects.append(Record(scaler, "Warning", "FailedRescale", text))

    # -- what the watches bring ----------------------------------------------------------------------------------------

    def _hear(self, event: Watch) -> None:
        obj, gone = event.obj, event.type == DELETED
        kind = type(obj)
        meta = obj.metadata
        if kind is Pod:
            known = self._known_pods.get(meta.key)
            if known is not None and (gone or known.metadata.labels is not meta.labels):
                self._shelve(known, gone=True)
            if gone:
                self._known_pods.pop(meta.key, None)
            else:
                self._known_pods[meta.key] = obj
                self._shelve(obj, gone=False)
        elif kind is PodMetrics:
            if gone:
                self._metrics.pop(meta.key, None)
            else:
                self._metrics[meta.key] = obj
        elif kind is HorizontalPodAutoscaler:
            if gone:
                self._scalers.pop(meta.key, None)
                self._memory.pop(meta.key, None)
            else:
                self._scalers[meta.key] = obj
        else:
            key = (kind.__name__, meta.key)
            if gone:
                self._targets.pop(key, None)
            else:
                self._targets[key] = obj

    def _shelve(self, pod: Pod, *, gone: bool) -> None:
        meta = pod.metadata
        for name, value in meta.labels.items():
            shelf = self._pods.setdefault((meta.namespace, name, value), {})
            if gone:
                shelf.pop(meta.key, None)
            else:
                shelf[meta.key] = pod

    def _relist(self, event: Relist) -> None:
        if event.kind == "Pod":
            self._pods.clear()
            self._known_pods.clear()
        elif event.kind == "PodMetrics":
            self._metrics.clear()
        elif event.kind == "HorizontalPodAutoscaler":
            self._scalers.clear()
        else:
            self._targets = {key: value for key, value in self._targets.items() if key[0] != event.kind}
        for obj in event.objects:
            self._hear(Watch("ADDED", obj))

    def _selected(self, namespace: str, selector: LabelSelector) -> list[Pod]:
        """In order of key."""
        pairs = sorted(selector.match_labels.items())
        shelves: Iterable[dict[str, Pod]]
        if pairs:
            shelves = [self._pods.get((namespace, *pairs[0]), {})]
        else:
            shelves = [shelf for (space, _, _), shelf in self._pods.items() if space == namespace]
        found = {key: pod for shelf in shelves for key, pod in shelf.items() if selector.matches(pod.metadata.labels)}
        return [found[key] for key in sorted(found)]

    # -- one autoscaler ------------------------------------------------------------------------------------------------

    def _sync(self, now: int, scaler: HorizontalPodAutoscaler, effects: list[Effect]) -> None:
        meta, spec = scaler.metadata, scaler.spec
        ref = spec.scale_target_ref
        target = self._targets.get((ref.kind, f"{meta.namespace}/{ref.name}"))
        conditions = scaler.status.conditions
        if target is None:
            why = f"the HPA controller was unable to get the target's current scale: {ref.kind} {ref.name} not found"
            conditions = _told(conditions, now, "AbleToScale", "False", "FailedGetScale", why)
            self._write_status(scaler, scaler.status, conditions, effects)
            return
        conditions = _told(
            conditions, now, "AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size"
        )
        memory = self._memory.setdefault(meta.key, _Memory())
        current = target.spec.replicas if target.spec.replicas is not None else 1
        least, most = spec.min_replicas or 1, spec.max_replicas
        reason, utilization = "", None
        if current == 0:
            conditions = _told(
                conditions, now, "ScalingActive", "False", "ScalingDisabled",
                "scaling is disabled since the replica count of the target is zero",
            )  # fmt: skip
            desired = 0
        elif current > most:
            reason, desired = "Current number of replicas above Spec.MaxReplicas", most
        elif current < least:
            reason, desired = "Current number of replicas below Spec.MinReplicas", least
        else:
            goal = _cpu_goal(scaler)
            proposal = None if goal is None else self._proposal(meta.key, now, target, current, goal)
            if proposal is None:
                conditions = _told(
                    conditions, now, "ScalingActive", "False", "FailedGetResourceMetric",
                    "the HPA was unable to compute the replica count: no metrics returned from resource metrics API",
                )  # fmt: skip
                self._write_status(scaler, _counted(scaler, current, current), conditions, effects)
                return
            proposed, utilization = proposal.replicas, proposal.utilization_percent
            conditions = _told(
                conditions, now, "ScalingActive", "True", "ValidMetricFound",
                "the HPA was able to successfully calculate a replica count from cpu resource utilization "
                "(percentage of request)",
            )  # fmt: skip
            if proposed > current:
                reason = "cpu resource utilization (percentage of request) above target"
            elif proposed < current:
                reason = "All metrics below target"
            desired = self._stabilized(now, memory, proposed)
            desired, limit = self._limited(now, memory, current, desired, least, most)
            conditions = _told(conditions, now, "ScalingLimited", *limit)
        status = _counted(scaler, current, desired, utilization)
        if desired != current:
            scaling = (now, abs(desired - current))
            resized = replaced(target, spec=replaced(target.spec, replicas=desired))
            effects.append(Update(resized, token=(meta.key, scaling)))
            effects.append(Record(scaler, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}"))
            conditions = _told(
                conditions, now, "AbleToScale", "True", "SucceededRescale",
                f"the HPA controller was able to update the target scale to {desired}",
            )  # fmt: skip
            (memory.ups if desired > current else memory.downs).append(scaling)
            status = replaced(status, last_scale_time=Time(now))
        self._write_status(scaler, status, conditions, effects)

    def _write_status(
        self,
        scaler: HorizontalPodAutoscaler,
        status: HorizontalPodAutoscalerStatus,
        conditions: tuple[Condition, ...],
        effects: list[Effect],
    ) -> None:
        status = replaced(status, conditions=conditions)
        if status != scaler.status:
            effects.append(PatchStatus(replaced(scaler, status=status), scaler))

    # -- how many ------------------------------------------------------------------------------------------------------

    def _proposal(
        self, key: str, now: int, target: Deployment | ReplicaSet, current: int, goal: int
    ) -> Proposal | None:
        selector = target.spec.selector
        assert selector is not None
        samples = tuple(
            self._sample(now, pod)
            for pod in self._selected(target.metadata.namespace, selector)
            if pod.metadata.deletion_timestamp is None and pod.status.phase != "Failed"
        )
        return self._policy.propose(ScaleTarget(key, now, current, goal, samples))

    def _sample(self, now: int, pod: Pod) -> PodSample:
        metrics = self._metrics.get(pod.metadata.key)
        unready = pod.status.phase == "Pending" or (metrics is not None and self._still_starting(now, pod))
        usage = None if metrics is None else _cpu_usage(metrics)
        return PodSample(pod.metadata.key, _cpu_request(pod), usage, unready)

    def _still_starting(self, now: int, pod: Pod) -> bool:
        """Source: groupPods, for CPU."""
        ready = condition(pod.status.conditions, "Ready")
        started = pod.status.start_time
        if ready is None or started is None:
            return True
        since = ready.last_transition_time or 0
        if started + CPU_INITIALIZATION_NS > now:
            scraped = now // SCRAPE_NS * SCRAPE_NS
            return ready.status == "False" or scraped < since + SCRAPE_NS
        return ready.status == "False" and started + READINESS_DELAY_NS > since

    def _stabilized(self, now: int, memory: _Memory, proposed: int) -> int:
        """The highest that was recommended within the window: up at once, down when all of it agrees."""
        kept = [(at, count) for at, count in memory.recommended if at > now - SCALE_DOWN_WINDOW_NS]
        memory.recommended = [*kept, (now, proposed)]
        return max(count for _, count in memory.recommended)

    def _limited(
        self, now: int, memory: _Memory, current: int, desired: int, least: int, most: int
    ) -> tuple[int, tuple[str, str, str]]:
        """Within the rate and the bounds. Source: normalizeDesiredReplicasWithBehaviors, defaults."""
        memory.ups = [(at, by) for at, by in memory.ups if at > now - PERIOD_NS]
        memory.downs = [(at, by) for at, by in memory.downs if at > now - PERIOD_NS]
        if desired > current:
            begun = current - sum(by for _, by in memory.ups)
            highest = max(begun + UP_PODS, math.ceil(begun * (1 + UP_PERCENT / 100)))
            allowed = min(max(highest, current), most)
            if desired > allowed:
                if allowed == most:
                    return most, (
                        "True",
                        "TooManyReplicas",
                        "the desired replica count is more than the maximum replica count",
                    )
                return allowed, (
                    "True",
                    "ScaleUpLimit",
                    "the desired replica count is increasing faster than the maximum scale rate",
                )
        elif desired < least:
            return least, (
                "True",
                "TooFewReplicas",
                "the desired replica count is less than the minimum replica count",
            )
        return desired, ("False", "DesiredWithinRange", "the desired count is within the acceptable range")


def _told(
    conditions: tuple[Condition, ...], now: int, kind: str, status: str, reason: str, message: str
) -> tuple[Condition, ...]:
    new = Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=Time(now))
    return with_condition(conditions, new)


def _counted(
    scaler: HorizontalPodAutoscaler, current: int, desired: int, utilization: int | None = None
) -> HorizontalPodAutoscalerStatus:
    extra: dict[str, Any] = dict(scaler.status.extra or {})
    if utilization is not None:
        extra["currentMetrics"] = [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": utilization}}}
        ]
    return replaced(
        scaler.status,
        current_replicas=current,
        desired_replicas=desired,
        observed_generation=scaler.metadata.generation,
        extra=extra or None,
    )


def _cpu_goal(scaler: HorizontalPodAutoscaler) -> int | None:
    for metric in scaler.spec.metrics:
        if metric.type == "Resource" and metric.resource is not None and metric.resource.name == "cpu":
            return metric.resource.target.average_utilization
    return None if scaler.spec.metrics else 80  # Source: DefaultCPUUtilization


def _cpu_request(pod: Pod) -> int:
    total = 0
    for container in pod.spec.containers:
        amount = container.resources.requests.get("cpu")
        if amount is None:
            return 0
        total += amount.milli
    return total


def _cpu_usage(metrics: PodMetrics) -> int:
    return sum(amount.milli for item in metrics.containers if (amount := item.usage.get("cpu")) is not None)
