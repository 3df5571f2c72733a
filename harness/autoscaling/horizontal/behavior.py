"""From what the metrics want to what the autoscaler does: stabilization windows, rates and bounds.

Source: kubernetes 1.34 pkg/controller/podautoscaler/horizontal.go, normalizeDesiredReplicas for autoscalers without
`behavior` and normalizeDesiredReplicasWithBehaviors for those with it; pkg/apis/autoscaling/v2/defaults.go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from harness.apiserver.kinds.autoscaling import SCALE_DOWN_RULES, SCALE_UP_RULES, complete_behavior
from harness.engine.component import SECOND
from harness.model.constants import DEFAULTS
from harness.model.workloads import (
    HorizontalPodAutoscalerBehavior,
    HPAScalingPolicy,
    HPAScalingRules,
)

SCALE_UP_FACTOR, SCALE_UP_LEAST = 2, 4
"""Without `behavior`: to twice as many, or four. Source: horizontal.go scaleUpLimitFactor, scaleUpLimitMinimum."""


class Recommendation(msgspec.Struct, frozen=True):
    at_ns: int
    replicas: int


class ScaleEvent(msgspec.Struct):
    """`change`: by how many replicas, positive in either direction. `outdated`: no policy asks for it any more."""

    at_ns: int
    change: int
    outdated: bool = False


class Memory(msgspec.Struct):
    """Of one autoscaler: what was recommended, and by how much it scaled. Places of what is out of date are used again,
    so neither grows beyond what its windows hold."""

    recommendations: list[Recommendation] = []
    ups: list[ScaleEvent] = []
    downs: list[ScaleEvent] = []


@dataclass(frozen=True, slots=True)
class Normalized:
    """`able`, `limited`: (status, reason, message) of the conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str, str]
    limited: tuple[str, str, str]


def normalize(
    now: int,
    memory: Memory,
    behavior: HorizontalPodAutoscalerBehavior | None,
    current: int,
    proposed: int,
    bounds: tuple[int, int],
    stabilization_ns: int = DEFAULTS.hpa_downscale_stabilization_ns,
) -> Normalized:
    """`proposed`: what the metrics want. Remembers it. `stabilization_ns`: for scaling down, where `behavior` does not
    say."""
    if behavior is None:
        stable, why = _highest_recommended(now, memory, proposed, stabilization_ns)
        desired, reason, message = by_factor(current, stable, *bounds)
    else:
        complete = complete_behavior(behavior)
        up, down = complete.scale_up or SCALE_UP_RULES, complete.scale_down or SCALE_DOWN_RULES
        windows_ns = _window_ns(up, 0), _window_ns(down, stabilization_ns)
        stable, why = stabilized(now, memory, windows_ns, current, proposed)
        desired, reason, message = by_rate(now, memory, complete, current, stable, bounds)
    limited = ("False" if desired == stable else "True", reason, message)
    return Normalized(desired, ("True", *why), limited)


# -- stabilization -----------------------------------------------------------------------------------------------------

_READY = ("ReadyForNewScale", "recommended size matches current size")
_UP = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)


def stabilized(
    now: int, memory: Memory, windows_ns: tuple[int, int], current: int, proposed: int
) -> tuple[int, tuple[str, str]]:
    """What is there now, brought between the lowest recommendation of the window for scaling up and the highest of that
    for scaling down. `windows_ns`: (up, down). Source: stabilizeRecommendationWithBehaviors."""
    since_up, since_down = (now - window for window in windows_ns)
    up = down = proposed
    reusable = -1
    for index, item in enumerate(memory.recommendations):
        if item.at_ns > since_up:
            up = min(up, item.replicas)
        if item.at_ns > since_down:
            down = max(down, item.replicas)
        if item.at_ns < since_up and item.at_ns < since_down:
            reusable = index
    stable = min(max(current, up), down)
    _remember(memory, reusable, Recommendation(now, proposed))
    return stable, _READY if stable == proposed else _UP if proposed >= current else _DOWN


def _highest_recommended(now: int, memory: Memory, proposed: int, window_ns: int) -> tuple[int, tuple[str, str]]:
    """Source: stabilizeRecommendation, without `behavior`. A recommendation that is exactly as old as the window is out
    of it: there, syncs take some time and are never quite a whole number of periods apart."""
    stable, reusable = proposed, -1
    for index, item in enumerate(memory.recommendations):
        if item.at_ns <= now - window_ns:
            reusable = index
        else:
            stable = max(stable, item.replicas)
    _remember(memory, reusable, Recommendation(now, proposed))
    return stable, _READY if stable == proposed else _DOWN


