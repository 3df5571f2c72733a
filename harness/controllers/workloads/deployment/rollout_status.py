"""What a Deployment says about itself: counts, Available, Progressing.

Source: pkg/controller/deployment/{sync,progress}.go, util/deployment_util.go; kubernetes.io/docs "Deployment status".
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from harness.controllers.workloads.deployment.revisions import wanted
from harness.controllers.workloads.deployment.rollout import fenceposts
from harness.engine.component import SECOND, Instant
from harness.model.meta import Condition, condition
from harness.model.wire import Time
from harness.model.workloads import Deployment, DeploymentStatus, ReplicaSet

NO_DEADLINE = 2**31 - 1
"""progressDeadlineSeconds and revisionHistoryLimit of so many mean: none. Source: HasProgressDeadline."""

NEW_SET_CREATED, NEW_SET_FOUND, NEW_SET_AVAILABLE = (
    "NewReplicaSetCreated",
    "FoundNewReplicaSet",
    "NewReplicaSetAvailable",
)
UPDATED, TIMED_OUT, CREATE_ERROR = "ReplicaSetUpdated", "ProgressDeadlineExceeded", "ReplicaSetCreateError"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def deadline_ns(deployment: Deployment) -> int | None:
    seconds = deployment.spec.progress_deadline_seconds
    return None if seconds is None or seconds == NO_DEADLINE else seconds * SECOND


def progressing(now: Instant, status: str, reason: str, message: str) -> Condition:
    return _condition("Progressing", now, status, reason, message)


def _condition(kind: str, now: Instant, status: str, reason: str, message: str) -> Condition:
    at = Time(now)
    return Condition(
        type=kind, status=status, reason=reason, message=message, last_transition_time=at, last_update_time=at
    )


def with_set(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """Unchanged when status and reason are as they were. Source: SetDeploymentCondition."""
    current = condition(conditions, new.type)
    if current is not None and current.status == new.status:
        if current.reason == new.reason:
            return conditions
        new = replace(new, last_transition_time=current.last_transition_time)
    return (*without(conditions, new.type), new)


def without(conditions: tuple[Condition, ...], kind: str) -> tuple[Condition, ...]:
    return tuple(item for item in conditions if item.type != kind)


def counted(
    now: Instant, deployment: Deployment, everything: Sequence[ReplicaSet], new: ReplicaSet | None
) -> DeploymentStatus:
    """Counts and Available. Source: calculateStatus."""
    available = sum(item.status.available_replicas or 0 for item in everything)
    old = deployment.status
    if available >= wanted(deployment) - fenceposts(deployment)[1]:
        enough = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        enough = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(item.status.replicas or 0 for item in everything) or None,
        updated_replicas=((new.status.replicas or 0) if new is not None else 0) or None,
        ready_replicas=sum(item.status.ready_replicas or 0 for item in everything) or None,
        available_replicas=available or None,
        unavailable_replicas=max(sum(map(wanted, everything)) - available, 0) or None,
        collision_count=old.collision_count,
        conditions=with_set(old.conditions, _condition("Available", now, *enough)),
        extra=old.extra,
    )


def judged(
    now: Instant, deployment: Deployment, everything: Sequence[ReplicaSet], new: ReplicaSet | None
) -> DeploymentStatus:
    """Counts, Available, and how the rollout goes. Source: syncRolloutStatus."""
    status = counted(now, deployment, everything, new)
    conditions = status.conditions
    deadline = deadline_ns(deployment)
    current = condition(deployment.status.conditions, "Progressing")
    if deadline is None:
        conditions = without(conditions, "Progressing")
    elif not (
        (status.replicas or 0) == (status.updated_replicas or 0)
        and current is not None
        and current.reason == NEW_SET_AVAILABLE
    ):
        what = f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{deployment.metadata.name}"'
        if is_complete(deployment, status):
            done = progressing(now, "True", NEW_SET_AVAILABLE, f"{what} has successfully progressed.")
            conditions = with_set(conditions, done)
        elif _progresses(deployment.status, status):
            going = progressing(now, "True", UPDATED, f"{what} is progressing.")
            if current is not None:
                if current.status == "True":
                    going = replace(going, last_transition_time=current.last_transition_time)
                # Taken out first, so that the time of the update moves with each step forward.
                conditions = without(conditions, "Progressing")
            conditions = with_set(conditions, going)
        elif timed_out(now, deadline, current):
            late = progressing(now, "False", TIMED_OUT, f"{what} has timed out progressing.")
            conditions = with_set(conditions, late)
    failure = _failure(everything, new)
    conditions = without(conditions, "ReplicaFailure") if failure is None else with_set(conditions, failure)
    return replace(status, conditions=conditions)


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Source: DeploymentComplete."""
    replicas = wanted(deployment)
    return (
        (status.updated_replicas or 0) == replicas
        and (status.replicas or 0) == replicas
        and (status.available_replicas or 0) == replicas
        and (status.observed_generation or 0) >= (deployment.metadata.generation or 0)
    )


def _progresses(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    """Source: DeploymentProgressing."""
    return (
        (new.updated_replicas or 0) > (old.updated_replicas or 0)
        or (new.replicas or 0) - (new.updated_replicas or 0) < (old.replicas or 0) - (old.updated_replicas or 0)
        or (new.ready_replicas or 0) > (old.ready_replicas or 0)
        or (new.available_replicas or 0) > (old.available_replicas or 0)
    )


def timed_out(now: Instant, deadline: int, current: Condition | None) -> bool:
    """Source: DeploymentTimedOut."""
    if current is None or current.reason == NEW_SET_AVAILABLE:
        return False
    return current.reason == TIMED_OUT or (current.last_update_time or 0) + deadline < now


def times_out_at(deployment: Deployment, status: DeploymentStatus) -> Instant | None:
    """When to look whether it stands still; None when there is nothing to wait for. Source: requeueStuckDeployment."""
    deadline = deadline_ns(deployment)
    current = condition(status.conditions, "Progressing")
    if deadline is None or current is None or is_complete(deployment, status):
        return None
    if current.reason in (NEW_SET_AVAILABLE, TIMED_OUT):
        return None
    return (current.last_update_time or 0) + deadline + 1


def _failure(everything: Sequence[ReplicaSet], new: ReplicaSet | None) -> Condition | None:
    """That of the new ReplicaSet first. Source: getReplicaFailures."""
    ordered = [item for item in (new,) if item is not None] + [item for item in everything if item is not new]
    for item in ordered:
        found = condition(item.status.conditions, "ReplicaFailure")
        if found is not None:
            return replace(found, last_update_time=found.last_update_time or found.last_transition_time)
    return None
