"""Which pods go first when there are too many.

Source: pkg/controller/controller_utils.go ActivePodsWithRanks; kubernetes.io/docs ReplicaSet, "Scaling a ReplicaSet".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nsmallest

from harness.controllers.runtime.pods import POD_DELETION_COST, ready_since
from harness.engine.component import Instant
from harness.model.core import Pod

_PHASES = {"": 0, "Pending": 0, "Unknown": 1, "Running": 2}


def first_to_go(pods: Iterable[Pod], count: int, on_node: Mapping[str, int], now: Instant) -> list[Pod]:
    """The `count` pods to delete, in order. `on_node`: how many related pods each node has.

    Unassigned before assigned, pending before running, unready before ready, cheap before dear, crowded before
    alone, ready for less long before longer, restarted more often before less, young before old. Times count by
    their octave (LogarithmicScaleDown), where Kubernetes lets the uid decide between two unequal times of one octave
    at once; that order is not transitive, so here restarts and age come in between.
    """

    def rank(pod: Pod) -> tuple[int | bool | str, ...]:
        node = pod.spec.node_name
        since = ready_since(pod)
        created = pod.metadata.creation_timestamp
        cost = pod.metadata.annotations.get(POD_DELETION_COST)
        statuses = pod.status.container_statuses
        restarts = max([status.restart_count or 0 for status in statuses]) if statuses else 0
        return (
            node != "",
            _PHASES.get(pod.status.phase, 1),
            since is not None,
            _cost(cost) if cost is not None else 0,
            -on_node.get(node, 0),
            max(now - since, 0).bit_length() if since is not None else 0,
            -restarts,
            max(now - created, 0).bit_length() if created is not None else 0,
            pod.metadata.uid,
        )

    return nsmallest(count, pods, key=rank)


def _cost(text: str) -> int:
    """Invalid ones count as none. Source: helper.GetDeletionCostFromPodAnnotations."""
    try:
        return int(text)
    except ValueError:
        return 0