def _remember(memory: Memory, reusable: int, item: Recommendation) -> None:
    if reusable >= 0:
        memory.recommendations[reusable] = item
    else:
        memory.recommendations.append(item)


def _window_ns(rules: HPAScalingRules, default_ns: int) -> int:
    seconds = rules.stabilization_window_seconds
    return default_ns if seconds is None else seconds * SECOND


def store_scale_event(
    now: int, memory: Memory, behavior: HorizontalPodAutoscalerBehavior | None, before: int, after: int
) -> None:
    """Source: storeScaleEvent: without `behavior` nothing asks for it."""
    if behavior is None:
        return
    complete = complete_behavior(behavior)
    rules, events = (complete.scale_up, memory.ups) if after > before else (complete.scale_down, memory.downs)
    assert rules is not None
    longest_ns = max((policy.period_seconds for policy in rules.policies or ()), default=0) * SECOND
    reusable = -1
    for index, event in enumerate(events):
        if event.at_ns < now - longest_ns:
            event.outdated = True
        if event.outdated:
            reusable = index
    new = ScaleEvent(now, abs(after - before))
    if reusable >= 0:
        events[reusable] = new
    else:
        events.append(new)


def changed_within(now: int, period_seconds: int, events: list[ScaleEvent]) -> int:
    """Source: getReplicasChangePerPeriod."""
    return sum(item.change for item in events if item.at_ns > now - period_seconds * SECOND)


# -- rates and bounds --------------------------------------------------------------------------------------------------

_IN_RANGE = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


def by_factor(current: int, stable: int, least: int, most: int) -> tuple[int, str, str]:
    """Source: convertDesiredReplicasWithRules."""
    limit = max(SCALE_UP_FACTOR * current, SCALE_UP_LEAST)
    allowed, why = (limit, _UP_LIMIT) if most > limit else (most, _TOO_MANY)
    if stable < least:
        return (least, *_TOO_FEW)
    if stable > allowed:
        return (allowed, *why)
    return (stable, *_IN_RANGE)


def by_rate(
    now: int,
    memory: Memory,
    behavior: HorizontalPodAutoscalerBehavior,
    current: int,
    stable: int,
    bounds: tuple[int, int],
) -> tuple[int, str, str]:
    """`behavior`: complete. `bounds`: (least, most). Source: convertDesiredReplicasWithBehaviorRate."""
    least, most = bounds
    up, down = behavior.scale_up or SCALE_UP_RULES, behavior.scale_down or SCALE_DOWN_RULES
    if stable > current:
        limit = max(up_limit(now, memory, up, current), current)
        allowed, why = (limit, _UP_LIMIT) if most > limit else (most, _TOO_MANY)
        if stable > allowed:
            return (allowed, *why)
    elif stable < current:
        limit = min(down_limit(now, memory, down, current), current)
        allowed, why = (limit, _DOWN_LIMIT) if least < limit else (least, _TOO_FEW)
        if stable < allowed:
            return (allowed, *why)
    return (stable, *_IN_RANGE)


def up_limit(now: int, memory: Memory, rules: HPAScalingRules, current: int) -> int:
    """Source: calculateScaleUpLimitWithScalingRules."""
    if rules.select_policy == "Disabled":
        return current
    allowed = []
    for policy in rules.policies or ():
        begun = _at_period_start(now, memory, policy, current)
        grown = begun + policy.value if policy.type == "Pods" else math.ceil(begun * (1 + policy.value / 100))
        allowed.append(grown)
    return min(allowed, default=current) if rules.select_policy == "Min" else max(allowed, default=current)


def down_limit(now: int, memory: Memory, rules: HPAScalingRules, current: int) -> int:
    """Source: calculateScaleDownLimitWithBehaviors."""
    if rules.select_policy == "Disabled":
        return current
    allowed = []
    for policy in rules.policies or ():
        begun = _at_period_start(now, memory, policy, current)
        allowed.append(begun - policy.value if policy.type == "Pods" else int(begun * (1 - policy.value / 100)))
    return max(allowed, default=current) if rules.select_policy == "Min" else min(allowed, default=current)


def _at_period_start(now: int, memory: Memory, policy: HPAScalingPolicy, current: int) -> int:
    added, deleted = (changed_within(now, policy.period_seconds, events) for events in (memory.ups, memory.downs))
    return current - added + deleted
