"""From what containers used to what they should ask for: percentiles, a margin, confidence, a minimum.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/recommender/logic estimator.go, recommender.go; routines/
cpu_integer_post_processor.go (1.8).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from harness.autoscaling.vertical.settings import RecommenderSettings
from harness.autoscaling.vertical.usage_history import UsageHistory, amount
from harness.model.quantity import Quantity, bytes_quantity, milli_quantity
from harness.model.vertical import (
    CONTROLLED,
    PodResourcePolicy,
    RecommendedContainerResources,
    RecommendedPodResources,
    container_policy,
)

UPPER_CONFIDENCE, LOWER_CONFIDENCE = (1.0, 1.0), (0.001, -2.0)
"""(multiplier, exponent): the upper bound is 1 + 1/days times as high, the lower one (1 + 0.001/days)^-2 times: with
little history the updater lets most pods be. Source: recommender.go CreatePodResourceRecommender."""

INTEGER_PREFIX, INTEGER_SUFFIX = "vpa-post-processor.kubernetes.io/", "_integerCPU"
"""Annotation of a VPA around a container's name. Source: cpu_integer_post_processor.go."""

MIB = 1024 * 1024
"""Bytes. Source: recommender.go counts minMemoryMb by 1024 * 1024."""

Estimate: TypeAlias = Callable[[UsageHistory], int]
Bound: TypeAlias = dict[str, int]


def percentile_of(resource: str, share: float) -> Estimate:
    if resource == "cpu":
        return lambda history: amount(history.cpu.percentile(share) * 1000)
    return lambda history: amount(history.memory.percentile(share))


def with_margin(fraction: float, base: Estimate) -> Estimate:
    return lambda history: base(history) + amount(base(history) * fraction)


def with_confidence(multiplier: float, exponent: float, base: Estimate, interval_ns: int) -> Estimate:
    def scaled(history: UsageHistory) -> int:
        confidence = history.confidence(interval_ns)
        if not confidence:  # (1 + infinity)^exponent
            return amount(math.inf) if exponent > 0 and base(history) else 0
        return amount(base(history) * (1 + multiplier / confidence) ** exponent)

    return scaled


def with_minimum(least: int, base: Estimate) -> Estimate:
    return lambda history: max(base(history), least)


class PodEstimator:
    """Recommendations for the containers of one pod, by name."""

    def __init__(self, settings: RecommenderSettings) -> None:
        self._settings = settings
        intervals = {"cpu": settings.confidence_interval_cpu_ns, "memory": settings.confidence_interval_memory_ns}
        shares = {
            "target": {"cpu": settings.target_cpu, "memory": settings.target_memory},
            "lower_bound": {"cpu": settings.lower_cpu, "memory": settings.lower_memory},
            "upper_bound": {"cpu": settings.upper_cpu, "memory": settings.upper_memory},
        }
        self.estimates: dict[str, dict[str, Estimate]] = {}
        for bound, by_resource in shares.items():
            self.estimates[bound] = {}
            for resource in CONTROLLED:
                base = with_margin(settings.margin_fraction, percentile_of(resource, by_resource[resource]))
                if bound != "target":
                    confidence = UPPER_CONFIDENCE if bound == "upper_bound" else LOWER_CONFIDENCE
                    base = with_confidence(*confidence, base, intervals[resource])
                self.estimates[bound][resource] = base

    def recommend(
        self, histories: Mapping[str, UsageHistory], policy: PodResourcePolicy | None
    ) -> RecommendedPodResources:
        """In order of name; the minimum of a pod is shared out evenly. `histories`: of containers that are scaled."""
        if not histories:
            return RecommendedPodResources()
        share = 1 / len(histories)
        least = {
            "cpu": amount(amount(self._settings.min_cpu_millicores * 0.001 * 1000) * share),
            "memory": amount(amount(self._settings.min_memory_mb * MIB) * share),
        }
        found = []
        for name in sorted(histories):
            own = container_policy(name, policy)
            controlled = CONTROLLED if own is None or own.controlled_resources is None else own.controlled_resources
            bounds = {
                bound: {
                    resource: self._quantity(resource, with_minimum(least[resource], by[resource])(histories[name]))
                    for resource in CONTROLLED
                    if resource in controlled
                }
                for bound, by in self.estimates.items()
            }
            found.append(
                RecommendedContainerResources(container_name=name, **bounds, uncapped_target=dict(bounds["target"]))
            )
        return RecommendedPodResources(container_recommendations=tuple(found))

    def _quantity(self, resource: str, value: int) -> Quantity:
        """Source: types.go ResourcesAsResourceList, RoundUpToScale."""
        if resource == "cpu":
            return milli_quantity(_round_up(value, self._settings.round_cpu_millicores))
        return bytes_quantity(_round_up(value, self._settings.round_memory_bytes))


def _round_up(value: int, scale: int) -> int:
    return -(-value // scale) * scale


def whole_cores(recommendation: RecommendedPodResources, annotations: Mapping[str, str]) -> RecommendedPodResources:
    """CPU rounded up to cores in the containers whose VPA says so by annotation. Source: IntegerCPUPostProcessor."""
    found = []
    for item in recommendation.container_recommendations:
        if annotations.get(f"{INTEGER_PREFIX}{item.container_name}{INTEGER_SUFFIX}") == "true":
            bounds = {
                bound: {
                    name: milli_quantity(_round_up(value.milli, 1000)) if name == "cpu" else value
                    for name, value in getattr(item, bound).items()
                }
                for bound in ("target", "lower_bound", "upper_bound", "uncapped_target")
            }
            item = replace(item, **bounds)
        found.append(item)
    return RecommendedPodResources(container_recommendations=tuple(found))
