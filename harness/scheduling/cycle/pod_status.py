"""What is said of a pod that was not placed: an Event, and its condition PodScheduled."""

from __future__ import annotations

from harness.engine.component import Effect, PatchStatus, Record
from harness.model.core import Pod, PodStatus
from harness.model.meta import Condition
from harness.model.wire import Time


def report_unschedulable(now: int, pod: Pod, message: str, nominated: str) -> list[Effect]:
    """`nominated`: the node that is kept for it, '' for none. What its status says already is not written again."""
    effects: list[Effect] = [Record(pod, "Warning", "FailedScheduling", message)]
    was = pod.status
    if message == _last_message(pod) and nominated == was.nominated_node_name:
        return effects
    condition = Condition(
        type="PodScheduled",
        status="False",
        reason="Unschedulable",
        message=message,
        last_transition_time=Time(now),
    )
    status = PodStatus(
        phase=was.phase,
        qos_class=was.qos_class,
        conditions=(condition,),
        nominated_node_name=nominated,
        extra=was.extra,
    )
    effects.append(PatchStatus(Pod(metadata=pod.metadata, spec=pod.spec, status=status), pod))
    return effects


def _last_message(pod: Pod) -> str:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled":
            return condition.message
    return ""
