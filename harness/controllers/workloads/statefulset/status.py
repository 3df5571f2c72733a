"""What a StatefulSet says of itself, and the words of its Events."""

from __future__ import annotations

from collections.abc import Collection

from harness.controllers.workloads.statefulset.identity import REVISION
from harness.controllers.workloads.statefulset.plan import available_at, is_running_and_ready
from harness.engine.component import Create, Delete, Instant
from harness.model.core import Pod
from harness.model.storage import PersistentVolumeClaim
from harness.model.workloads import StatefulSet, StatefulSetStatus


def status_of(
    stateful_set: StatefulSet, pods: Collection[Pod], current: str, update: str, collisions: int, now: Instant
) -> tuple[StatefulSetStatus, Instant | None]:
    """(the status, when the next pod that is ready becomes available). `current`, `update`: names of revisions.

    Source: stateful_set_control.go computeReplicaStatus, stateful_set_utils.go completeRollingUpdate (master).
    """
    spec, old = stateful_set.spec, stateful_set.status
    ready = available = of_current = of_update = 0
    later: list[Instant] = []
    for pod in pods:
        if is_running_and_ready(pod):
            ready += 1
            at = available_at(stateful_set, pod)
            if at is not None and at > now:
                later.append(at)
            else:
                available += 1
        if pod.metadata.deletion_timestamp is None:
            revision = pod.metadata.labels.get(REVISION)
            of_current += revision == current
            of_update += revision == update
    if spec.update_strategy.type == "RollingUpdate" and of_update == ready == len(pods) == spec.replicas:
        current, of_current = update, of_update
    status = StatefulSetStatus(
        observed_generation=stateful_set.metadata.generation,
        replicas=len(pods),
        ready_replicas=ready or None,
        available_replicas=available,
        current_replicas=of_current or None,
        updated_replicas=of_update or None,
        current_revision=current,
        update_revision=update,
        collision_count=collisions,
        conditions=old.conditions,
        extra=old.extra,
    )
    return status, min(later, default=None)


def words_of(effect: object, stateful_set: str, error: object = None) -> tuple[str, str]:
    """(reason, message) of a pod or claim that was made or deleted, or was not; ('', '') of other writes.

    Source: stateful_pod_control.go recordPodEvent, recordClaimEvent (master).
    """
    how, verb = ("Successful" if error is None else "Failed"), ("Delete" if isinstance(effect, Delete) else "Create")
    end = f"failed error: {error}"
    if isinstance(effect, Create) and isinstance(effect.obj, PersistentVolumeClaim):
        claim = effect.obj.metadata.name
        pod = f"{stateful_set}-{claim.rpartition('-')[2]}"
        if error is None:
            return f"{how}{verb}", f"create Claim {claim} Pod {pod} in StatefulSet {stateful_set} success"
        return f"{how}{verb}", f"create Claim {claim} for Pod {pod} in StatefulSet {stateful_set} {end}"
    if isinstance(effect, Create) and isinstance(effect.obj, Pod):
        name = effect.obj.metadata.name
    elif isinstance(effect, Delete) and effect.kind == "Pod":
        name = effect.name
    else:
        return "", ""
    end = "successful" if error is None else end
    return f"{how}{verb}", f"{verb.lower()} Pod {name} in StatefulSet {stateful_set} {end}"
