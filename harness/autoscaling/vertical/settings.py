"""The flags of the vertical pod autoscaler's recommender and updater, under their own names, with their defaults.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/recommender/config/config.go, pkg/recommender/model/
aggregations_config.go, pkg/updater/config/config.go (1.8).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from harness.engine.component import HOUR, MINUTE, MS
from harness.model.core import ResourceList
from harness.model.errors import UserError, did_you_mean
from harness.model.quantity import Quantity, parse_quantity
from harness.model.times import parse_duration

DAY = 24 * HOUR
"""In ns."""
NO_LIMIT = Quantity(0)


def _flag(name: str, default: Any, least: float = 0.0, most: float = float("inf")) -> Any:
    return field(default=default, metadata={"flag": name, "range": (least, most)})


@dataclass(frozen=True, slots=True)
class RecommenderSettings:
    """Durations in ns, shares from 0 to 1, memory in bytes unless the name says MB."""

    interval_ns: int = _flag("recommender-interval", MINUTE, least=MS)
    margin_fraction: float = _flag("recommendation-margin-fraction", 0.15)
    min_cpu_millicores: float = _flag("pod-recommendation-min-cpu-millicores", 25.0)
    min_memory_mb: float = _flag("pod-recommendation-min-memory-mb", 250.0)
    target_cpu: float = _flag("target-cpu-percentile", 0.9, most=1)
    lower_cpu: float = _flag("recommendation-lower-bound-cpu-percentile", 0.5, most=1)
    upper_cpu: float = _flag("recommendation-upper-bound-cpu-percentile", 0.95, most=1)
    confidence_interval_cpu_ns: int = _flag("confidence-interval-cpu", DAY, least=1)
    target_memory: float = _flag("target-memory-percentile", 0.9, most=1)
    lower_memory: float = _flag("recommendation-lower-bound-memory-percentile", 0.5, most=1)
    upper_memory: float = _flag("recommendation-upper-bound-memory-percentile", 0.95, most=1)
    confidence_interval_memory_ns: int = _flag("confidence-interval-memory", DAY, least=1)
    round_cpu_millicores: int = _flag("round-cpu-millicores", 1, least=1)
    round_memory_bytes: int = _flag("round-memory-bytes", 1, least=1)
    memory_aggregation_interval_ns: int = _flag("memory-aggregation-interval", DAY, least=1)
    memory_aggregation_interval_count: int = _flag("memory-aggregation-interval-count", 8, least=1)
    memory_half_life_ns: int = _flag("memory-histogram-decay-half-life", DAY, least=1)
    cpu_half_life_ns: int = _flag("cpu-histogram-decay-half-life", DAY, least=1)
    oom_bump_up_ratio: float = _flag("oom-bump-up-ratio", 1.2, least=1)
    oom_min_bump_up_bytes: float = _flag("oom-min-bump-up-bytes", 104_857_600.0)
    cpu_as_integer: bool = _flag("cpu-integer-post-processor-enabled", False)
    max_allowed_cpu: Quantity = _flag("container-recommendation-max-allowed-cpu", NO_LIMIT)  # noqa: RUF009
    max_allowed_memory: Quantity = _flag("container-recommendation-max-allowed-memory", NO_LIMIT)  # noqa: RUF009

    @property
    def memory_window_ns(self) -> int:
        """Source: GetMemoryAggregationWindowLength."""
        return self.memory_aggregation_interval_ns * self.memory_aggregation_interval_count

    @property
    def max_allowed(self) -> ResourceList:
        both = {"cpu": self.max_allowed_cpu, "memory": self.max_allowed_memory}
        return {name: amount for name, amount in both.items() if amount.milli}


@dataclass(frozen=True, slots=True)
class UpdaterSettings:
    interval_ns: int = _flag("updater-interval", MINUTE, least=MS)
    min_replicas: int = _flag("min-replicas", 2)
    eviction_tolerance: float = _flag("eviction-tolerance", 0.5, most=1)
    eviction_rate_limit: float = _flag("eviction-rate-limit", -1.0, least=-1)
    eviction_rate_burst: int = _flag("eviction-rate-burst", 1, least=1)
    update_threshold: float = _flag("pod-update-threshold", 0.1)
    lifetime_threshold_ns: int = _flag("in-recommendation-bounds-eviction-lifetime-threshold", 12 * HOUR)
    evict_after_oom_ns: int = _flag("evict-after-oom-threshold", 10 * MINUTE)


REFUSED = {
    "recommender-name": "there is one recommender, called default",
    "storage": "history is kept in checkpoints; Prometheus is not modelled",
    "memory-saver": "pods of no VPA are never tracked, as with memory-saver",
    "humanize-memory": "deprecated: round-memory-bytes says it",
    "use-external-metrics": "usage comes from the resource metrics API",
    "checkpoints-gc-interval": "checkpoints of a VPA that is gone go at once",
    "checkpoints-timeout": "a write takes no time of the recommender's",
    "update-worker-count": "components have no workers: what is due is done",
    "in-place-skip-disruption-budget": "pods are not resized in place",
    "use-admission-controller-status": "the admission controller is part of the API server and always there",
    "admission-controller-status-lease-name": "the admission controller is part of the API server and always there",
    "feature-gates": "InPlace, PerVPAConfig and CPUStartupBoost are not modelled",
    "vpa-object-namespace": "all namespaces are looked at",
    "ignored-vpa-object-namespaces": "all namespaces are looked at",
}
"""Flags that are not modelled: why."""

S = TypeVar("S", RecommenderSettings, UpdaterSettings)


def parse_settings(of: type[S], component: str, given: Mapping[str, Any]) -> S:
    """Raises UserError."""
    known = {item.metadata["flag"]: item for item in fields(of)}
    values: dict[str, Any] = {}
    for written, value in given.items():
        name = written.replace("_", "-")
        item = known.get(name)
        if name in REFUSED:
            raise UserError(f"{component}: {name} is not modelled", found=str(value), expected=REFUSED[name])
        if item is None:
            raise UserError(
                f"{component} has no such flag",
                found=written,
                expected=", ".join(known),
                hint=did_you_mean(name, list(known)),
            )
        try:
            values[item.name] = _parse(item.name, item.default, value, item.metadata["range"])
        except (ValueError, OverflowError) as error:
            raise UserError(f"{component}: {name}: {error}", found=str(value)) from None
    return of(**values)


def _parse(name: str, default: Any, value: Any, allowed: tuple[float, float]) -> Any:
    """By the type of the default. Raises ValueError."""
    if isinstance(default, bool):
        if value not in (True, False, "true", "false"):
            raise ValueError("expected true or false")
        return value in (True, "true")
    if isinstance(default, Quantity):
        return parse_quantity(value)
    number: float
    if name.endswith("_ns"):
        number = parse_duration(value if isinstance(value, str) else f"{value}s")
    else:
        number = float(value) if isinstance(default, float) else int(value)
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    if name == "interval_ns" and number < allowed[0]:
        raise ValueError("expected 1ms or more")
    if not allowed[0] <= number <= allowed[1]:
        raise ValueError(f"expected {allowed[0]:g} or more" + (f", {allowed[1]:g} at most" if allowed[1] < 1e9 else ""))
    return number
