"""The arithmetic of a rollout: how large each ReplicaSet of a Deployment should be next; no writes.

Source: pkg/controller/deployment/{rolling,sync}.go and util/deployment_util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.controllers.runtime.int_or_percent import scaled
from harness.controllers.workloads.deployment.revisions import DESIRED_REPLICAS, MAX_REPLICAS, age, number, wanted
from harness.model.workloads import Deployment, ReplicaSet

Sizes = dict[str, int]
"""By the ReplicaSet's key."""


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy.type in ("", "RollingUpdate")


def fenceposts(deployment: Deployment) -> tuple[int, int]:
    """(max surge, max unavailable) in pods: surge rounds up, unavailable down, and both being 0 would stand still.

    Source: ResolveFenceposts, MaxSurge, MaxUnavailable.
    """
    rolling = deployment.spec.strategy.rolling_update
    replicas = wanted(deployment)
    if not is_rolling(deployment) or rolling is None:
        return 0, 0
    surge = scaled(rolling.max_surge, replicas, up=True)
    unavailable = scaled(rolling.max_unavailable, replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def at_most(deployment: Deployment) -> int:
    return wanted(deployment) + fenceposts(deployment)[0]


def total(replica_sets: Iterable[ReplicaSet]) -> int:
    return sum(map(wanted, replica_sets))


def available(replica_set: ReplicaSet) -> int:
    """Never more than are wanted: a status from before the last scaling down counts pods that are going.

    Kubernetes reads the status as it is, and retries where that leads to nonsense.
    """
    return min(replica_set.status.available_replicas or 0, wanted(replica_set))


def new_size(deployment: Deployment, everything: Sequence[ReplicaSet], size: int) -> int:
    """What the new ReplicaSet, `size` large now and counted in `everything`, may grow to. Source: NewRSNewReplicas."""
    if not is_rolling(deployment):
        return wanted(deployment)
    room = at_most(deployment) - total(everything)
    return size + min(room, wanted(deployment) - size) if room > 0 else size


def old_sizes(deployment: Deployment, old: Sequence[ReplicaSet], new: ReplicaSet) -> Sizes:
    """What old ReplicaSets shrink to: first pods that are not available, then as many as availability allows.

    Source: reconcileOldReplicaSets, cleanupUnhealthyReplicas, scaleDownOldReplicaSetsForRollingUpdate.
    """
    sizes = {item.metadata.key: wanted(item) for item in old}
    least = wanted(deployment) - fenceposts(deployment)[1]
    room = total(old) + wanted(new) - least - (wanted(new) - available(new))
    if room <= 0:
        return {}
    by_age = sorted(old, key=age)
    for item in by_age:
        fewer = min(room, wanted(item) - available(item))
        sizes[item.metadata.key] -= fewer
        room -= fewer
    spare = sum(map(available, old)) + available(new) - least
    for item in by_age:
        fewer = min(sizes[item.metadata.key], spare) if spare > 0 else 0
        sizes[item.metadata.key] -= fewer
        spare -= fewer
    return {item.metadata.key: sizes[item.metadata.key] for item in by_age if sizes[item.metadata.key] != wanted(item)}


def scaling_sizes(deployment: Deployment, old: Sequence[ReplicaSet], new: ReplicaSet | None) -> Sizes:
    """Where no rollout may go on (scaled or paused): the wanted replicas spread over what there is, in proportion.

    Source: sync.go scale; kubernetes.io/docs Deployments, "Proportional scaling".
    """
    everything = [*old] if new is None else [*old, new]
    if not everything:
        return {}
    running = [item for item in everything if wanted(item)]
    if len(running) <= 1:
        only = running[0] if running else new or max(old, key=age)
        return {only.metadata.key: wanted(deployment)}
    if new is not None and is_saturated(deployment, new):
        return {item.metadata.key: 0 for item in running if item is not new}
    if not is_rolling(deployment):
        return {}
    allowed = at_most(deployment) if wanted(deployment) else 0
    to_add = allowed - total(running)
    # The largest first; of equal ones the newer when growing, the older when shrinking.
    sign = -1 if to_add > 0 else 1
    running.sort(key=lambda item: (-wanted(item), sign * age(item)[0], age(item)[1]))
    sizes: Sizes = {}
    added = 0
    for item in running:
        share = _share(deployment, item, to_add, added)
        added += share
        sizes[item.metadata.key] = max(wanted(item) + share, 0)
    largest = running[0].metadata.key
    sizes[largest] = max(sizes[largest] + to_add - added, 0)
    return sizes


def _share(deployment: Deployment, item: ReplicaSet, to_add: int, added: int) -> int:
    """Source: GetReplicaSetProportion, getReplicaSetFraction."""
    left = to_add - added
    size = wanted(item)
    if not to_add or not left:
        return 0
    if not wanted(deployment):
        fraction = -size
    else:
        before = number(item, MAX_REPLICAS) or deployment.status.replicas or 0
        if not before:
            return 0
        fraction = (2 * size * at_most(deployment) + before) // (2 * before) - size
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    """Source: IsSaturated."""
    replicas = wanted(deployment)
    return (
        wanted(new) == replicas
        and number(new, DESIRED_REPLICAS) == replicas
        and (new.status.available_replicas or 0) == replicas
    )


def is_scaling(deployment: Deployment, everything: Iterable[ReplicaSet]) -> bool:
    """Whether the deployment was scaled since its ReplicaSets were. Source: isScalingEvent."""
    for item in everything:
        if wanted(item):
            desired = number(item, DESIRED_REPLICAS)
            if desired is not None and desired != wanted(deployment):
                return True
    return False
