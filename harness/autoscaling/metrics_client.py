"""What the autoscaler asks for: samples of pods and of other things, and when they are to be trusted.

Source: kubernetes 1.34 pkg/controller/podautoscaler/metrics/client.go; its words for what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.engine.component import MINUTE, SECOND, Instant
from harness.model.core import Pod
from harness.model.meta import LabelSelector
from harness.model.times import parse_duration
from harness.model.workloads import CrossVersionObjectReference, PodMetrics


class MetricError(Exception):
    """A metric that says nothing, in Kubernetes' words."""


@dataclass(frozen=True, slots=True)
class PodMetric:
    """One pod's sample. `window_ns`: what it is the average over, ending at `timestamp_ns`."""

    value: int
    timestamp_ns: Instant = 0
    window_ns: int = MINUTE


Samples = Mapping[str, PodMetric]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far the ratio of usage to target may be from 1 without a change."""

    down: float = 0.1
    up: float = 0.1

    def is_within(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Startup:
    """Whose CPU usage is not to be trusted yet. Source: --horizontal-pod-autoscaler-cpu-initialization-period,
    --horizontal-pod-autoscaler-initial-readiness-delay."""

    cpu_initialization_ns: int = 5 * MINUTE
    readiness_delay_ns: int = 30 * SECOND


class MetricsClient(Protocol):
    """Amounts in milli-units. Each raises MetricError where there is nothing."""

    def resource(self, name: str, pods: Sequence[Pod], container: str) -> Samples:
        """metrics.k8s.io: usage of `pods`, or of their `container` where that is not "", by name of the pod."""
        ...

    def pods(self, name: str, pods: Sequence[Pod], selector: LabelSelector | None) -> Samples:
        """custom.metrics.k8s.io, of pods, by name."""
        ...

    def object(
        self, name: str, namespace: str, described: CrossVersionObjectReference, selector: LabelSelector | None
    ) -> int:
        """custom.metrics.k8s.io, of one object."""
        ...

    def external(self, name: str, namespace: str, selector: LabelSelector | None) -> list[int]:
        """external.metrics.k8s.io: a value for each series that `selector` matches."""
        ...


def pod_samples(metrics: Iterable[PodMetrics], resource: str) -> dict[str, PodMetric]:
    """Of pods all of whose containers have the resource. Raises MetricError when there are no metrics at all."""
    found = _some(metrics)
    samples = {}
    for item in found:
        amounts = [container.usage.get(resource) for container in item.containers]
        if amounts and None not in amounts:
            samples[item.metadata.name] = _sample(item, sum(amount.milli for amount in amounts if amount is not None))
    return samples


def container_samples(metrics: Iterable[PodMetrics], resource: str, container: str) -> dict[str, PodMetric]:
    """Of one container in each pod; pods without it are left out. Raises MetricError when there are no metrics, or no
    pod has the container."""
    found = _some(metrics)
    samples = {}
    seen = False
    for item in found:
        for part in item.containers:
            if part.name == container:
                seen = True
                amount = part.usage.get(resource)
                if amount is not None:
                    samples[item.metadata.name] = _sample(item, amount.milli)
    if not seen:
        first = found[0].metadata.key
        raise MetricError(
            f"failed to get container metrics: container {container} not present in metrics for pod {first}"
        )
    return samples


def _some(metrics: Iterable[PodMetrics]) -> list[PodMetrics]:
    found = list(metrics)
    if not found:
        raise MetricError("no metrics returned from resource metrics API")
    return found


def _sample(item: PodMetrics, milli: int) -> PodMetric:
    return PodMetric(milli, item.timestamp or 0, parse_duration(item.window) if item.window else 0)
