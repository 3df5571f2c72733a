"""From what the metrics want to what the autoscaler does: stabilization windows, rates and bounds.

Source: kubernetes 1.34 pkg/controller/podautoscaler/horizontal.go, normalizeDesiredReplicas for autoscalers without
`behavior` and normalizeDesiredReplicasWithBehaviors for those with it; pkg/apis/autoscaling/v2/defaults.go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from harness.engine.component import SECOND
from harness.model.constants import DEFAULTS, Constants
from harness.model.workloads import (
    HorizontalPodAutoscalerBehavior,
    HPAScalingPolicy,
    HPAScalingRules,
)

SCALE_UP_FACTOR, SCALE_UP_LEAST = 2, 4
"""Without `behavior`: to twice as many, or four. Source: horizontal.go scaleUpLimitFactor, scaleUpLimitMinimum."""
SCALE_UP_RULES = HPAScalingRules(
    stabilization_window_seconds=0,
    select_policy="Max",
    policies=(
        HPAScalingPolicy(type="Pods", value=4, period_seconds=15),
        HPAScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
)
SCALE_DOWN_RULES = HPAScalingRules(
    select_policy="Max", policies=(HPAScalingPolicy(type="Percent", value=100, period_seconds=15),)
)
"""Source: v2/defaults.go scaleUpRules, scaleDownRules."""

replaced = msgspec.structs.replace


class Memory(msgspec.Struct):
    """Of one autoscaler, each with its instant: what was recommended, and by how much it scaled."""

    recommended: list[tuple[int, int]] = []
    ups: list[tuple[int, int]] = []
    downs: list[tuple[int, int]] = []


@dataclass(frozen=True, slots=True)
class Normalized:
    """`able`, `limited`: (status, reason, message) of the conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str, str]
    limited: tuple[str, str, str]


def with_defaults(behavior: HorizontalPodAutoscalerBehavior) -> HorizontalPodAutoscalerBehavior:
    """What is not said is as it would be. Source: GenerateHPAScaleUpRules, GenerateHPAScaleDownRules."""
    return replaced(
        behavior,
        scale_up=_completed(behavior.scale_up, SCALE_UP_RULES),
        scale_down=_completed(behavior.scale_down, SCALE_DOWN_RULES),
    )


def normalize(
    now: int,
    memory: Memory,
    behavior: HorizontalPodAutoscalerBehavior | None,
    current: int,
    proposed: int,
    least: int,
    most: int,
    constants: Constants = DEFAULTS,
) -> Normalized:
    """`proposed`: what the metrics want. Remembers it."""
    if behavior is None:
        stable, why = _highest_recommended(now, memory, proposed, constants.hpa_downscale_stabilization_ns)
        desired, reason, message = _by_factor(current, stable, least, most)
    else:
        complete = with_defaults(behavior)
        up, down = complete.scale_up or SCALE_UP_RULES, complete.scale_down or SCALE_DOWN_RULES
        windows_ns = _window_ns(up, 0), _window_ns(down, constants.hpa_downscale_stabilization_ns)
        stable, why = _stabilized(now, memory, windows_ns, current, proposed)
        desired, reason, message = _by_rate(now, memory, complete, current, stable, least, most)
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


def _stabilized(
    now: int, memory: Memory, windows_ns: tuple[int, int], current: int, proposed: int
) -> tuple[int, tuple[str, str]]:
    """What is there now, brought between the lowest recommendation of the window for scaling up and the highest of that
    for scaling down. Source: stabilizeRecommendationWithBehaviors."""
    up_ns, down_ns = windows_ns
    recent = [(at, count) for at, count in memory.recommended if at > now - max(up_ns, down_ns)]
    memory.recommended = [*recent, (now, proposed)]
    up = min([proposed, *(count for at, count in recent if at > now - up_ns)])
    down = max([proposed, *(count for at, count in recent if at > now - down_ns)])
    stable = min(max(current, up), down)
    return stable, _READY if stable == proposed else _UP if proposed >= current else _DOWN


