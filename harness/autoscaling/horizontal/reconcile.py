"""One look at one HorizontalPodAutoscaler: from what is there to a number of replicas, conditions and events.

Source: kubernetes 1.34 pkg/controller/podautoscaler/horizontal.go, reconcileAutoscaler and computeReplicasForMetrics;
reasons and messages are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from harness.autoscaling.horizontal.behavior import Memory, Recommendation, normalize, store_scale_event
from harness.autoscaling.horizontal.metric_proposals import failure
from harness.autoscaling.metrics_client import MetricError, MetricsClient, Startup, Tolerances
from harness.autoscaling.policy import Proposal, ReplicaPolicy, ScaleTarget
from harness.model.constants import Constants
from harness.model.core import Pod
from harness.model.meta import Condition, LabelSelector, with_condition
from harness.model.wire import Time
from harness.model.workloads import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerStatus,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)

replaced = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale subresource of a target. Source: autoscaling/v1 Scale."""

    spec_replicas: int
    status_replicas: int
    selector: LabelSelector | None


class View(Protocol):
    """What the autoscaler sees of the cluster."""

    @property
    def metrics(self) -> MetricsClient: ...

    def pods(self, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]:
        """Those that `selector` matches, in order of their keys."""
        ...

    def autoscalers_of(self, key: str, selector: LabelSelector, pods: Sequence[Pod]) -> list[str]:
        """Keys of all autoscalers whose targets' selectors match any of `pods`, `key` with `selector` among them."""
        ...


