"""How many replicas one metric asks for: plain functions of pods, samples and a target. All amounts are in milli-units.

Source: kubernetes 1.34 pkg/controller/podautoscaler/replica_calculator.go and metrics/utilization.go. 1.32 differs in
the tolerance alone: it compares |1 - ratio| with it, so that a ratio of exactly 1.1, which has no exact binary form, is
beyond a tolerance of 0.1 there and within it from 1.33 on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.autoscaling.metrics_client import MetricError, PodMetric, Samples, Startup, Tolerances
from harness.engine.component import Instant
from harness.model.core import Pod
from harness.model.meta import condition
from harness.model.pod_usage import running_containers

MOST_REPLICAS, MOST_USAGE = (1 << 31) - 1, (1 << 63) - 1
"""Source: they are int32 and int64 there, capped since 1.34."""


@dataclass(frozen=True, slots=True)
class PodGroups:
    """Of a target's pods, by name. `ready` counts those whose samples stand; `ignored` are deleted or failed."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


@dataclass(frozen=True, slots=True)
class Replicas:
    """`usage`: per pod or of all, as the target is meant; `utilization` in percent, where the target is one."""

    count: int
    usage: int
    utilization: int | None = None


# -- pods --------------------------------------------------------------------------------------------------------------


def group_pods(pods: Sequence[Pod], samples: Samples, resource: str, now: Instant, startup: Startup) -> PodGroups:
    """`samples`: by name of the pod. `resource`: "" for metrics that are none. Source: groupPods."""
    ready = 0
    unready, missing, ignored = [], [], []
    for pod in pods:
        name, phase = pod.metadata.name, pod.status.phase
        if pod.metadata.deletion_timestamp is not None or phase == "Failed":
            ignored.append(name)
        elif phase == "Pending":
            unready.append(name)
        elif name not in samples:
            missing.append(name)
        elif resource == "cpu" and _is_starting(pod, samples[name], now, startup):
            unready.append(name)
        else:
            ready += 1
    return PodGroups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_starting(pod: Pod, sample: PodMetric, now: Instant, startup: Startup) -> bool:
    ready, started = condition(pod.status.conditions, "Ready"), pod.status.start_time
    if ready is None or started is None:
        return True
    since = ready.last_transition_time or 0
    if started + startup.cpu_initialization_ns > now:
        return ready.status == "False" or sample.timestamp_ns < since + sample.window_ns
    return ready.status == "False" and started + startup.readiness_delay_ns > since


def pod_requests(pods: Sequence[Pod], resource: str, container: str = "") -> dict[str, int]:
    """Milli-units that each pod, or its `container`, asks for; init containers that go on running count. Raises
    MetricError."""
    return {pod.metadata.name: _request(pod, resource, container) for pod in pods}


def _request(pod: Pod, resource: str, name: str) -> int:
    total = 0
    for container in running_containers(pod):
        if name and container.name != name:
            continue
        amount = container.resources.requests.get(resource)
        if amount is None:
            raise MetricError(
                f"missing request for {resource} in container {container.name} of Pod {pod.metadata.name}"
            )
        total += amount.milli
        if name:
            return total
    if name:
        raise MetricError(f"container {name} not found in Pod {pod.metadata.name}")
    return total


# -- metrics of each pod -----------------------------------------------------------------------------------------------


