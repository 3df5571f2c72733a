"""Which pods of a VPA are worth an eviction, and in which order.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/updater/priority (1.8) update_priority_calculator.go,
priority_processor.go, scaling_direction_pod_eviction_admission.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.autoscaling.vertical.settings import UpdaterSettings
from harness.model.core import Container, ContainerStatus, Pod
from harness.model.policy import LimitRange
from harness.model.quantity import Quantity
from harness.model.vertical import (
    SCALING_OFF,
    TARGET_HIGHER,
    EvictionRequirement,
    RecommendedPodResources,
    VerticalPodAutoscaler,
    container_policy,
    observed_containers,
    recommendation_for,
)
from harness.model.vertical_capping import capped_for_pod

_NONE = Quantity(0)


@dataclass(frozen=True, slots=True)
class Priority:
    """`diff`: what requests are off the target by, relative, summed over resources."""

    out_of_range: bool
    scales_up: bool
    diff: float


def priority_of(pod: Pod, recommendation: RecommendedPodResources | None) -> Priority:
    """Source: priority_processor.go GetUpdatePriority."""
    observed = observed_containers(pod.metadata.annotations)
    out_of_range = scales_up = False
    asked: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for container in pod.spec.containers:
        item = recommendation_for(container.name, recommendation)
        if item is None or (observed is not None and container.name not in observed):
            continue
        for name, target in item.target.items():
            wanted[name] = wanted.get(name, 0) + target.milli
            request = container.resources.requests.get(name)
            if request is None:
                scales_up = out_of_range = True
                continue
            asked[name] = asked.get(name, 0) + request.milli
            scales_up = scales_up or target.milli > request.milli
            lower, upper = item.lower_bound.get(name), item.upper_bound.get(name)
            below = lower is not None and request.milli < lower.milli
            above = upper is not None and request.milli > upper.milli
            out_of_range = out_of_range or below or above
    diff = 0.0
    for name in sorted(wanted):
        total = max(float(asked.get(name, 0)), 1.0)
        diff += abs(total - wanted[name]) / total
    return Priority(out_of_range, scales_up, diff)


def pods_to_update(
    now: int, vpa: VerticalPodAutoscaler, pods: Iterable[Pod], settings: UpdaterSettings, ranges: Sequence[LimitRange]
) -> list[Pod]:
    """Of `pods`, those that are worth an eviction: pods that grow before those that shrink, the farthest off first.

    Source: AddPod, GetSortedPods.
    """
    found: list[tuple[bool, float, str, Pod]] = []
    requirements = vpa.spec.update_policy.eviction_requirements if vpa.spec.update_policy is not None else ()
    for pod in pods:
        recommendation, _ = capped_for_pod(vpa, pod, ranges)
        priority = priority_of(pod, recommendation)
        if is_due(now, vpa, pod, priority, settings) and admits(pod, recommendation, requirements):
            found.append((not priority.scales_up, -priority.diff, pod.metadata.key, pod))
    return [pod for *_, pod in sorted(found, key=lambda item: item[:3])]


def is_due(now: int, vpa: VerticalPodAutoscaler, pod: Pod, priority: Priority, settings: UpdaterSettings) -> bool:
    quick_oom = any(_died_quickly(vpa, pod, status, settings) for status in pod.status.container_statuses)
    if not priority.out_of_range and not quick_oom:
        started = pod.status.start_time
        if started is None or now < started + settings.lifetime_threshold_ns:
            return False
        if priority.diff < settings.update_threshold:
            return False
    return not (quick_oom and priority.diff == 0)


def _died_quickly(vpa: VerticalPodAutoscaler, pod: Pod, status: ContainerStatus, settings: UpdaterSettings) -> bool:
    """Killed for its memory soon after its start."""
    observed = observed_containers(pod.metadata.annotations)
    if observed is not None and status.name not in observed:
        return False
    own = container_policy(status.name, vpa.spec.resource_policy)
    if own is not None and own.mode == SCALING_OFF:
        return False
    ended = status.last_state.terminated
    if ended is None or ended.reason != "OOMKilled":
        return False
    return (ended.finished_at or 0) - (ended.started_at or 0) < settings.evict_after_oom_ns


def admits(
    pod: Pod, recommendation: RecommendedPodResources | None, requirements: Sequence[EvictionRequirement]
) -> bool:
    """One container at least for which every requirement holds, or that asks for nothing of CPU or memory.

    Source: scaling_direction_pod_eviction_admission.go.
    """
    if not requirements:
        return True
    for container in pod.spec.containers:
        item = recommendation_for(container.name, recommendation)
        if item is not None and _holds(container, item.target, requirements):
            return True
    return False


def _holds(container: Container, target: dict[str, Quantity], requirements: Sequence[EvictionRequirement]) -> bool:
    requests = container.resources.requests
    if "cpu" not in requests or "memory" not in requests:
        return True

    def changes(name: str, direction: str) -> bool:
        now, then = requests.get(name, _NONE).milli, target.get(name, _NONE).milli
        return then > now if direction == TARGET_HIGHER else then < now

    return all(any(changes(name, item.change_requirement) for name in item.resources) for item in requirements)