def _highest_recommended(now: int, memory: Memory, proposed: int, window_ns: int) -> tuple[int, tuple[str, str]]:
    """Source: stabilizeRecommendation, without `behavior`."""
    memory.recommended = [*(item for item in memory.recommended if item[0] > now - window_ns), (now, proposed)]
    stable = max(count for _, count in memory.recommended)
    return stable, _READY if stable == proposed else _DOWN


def _window_ns(rules: HPAScalingRules, default_ns: int) -> int:
    seconds = rules.stabilization_window_seconds
    return default_ns if seconds is None else seconds * SECOND


# -- rates and bounds --------------------------------------------------------------------------------------------------

_IN_RANGE = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


def _by_factor(current: int, stable: int, least: int, most: int) -> tuple[int, str, str]:
    """Source: convertDesiredReplicasWithRules."""
    limit = max(SCALE_UP_FACTOR * current, SCALE_UP_LEAST)
    allowed, why = (limit, _UP_LIMIT) if most > limit else (most, _TOO_MANY)
    if stable < least:
        return (least, *_TOO_FEW)
    if stable > allowed:
        return (allowed, *why)
    return (stable, *_IN_RANGE)


def _by_rate(
    now: int,
    memory: Memory,
    behavior: HorizontalPodAutoscalerBehavior,
    current: int,
    stable: int,
    least: int,
    most: int,
) -> tuple[int, str, str]:
    """`behavior`: complete. Source: convertDesiredReplicasWithBehaviorRate."""
    up, down = behavior.scale_up or SCALE_UP_RULES, behavior.scale_down or SCALE_DOWN_RULES
    if stable > current:
        limit = max(_up_limit(now, memory, up, current), current)
        allowed, why = (limit, _UP_LIMIT) if most > limit else (most, _TOO_MANY)
        if stable > allowed:
            return (allowed, *why)
    elif stable < current:
        limit = min(_down_limit(now, memory, down, current), current)
        allowed, why = (limit, _DOWN_LIMIT) if least < limit else (least, _TOO_FEW)
        if stable < allowed:
            return (allowed, *why)
    return (stable, *_IN_RANGE)


def _up_limit(now: int, memory: Memory, rules: HPAScalingRules, current: int) -> int:
    """Source: calculateScaleUpLimitWithScalingRules."""
    if rules.select_policy == "Disabled":
        return current
    allowed = []
    for policy in rules.policies:
        begun = _at_period_start(now, memory, policy, current)
        grown = begun + policy.value if policy.type == "Pods" else math.ceil(begun * (1 + policy.value / 100))
        allowed.append(grown)
    return min(allowed) if rules.select_policy == "Min" else max(allowed)


def _down_limit(now: int, memory: Memory, rules: HPAScalingRules, current: int) -> int:
    """Source: calculateScaleDownLimitWithBehaviors."""
    if rules.select_policy == "Disabled":
        return current
    allowed = []
    for policy in rules.policies:
        begun = _at_period_start(now, memory, policy, current)
        allowed.append(begun - policy.value if policy.type == "Pods" else int(begun * (1 - policy.value / 100)))
    return max(allowed) if rules.select_policy == "Min" else min(allowed)


def _at_period_start(now: int, memory: Memory, policy: HPAScalingPolicy, current: int) -> int:
    since = now - policy.period_seconds * SECOND
    added, deleted = (sum(by for at, by in events if at > since) for events in (memory.ups, memory.downs))
    return current - added + deleted


def _completed(rules: HPAScalingRules | None, defaults: HPAScalingRules) -> HPAScalingRules:
    if rules is None:
        return defaults
    window = rules.stabilization_window_seconds
    return replaced(
        rules,
        select_policy=rules.select_policy or defaults.select_policy,
        policies=rules.policies or defaults.policies,
        stabilization_window_seconds=defaults.stabilization_window_seconds if window is None else window,
    )