def by_utilization(
    current: int,
    percent: int,
    pods: Sequence[Pod],
    samples: Samples,
    groups: PodGroups,
    tolerances: Tolerances,
    resource: tuple[str, str],
) -> Replicas:
    """For `percent` of what pods request. `resource`: its name, and a container's or "" for all of a pod. Source:
    GetResourceReplicas. Raises MetricError."""
    known = _trusted(pods, samples, groups)
    requests = pod_requests(pods, *resource)
    ratio, utilization, average = _utilization(known, requests, percent)
    # Pods without a sample use what they may when there is too much, nothing when there is too little.
    least = {name: requests[name] * max(100, percent) // 100 for name in groups.missing}
    filled = _filled(known, ratio, groups, least)
    again = None if filled is None else _utilization(filled, requests, percent)[0]
    count = _replicas(current, ratio, again, groups, len(filled or ()), tolerances)
    return Replicas(count, average, utilization)


def by_average(
    current: int,
    target: int,
    pods: Sequence[Pod],
    samples: Samples,
    groups: PodGroups,
    tolerances: Tolerances,
) -> Replicas:
    """For `target` a pod on average. Source: calcPlainMetricReplicas. Raises MetricError."""
    known = _trusted(pods, samples, groups)
    average = _average(known)
    ratio = average / target
    filled = _filled(known, ratio, groups, dict.fromkeys(groups.missing, target))
    again = None if filled is None else _average(filled) / target
    return Replicas(_replicas(current, ratio, again, groups, len(filled or ()), tolerances), average)


def _trusted(pods: Sequence[Pod], samples: Samples, groups: PodGroups) -> dict[str, int]:
    if not pods:
        raise MetricError("no pods returned by selector while calculating replica count")
    out = groups.ignored | groups.unready
    known = {name: sample.value for name, sample in samples.items() if name not in out}
    if not known:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    return known


def _utilization(usage: Mapping[str, int], requests: Mapping[str, int], percent: int) -> tuple[float, int, int]:
    """(usage to target, utilization in percent, average usage a pod). Samples of unknown pods do not count."""
    counted = [name for name in usage if name in requests]
    asked = sum(requests[name] for name in counted)
    if not asked:
        raise MetricError("no metrics returned matched known pods")
    used = sum(usage[name] for name in counted)
    utilization = _quotient(used * 100, asked)
    return utilization / percent, utilization, _quotient(used, len(counted))


def _average(usage: Mapping[str, int]) -> int:
    return _quotient(sum(usage.values()), len(usage))


def _quotient(amount: int, by: int) -> int:
    """Towards zero, as Go divides."""
    return amount // by if amount >= 0 else -(-amount // by)


def _filled(
    known: Mapping[str, int], ratio: float, groups: PodGroups, least: Mapping[str, int]
) -> dict[str, int] | None:
    """`known` and what pods without a trusted sample are taken to use; None where there are none that count."""
    with_unready = bool(groups.unready) and ratio > 1.0
    if not with_unready and not groups.missing:
        return None
    filled = dict(known)
    if ratio < 1.0:
        filled |= least
    elif ratio > 1.0:
        filled |= dict.fromkeys(groups.missing, 0)
    if with_unready:
        filled |= dict.fromkeys(groups.unready, 0)
    return filled


def _replicas(
    current: int, ratio: float, again: float | None, groups: PodGroups, filled: int, tolerances: Tolerances
) -> int:
    """`again`: the ratio with what is not known filled in, over `filled` pods."""
    if again is None:
        return current if tolerances.is_within(ratio) else ceiling(ratio * groups.ready)
    if tolerances.is_within(again) or (ratio < 1.0 < again) or (ratio > 1.0 > again):
        return current
    count = ceiling(again * filled)
    if (again < 1.0 and count > current) or (again > 1.0 and count < current):
        return current
    return count


# -- metrics of something else -----------------------------------------------------------------------------------------


def by_value(current: int, target: int, usage: int, pods: Sequence[Pod], tolerances: Tolerances) -> Replicas:
    """For `target` of a metric that is no pod's. From zero replicas, tolerance and pods do not count. Source:
    GetObjectMetricReplicas, GetExternalMetricReplicas. Raises MetricError."""
    ratio = usage / target
    if not current:
        return Replicas(ceiling(ratio), usage)
    if tolerances.is_within(ratio):
        return Replicas(current, usage)
    if not pods:
        why = "no pods returned by selector while calculating replica count"
        raise MetricError(f"unable to calculate ready pods: {why}")
    return Replicas(ceiling(ratio * sum(map(is_running_and_ready, pods))), usage)


def by_value_per_pod(status_replicas: int, target: int, usage: int, tolerances: Tolerances) -> Replicas:
    """For `target` of a metric a pod. `status_replicas`: those that exist. Source: GetObjectPerPodMetricReplicas,
    GetExternalPerPodMetricReplicas."""
    ratio = float(usage) / (float(target) * status_replicas) if status_replicas else math.copysign(math.inf, usage)
    count = status_replicas if tolerances.is_within(ratio) else ceiling(usage / target)
    if usage >= MOST_USAGE:
        return Replicas(count, MOST_USAGE)
    # Without replicas Kubernetes divides by zero, and shows the least of all integers.
    return Replicas(count, math.ceil(usage / status_replicas) if status_replicas else -MOST_USAGE - 1)


def total(values: Sequence[int]) -> int:
    """Of an external metric's series; capped. Source: GetExternalMetricReplicas."""
    return min(sum(values), MOST_USAGE)


def is_running_and_ready(pod: Pod) -> bool:
    ready = condition(pod.status.conditions, "Ready")
    return pod.status.phase == "Running" and ready is not None and ready.status == "True"


def ceiling(replicas: float) -> int:
    """A whole number of replicas, capped as int32 is."""
    return math.ceil(replicas) if replicas < MOST_REPLICAS else MOST_REPLICAS