@dataclass(frozen=True, slots=True)
class Rescale:
    """What the target is to be set to, from what, and why."""

    current: int
    desired: int
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`events`: (type, reason, message). With a `rescale`, status and events are what they are before it is tried:
    `rescaled` or `not_rescaled` tells the rest."""

    status: HorizontalPodAutoscalerStatus
    events: tuple[tuple[str, str, str], ...]
    rescale: Rescale | None = None


@dataclass(frozen=True, slots=True)
class _Computed:
    """Of all metrics: `shown` is status.currentMetrics."""

    replicas: int
    metric: str
    shown: list[dict[str, Any]]


class _Draft:
    """The status that is being made."""

    def __init__(self, now: int, status: HorizontalPodAutoscalerStatus) -> None:
        self._now = now
        self._status = status
        self.conditions = status.conditions
        self.events: list[tuple[str, str, str]] = []

    def set_condition(self, kind: str, status: str, reason: str, message: str) -> None:
        at = Time(self._now)
        new = Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=at)
        self.conditions = with_condition(self.conditions, new)

    def warn(self, reason: str, message: str) -> None:
        self.events.append(("Warning", reason, message))

    def decided(self, rescale: Rescale | None = None) -> Decision:
        return Decision(replaced(self._status, conditions=self.conditions), tuple(self.events), rescale)

    def count(self, current: int, desired: int | None, shown: list[dict[str, Any]] | None) -> None:
        """`desired` None: as it was."""
        extra = {name: value for name, value in (self._status.extra or {}).items() if name != "currentMetrics"}
        if shown:
            extra["currentMetrics"] = shown
        self._status = replaced(
            self._status,
            current_replicas=current,
            desired_replicas=self._status.desired_replicas if desired is None else desired,
            extra=extra or None,
        )

    def scaled(self, desired: int) -> None:
        self._status = replaced(self._status, desired_replicas=desired, last_scale_time=Time(self._now))


def reconcile(
    now: int,
    scaler: HorizontalPodAutoscaler,
    scale: Scale | str,
    memory: Memory,
    view: View,
    policy: ReplicaPolicy,
    constants: Constants,
) -> Decision:
    """`scale`: of the target, or why there is none."""
    draft = _Draft(now, scaler.status)
    if isinstance(scale, str):
        draft.warn("FailedGetScale", scale)
        why = f"the HPA controller was unable to get the target's current scale: {scale}"
        draft.set_condition("AbleToScale", "False", "FailedGetScale", why)
        return draft.decided()
    draft.set_condition(
        "AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale"
    )
    spec, current = scaler.spec, scale.spec_replicas
    if not memory.recommendations:
        memory.recommendations.append(Recommendation(now, current))
    least = 1 if spec.min_replicas is None else spec.min_replicas
    shown: list[dict[str, Any]] | None = None
    if not current and least:
        why = "scaling is disabled since the replica count of the target is zero"
        draft.set_condition("ScalingActive", "False", "ScalingDisabled", why)
        draft.count(current, current, None)
        return draft.decided()
    if current > spec.max_replicas:
        reason, desired = "Current number of replicas above Spec.MaxReplicas", spec.max_replicas
    elif current < least:
        reason, desired = "Current number of replicas below Spec.MinReplicas", least
    else:
        found = _compute(now, draft, scaler, scale, view, policy, constants)
        if isinstance(found, list):
            draft.count(current, None, found)
            return draft.decided()
        shown, proposed = found.shown, found.replicas
        reason = f"{found.metric} above target" if proposed > current else ""
        if proposed < current:
            reason = "All metrics below target"
        bounds, window_ns = (least, spec.max_replicas), constants.hpa_downscale_stabilization_ns
        normal = normalize(now, memory, spec.behavior, current, proposed, bounds, window_ns)
        draft.set_condition("AbleToScale", *normal.able)
        draft.set_condition("ScalingLimited", *normal.limited)
        desired = normal.replicas
    if desired == current:
        draft.count(current, current, shown)
        return draft.decided()
    draft.count(current, None, shown)
    return draft.decided(Rescale(current, desired, reason))


def rescaled(now: int, scaler: HorizontalPodAutoscaler, memory: Memory, decision: Decision) -> Decision:
    """The target was set to what `decision` asks for."""
    rescale = decision.rescale
    assert rescale is not None
    draft = _Draft(now, decision.status)
    why = f"the HPA controller was able to update the target scale to {rescale.desired}"
    draft.set_condition("AbleToScale", "True", "SucceededRescale", why)
    text = f"New size: {rescale.desired}; reason: {rescale.reason}"
    draft.events.append(("Normal", "SuccessfulRescale", text))
    store_scale_event(now, memory, scaler.spec.behavior, rescale.current, rescale.desired)
    draft.scaled(rescale.desired)
    return draft.decided()


def not_rescaled(now: int, decision: Decision, error: str) -> Decision:
    """It was not."""
    rescale = decision.rescale
    assert rescale is not None
    draft = _Draft(now, decision.status)
    draft.warn("FailedRescale", f"New size: {rescale.desired}; reason: {rescale.reason}; error: {error}")
    why = f"the HPA controller was unable to update the target scale: {error}"
    draft.set_condition("AbleToScale", "False", "FailedUpdateScale", why)
    return draft.decided()


# -- metrics -----------------------------------------------------------------------------------------------------------


def _compute(
    now: int,
    draft: _Draft,
    scaler: HorizontalPodAutoscaler,
    scale: Scale,
    view: View,
    policy: ReplicaPolicy,
    constants: Constants,
) -> _Computed | list[dict[str, Any]]:
    """The highest that metrics ask for. Where some fail, the others may scale up and not down. What the status shows of
    the metrics, when that is all there is to say. Source: computeReplicasForMetrics."""
    pods = _selected(draft, scaler, scale.selector, view)
    if pods is None:
        return []
    target = ScaleTarget(
        key=scaler.metadata.key,
        namespace=scaler.metadata.namespace,
        now_ns=now,
        replicas=scale.spec_replicas,
        status_replicas=scale.status_replicas,
        pods=pods,
        metrics=view.metrics,
        tolerances=tolerances(scaler.spec.behavior, constants.hpa_tolerance),
        startup=Startup(constants.hpa_cpu_initialization_period_ns, constants.hpa_initial_readiness_delay_ns),
    )
    best: Proposal | None = None
    shown: list[dict[str, Any]] = []
    failures: list[tuple[str, str, str]] = []  # reason, what the condition says, what the error says
    metrics = scaler.spec.metrics or (DEFAULT_METRIC,)
    for metric in metrics:
        try:
            proposal = policy.propose(target, metric)
        except MetricError as error:
            reason, text = failure(metric, error)
            draft.warn(reason, str(error))
            failures.append((reason, f"the HPA was unable to compute the replica count: {error}", text))
            shown.append({"type": ""})  # each metric keeps its place
            continue
        shown.append(proposal.current)
        if best is None or not best.replicas or proposal.replicas > best.replicas:
            best = proposal
    if failures and (best is None or best.replicas < scale.spec_replicas):
        reason, message, text = failures[0]
        draft.set_condition("ScalingActive", "False", reason, message)
        count = f"{len(failures)} invalid out of {len(metrics)}"
        draft.warn("FailedComputeMetricsReplicas", f"invalid metrics ({count}), first error is: {text}")
        return shown
    assert best is not None
    why = f"the HPA was able to successfully calculate a replica count from {best.metric}"
    draft.set_condition("ScalingActive", "True", "ValidMetricFound", why)
    return _Computed(best.replicas, best.metric, shown)


def _selected(
    draft: _Draft, scaler: HorizontalPodAutoscaler, selector: LabelSelector | None, view: View
) -> tuple[Pod, ...] | None:
    """The target's pods; None where it cannot be said which these are. Source: validateAndParseSelector."""
    meta = scaler.metadata
    if selector is None or selector.empty:
        error = "selector is required"
        draft.warn("SelectorRequired", error)
        draft.set_condition("ScalingActive", "False", "InvalidSelector", "the HPA target's scale is missing a selector")
    else:
        pods = view.pods(meta.namespace, selector)
        others = view.autoscalers_of(meta.key, selector, pods)
        if len(others) <= 1:
            return pods
        error = f"pods by selector {selector_string(selector)} are controlled by multiple HPAs: [{' '.join(others)}]"
        draft.warn("AmbiguousSelector", error)
        draft.set_condition("ScalingActive", "False", "AmbiguousSelector", error)
    draft.warn("FailedComputeMetricsReplicas", error)
    return None


def tolerances(behavior: HorizontalPodAutoscalerBehavior | None, default: float) -> Tolerances:
    """Source: gate HPAConfigurableTolerance (beta and on in 1.35)."""
    rules = (None, None) if behavior is None else (behavior.scale_down, behavior.scale_up)
    down, up = (default if item is None or item.tolerance is None else item.tolerance.milli / 1000 for item in rules)
    return Tolerances(down, up)


def selector_string(selector: LabelSelector) -> str:
    """Source: apimachinery pkg/labels/selector.go, String of each requirement, sorted by key."""
    texts = [(key, f"{key}={value}") for key, value in selector.match_labels.items()]
    for item in selector.match_expressions:
        values = ",".join(sorted(item.values))
        match item.operator:
            case "In":
                text = f"{item.key} in ({values})"
            case "NotIn":
                text = f"{item.key} notin ({values})"
            case "Exists":
                text = item.key
            case _:
                text = f"!{item.key}"
        texts.append((item.key, text))
    return ",".join(text for _, text in sorted(texts))


DEFAULT_METRIC = MetricSpec(
    type="Resource",
    resource=ResourceMetricSource(name="cpu", target=MetricTarget(type="Utilization", average_utilization=80)),
)
"""Source: v2/defaults.go DefaultCPUUtilization."""
