"""What a StatefulSet does next: arithmetic on its pods, in order of their ordinals.

Source: pkg/controller/statefulset/stateful_set_control.go updateStatefulSet, processReplica, processCondemned (master).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.controllers.runtime.pods import ready_since
from harness.controllers.workloads.statefulset.identity import REVISION
from harness.engine.component import SECOND, Instant
from harness.model.core import Pod
from harness.model.workloads import StatefulSet


@dataclass(slots=True)
class Step:
    """Numbers are places in the row of replicas: the ordinal less the first ordinal."""

    create: list[int] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    claims: list[int] = field(default_factory=list)
    """Of pods that are there and pending: what is missing of their claims is made."""
    held: bool = False
    """One of the replicas is waited for, so that nothing beyond them is looked at."""


def is_running_and_ready(pod: Pod) -> bool:
    return pod.status.phase == "Running" and ready_since(pod) is not None


def available_at(stateful_set: StatefulSet, pod: Pod) -> Instant | None:
    """Since when, or from when on, it counts as available; None while it is not ready."""
    since = ready_since(pod) if pod.status.phase == "Running" else None
    return None if since is None else since + (stateful_set.spec.min_ready_seconds or 0) * SECOND


def is_parallel(stateful_set: StatefulSet) -> bool:
    return stateful_set.spec.pod_management_policy == "Parallel"


def partition_of(stateful_set: StatefulSet) -> int:
    """Ordinals below it stay at the current revision."""
    rolling = stateful_set.spec.update_strategy.rolling_update
    return 0 if rolling is None else rolling.partition or 0


def needs_current_revision(stateful_set: StatefulSet, place: int) -> bool:
    """Whether a new pod at `place` is of the current revision, not the update's. Source: newVersionedStatefulSetPod."""
    strategy = stateful_set.spec.update_strategy
    if strategy.type == "RollingUpdate" and strategy.rolling_update is None:
        return place < (stateful_set.status.current_replicas or 0)
    return strategy.rolling_update is not None and place < partition_of(stateful_set)


def next_step(
    stateful_set: StatefulSet,
    replicas: Sequence[Pod | None],
    condemned: Sequence[Pod],
    update_revision: str,
    now: Instant,
) -> Step:
    """`condemned`: pods beyond the wanted ordinals, the highest first."""

    def available(pod: Pod) -> bool:
        at = available_at(stateful_set, pod)
        return at is not None and at <= now

    step = Step()
    ordered = not is_parallel(stateful_set)
    if _replicas(step, replicas, ordered, available):
        step.held = True
        return step
    unhealthy = [pod for pod in reversed(condemned) if _going(pod) or not available(pod)]
    first = next((pod for pod in replicas if pod is not None and (_going(pod) or not available(pod))), None)
    if first is None and unhealthy:
        first = unhealthy[0]
    for pod in condemned:
        if _going(pod):
            if ordered:
                return step
            continue
        if ordered and pod is not first and not available(pod):
            return step
        step.delete.append(pod)
        if ordered:
            return step
    if stateful_set.spec.update_strategy.type == "OnDelete":
        return step
    for place in range(len(replicas) - 1, partition_of(stateful_set) - 1, -1):
        replica = replicas[place]
        if replica is None or replica in step.delete:
            return step
        if replica.metadata.labels.get(REVISION) != update_revision and not _going(replica):
            step.delete.append(replica)
            return step
        if _going(replica) or not available(replica):
            return step
    return step


def _replicas(step: Step, replicas: Sequence[Pod | None], ordered: bool, available: Callable[[Pod], bool]) -> bool:
    """Whether one that is missing or not well holds up all that follows."""
    for place, pod in enumerate(replicas):
        if pod is None:
            step.create.append(place)
            if ordered:
                return True
            continue
        if pod.status.phase in ("Succeeded", "Failed"):
            if not _going(pod):
                step.delete.append(pod)
            if ordered:
                return True
            continue
        if pod.status.phase == "Pending" and not _going(pod):
            step.claims.append(place)
        if ordered and (_going(pod) or not available(pod)):
            return True
    return False


def _going(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None
