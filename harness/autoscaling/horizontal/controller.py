"""The horizontal pod autoscaler: replicas by CPU usage, by Kubernetes' algorithm.

Source: pkg/controller/podautoscaler horizontal.go and replica_calculator.go (1.32). Kubelets here report usage only
when it changed, so the last PodMetrics of a pod is what every scrape since has shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace as replaced_dataclass
from typing import Any

import msgspec

from harness.autoscaling.horizontal.behavior import Memory, normalize
from harness.autoscaling.policy import REPLICA_POLICIES, PodSample, Proposal, ReplicaPolicy, ScaleTarget
from harness.engine.component import (
    DELETED,
    SECOND,
    STANDING_LEASE,
    Effect,
    Event,
    Instant,
    LazyWatch,
    Outcome,
    PatchStatus,
    Record,
    Relist,
    Start,
    Subscribe,
    Timer,
    Update,
    WakeAt,
    Watch,
    next_tick,
)
from harness.model.constants import DEFAULTS, Constants
from harness.model.core import Pod
from harness.model.meta import Condition, LabelSelector, condition, with_condition
from harness.model.wire import Time
from harness.model.workloads import (
    Deployment,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerStatus,
    Lease,
    MetricSpec,
    MetricTarget,
    PodMetrics,
    ReplicaSet,
    ResourceMetricSource,
)

LONGEST_PERIOD_NS = 1800 * SECOND
"""Of a scaling policy: what is older bears on nothing. Source: validation.MaxPeriodSeconds."""

NODE_LEASES = "kube-node-lease"

replaced = msgspec.structs.replace


class HorizontalController:
    name = "horizontal-pod-autoscaler"
    phase_ns = 0
    constants = DEFAULTS
    watches = ("HorizontalPodAutoscaler", "Deployment", "ReplicaSet", "Pod", "PodMetrics")
    lazy_watches = (LazyWatch(watches[1:], {"HorizontalPodAutoscaler": None}),)

    handled_failures = 0

    def __init__(self, policy: str | ReplicaPolicy = "utilization") -> None:
        """`policy`: a replica policy, or the name of one. Raises UserError."""
        self._policy: ReplicaPolicy = REPLICA_POLICIES.make(policy) if isinstance(policy, str) else policy
        self._reset()

    @property
    def period_ns(self) -> int:
        return self.constants.hpa_sync_period_ns

    def _reset(self) -> None:
        self._scalers: dict[str, HorizontalPodAutoscaler] = {}
        self._memory: dict[str, Memory] = {}
        self._targets: dict[tuple[str, str], Deployment | ReplicaSet] = {}
        self._pods: dict[tuple[str, str, str], dict[str, Pod]] = {}  # by namespace and label
        self._known_pods: dict[str, Pod] = {}
        self._metrics: dict[str, PodMetrics] = {}
        self._leases: dict[str, Lease] = {}
        self._watches_leases = False
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
        if self._scalers and not self._watches_leases:
            self._watches_leases = True
            effects.append(Subscribe(("Lease",)))
        if self._scalers and self._armed < 0:
            self._armed = next_tick(now, self.period_ns, self.phase_ns)
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
        elif kind is Lease:
            if meta.namespace != NODE_LEASES:
                return
            if gone:
                self._leases.pop(meta.name, None)
            else:
                self._leases[meta.name] = obj
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
        elif event.kind == "Lease":
            self._leases.clear()
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
        memory = self._memory.setdefault(meta.key, Memory())
        current = target.spec.replicas if target.spec.replicas is not None else 1
        least, most = spec.min_replicas or 1, spec.max_replicas
        reason, shown = "", None
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
            found = self._proposals(meta.key, now, target, current, scaler)
            if isinstance(found, Failed):
                conditions = _told(conditions, now, "ScalingActive", "False", found.reason, found.message)
                effects.append(Record(scaler, "Warning", found.reason, found.error))
                self._write_status(scaler, _counted(scaler, current, current), conditions, effects)
                return
            proposed, metric, shown = found
            conditions = _told(
                conditions, now, "ScalingActive", "True", "ValidMetricFound",
                f"the HPA was able to successfully calculate a replica count from {metric}",
            )  # fmt: skip
            if proposed > current:
                reason = f"{metric} above target"
            elif proposed < current:
                reason = "All metrics below target"
            normal = normalize(now, memory, spec.behavior, current, proposed, least, most, self.constants)
            desired = normal.replicas
            conditions = _told(conditions, now, "AbleToScale", *normal.able)
            conditions = _told(conditions, now, "ScalingLimited", *normal.limited)
        status = _counted(scaler, current, desired, shown)
        if desired != current:
            scaling = (now, abs(desired - current))
            resized = replaced(target, spec=replaced(target.spec, replicas=desired))
            effects.append(Update(resized, token=(meta.key, scaling)))
            effects.append(Record(scaler, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}"))
            conditions = _told(
                conditions, now, "AbleToScale", "True", "SucceededRescale",
                f"the HPA controller was able to update the target scale to {desired}",
            )  # fmt: skip
            events = memory.ups if desired > current else memory.downs
            events[:] = [*(item for item in events if item[0] > now - LONGEST_PERIOD_NS), scaling]
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

    def _proposals(
        self, key: str, now: int, target: Deployment | ReplicaSet, current: int, scaler: HorizontalPodAutoscaler
    ) -> tuple[int, str, list[Any]] | Failed:
        """(replicas, the metric that asks for most, what the status shows). Where metrics fail, those that do not may
        scale up, not down. Source: computeReplicasForMetrics."""
        selector = target.spec.selector
        assert selector is not None
        samples = tuple(
            self._sample(now, pod)
            for pod in self._selected(target.metadata.namespace, selector)
            if pod.metadata.deletion_timestamp is None and pod.status.phase != "Failed"
        )
        goal = ScaleTarget(key, now, current, 0, samples, 0, *_tolerances(scaler, self.constants.hpa_tolerance))
        most, metric, shown = 0, "", []
        failures: list[Failed] = []
        metrics = scaler.spec.metrics or (DEFAULT_METRIC,)
        for spec in metrics:
            found = self._proposal(goal, spec)
            if isinstance(found, Failed):
                failures.append(found)
                continue
            proposal, name, status = found
            shown.append(status)
            if not metric or proposal.replicas > most:
                most, metric = proposal.replicas, name
        if failures and (len(failures) == len(metrics) or most < current):
            first, count = failures[0], f"{len(failures)} invalid out of {len(metrics)}"
            return Failed(first.reason, f"invalid metrics ({count}), first error is: {first.error}")
        return most, metric, shown

    def _proposal(self, goal: ScaleTarget, metric: MetricSpec) -> tuple[Proposal, str, Any] | Failed:
        source = metric.resource
        if metric.type != "Resource" or source is None:
            reason, api = _OTHER_METRICS.get(metric.type, ("FailedGetResourceMetric", "resource metrics API"))
            return Failed(reason, f"unable to get metric: no metrics returned from {api}")
        unit = source.target
        percent = unit.average_utilization or 0
        milli = 0 if unit.average_value is None else unit.average_value.milli
        if source.name != "cpu" or not (percent or milli):
            error = f"failed to get {source.name} utilization: unable to get metrics for resource {source.name}: "
            return Failed("FailedGetResourceMetric", error + "no metrics returned from resource metrics API")
        aim = replaced_dataclass(goal, target_percent=percent, target_milli=0 if percent else milli)
        proposal = self._policy.propose(aim)
        if proposal is None:
            error = "failed to get cpu utilization: unable to get metrics for resource cpu: "
            return Failed("FailedGetResourceMetric", error + "no metrics returned from resource metrics API")
        now: dict[str, Any] = {"averageUtilization": proposal.utilization_percent}
        name = "cpu resource utilization (percentage of request)"
        if not percent:
            now, name = {"averageValue": f"{proposal.average_milli}m"}, "cpu resource"
        return proposal, name, {"type": "Resource", "resource": {"name": "cpu", "current": now}}

    def _sample(self, now: int, pod: Pod) -> PodSample:
        metrics = self._metrics.get(pod.metadata.key)
        unready = pod.status.phase == "Pending" or (metrics is not None and self._still_starting(now, pod))
        if metrics is not None and _is_silent(now, self._leases.get(pod.spec.node_name), self.constants):
            metrics = None
        usage = None if metrics is None else _cpu_usage(metrics)
        return PodSample(pod.metadata.key, _cpu_request(pod), usage, unready)

    def _still_starting(self, now: int, pod: Pod) -> bool:
        """Source: groupPods, for CPU."""
        ready = condition(pod.status.conditions, "Ready")
        started = pod.status.start_time
        if ready is None or started is None:
            return True
        since = ready.last_transition_time or 0
        if started + self.constants.hpa_cpu_initialization_period_ns > now:
            resolution = self.constants.metric_resolution_ns
            return ready.status == "False" or now // resolution * resolution < since + resolution
        return ready.status == "False" and started + self.constants.hpa_initial_readiness_delay_ns > since


def _is_silent(now: int, lease: Lease | None, constants: Constants) -> bool:
    """A node that has not renewed its lease for so long could not be scraped, and its pods have no metrics. Source:
    metrics-server drops pods that are not in its latest scrape (pkg/storage/pod.go); the lease stands for it, and is
    missed later where leases are renewed less often than pods are scraped."""
    if lease is None or STANDING_LEASE in lease.metadata.annotations:
        return False
    silent_ns = max(constants.metric_resolution_ns, constants.lease_renewal_ns * 3 // 2)
    return (lease.spec.renew_time or 0) + silent_ns < now


class Failed(msgspec.Struct, frozen=True):
    """A metric, or all of them, that says nothing."""

    reason: str
    error: str

    @property
    def message(self) -> str:
        return f"the HPA was unable to compute the replica count: {self.error}"


DEFAULT_METRIC = MetricSpec(
    type="Resource",
    resource=ResourceMetricSource(name="cpu", target=MetricTarget(type="Utilization", average_utilization=80)),
)
"""Source: v2/defaults.go DefaultCPUUtilization."""

_OTHER_METRICS = {
    "Pods": ("FailedGetPodsMetric", "custom metrics API"),
    "Object": ("FailedGetObjectMetric", "custom metrics API"),
    "External": ("FailedGetExternalMetric", "external metrics API"),
    "ContainerResource": ("FailedGetContainerResourceMetric", "resource metrics API"),
}
"""There is no adapter for these, as in a cluster where none is installed. Source: horizontal.go computeStatusFor*."""


def _tolerances(scaler: HorizontalPodAutoscaler, default: float) -> tuple[float, float]:
    """(up, down). Source: HPAConfigurableTolerance, 1.33."""
    behavior = scaler.spec.behavior
    rules = (None, None) if behavior is None else (behavior.scale_up, behavior.scale_down)
    up, down = (default if r is None or r.tolerance is None else r.tolerance.milli / 1000 for r in rules)
    return up, down


def _told(
    conditions: tuple[Condition, ...], now: int, kind: str, status: str, reason: str, message: str
) -> tuple[Condition, ...]:
    new = Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=Time(now))
    return with_condition(conditions, new)


def _counted(
    scaler: HorizontalPodAutoscaler, current: int, desired: int, shown: list[Any] | None = None
) -> HorizontalPodAutoscalerStatus:
    extra: dict[str, Any] = dict(scaler.status.extra or {})
    if shown is not None:
        extra["currentMetrics"] = shown
    return replaced(
        scaler.status,
        current_replicas=current,
        desired_replicas=desired,
        observed_generation=scaler.metadata.generation,
        extra=extra or None,
    )


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
