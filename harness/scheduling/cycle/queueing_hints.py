"""Who gets another chance when something changes: kube-scheduler's queueing hints, by class rather than by pod."""

from __future__ import annotations

from harness.scheduling.cycle.queue import SchedulingQueue
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.preemption.victims import Preemption
from harness.scheduling.strategy import PodView


def wake_for_node(
    snapshot: Snapshot, queue: SchedulingQueue, preemption: Preemption | None, node: int, now: int, event: str
) -> None:
    """Something about `node` changed for the better: wake as many pods as it could take.

    With `preemption`, those too for whom evictions there may make room. `event`: for metrics.
    """

    def room(pod: PodView) -> int:
        if not snapshot.verdicts.holds(pod.cls, node):
            return 0
        fits = [
            free // want for free, want in zip(snapshot.free[:, node].tolist(), pod.cls.amounts, strict=False) if want
        ]
        return max(1, min(fits, default=1))

    for pod in snapshot.nominations.pods_on(node):
        if snapshot.verdicts.holds(snapshot.classes.class_now(pod), node, pod.key):
            queue.wake_pod(pod.key, now, event)
    queue.wake_where(room, now, event)
    if preemption is not None:
        could_help = preemption.could_help
        queue.wake_where(lambda pod: could_help(pod.cls, node), now, event, nominated=False)


def wake_cluster_scope(snapshot: Snapshot, queue: SchedulingQueue, now: int) -> None:
    """Affinity and spread: a pod that came, went or changed anywhere may have opened any node."""
    for cls in sorted(queue.cluster_scope):
        if cls not in queue.cluster_scope:
            continue  # its last pod went with the gang of a pod of another class
        open_nodes = int(snapshot.feasible(queue.waiting(cls)).sum())
        if open_nodes:
            queue.wake(cls, open_nodes, now, "AssignedPodUpdate")
