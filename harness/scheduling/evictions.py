"""What preemption writes through the API: the victims' end, and the nominations of those who wait for it.

Source: kube-scheduler 1.32 framework/preemption PreemptPod, prepareCandidate; util.ClearNominatedNodeName.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from harness.engine.component import Delete, Effect, PatchStatus, Record
from harness.model.core import Pod
from harness.model.meta import Condition
from harness.model.wire import Time
from harness.scheduling.preemption import REASON


def eviction(now: int, victim: Pod, preemptor: Pod, node: str) -> list[Effect]:
    """Marked, deleted with the grace of its own, and told why. No budget is asked: preemption may break one."""
    meta = victim.metadata
    target = Condition(
        type="DisruptionTarget",
        status="True",
        reason=REASON,
        message=f"{preemptor.spec.scheduler_name}: preempting to accommodate a higher priority pod",
        last_transition_time=Time(now),
    )
    message = f"Preempted by pod {preemptor.metadata.uid} on node {node}"
    return [
        PatchStatus(replace(victim, status=replace(victim.status, conditions=(target,)))),
        Delete("Pod", meta.namespace, meta.name, uid=meta.uid),
        Record(victim, "Normal", "Preempted", message),
    ]


def nomination(pod: Pod, node: str, conditions: Sequence[Condition] = ()) -> PatchStatus:
    """`node` is kept for the pod; '' clears what was."""
    status = replace(pod.status, nominated_node_name=node, conditions=tuple(conditions) or pod.status.conditions)
    return PatchStatus(replace(pod, status=status))
