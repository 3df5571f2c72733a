"""An outage of the control plane: how long nothing was decided, and what waited for that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.measure.fault import API_SERVER_TARGET, OUTAGES, MeasuredFault
from harness.measure.missing_replicas import MissingReplicas
from harness.measure.pods import NEVER, PodTimes
from harness.model.constants import MANAGER, SCHEDULER


def was_away(faults: Iterable[MeasuredFault], process: str, since_ns: int) -> bool:
    """Whether a process, or the API server that it hears everything from, was away at any time from an instant on."""
    names = {process, API_SERVER_TARGET}
    return any(fault.kind in OUTAGES and fault.until_ns > since_ns and names & {*fault.targets} for fault in faults)


def outage(fault: MeasuredFault, pods: Iterable[PodTimes], replicas: MissingReplicas, until_ns: int) -> dict[str, Any]:
    """Until something was decided again; how much waited when the outage was over; until all of that was done. Pods
    without a node wait for a scheduler, missing replicas for controllers, both for an API server. In seconds; what had
    no end counts to the end of the run, as a lower bound."""
    back = min(fault.until_ns, until_ns)
    never = until_ns + 1
    firsts: list[int] = []
    lasts = [back]
    backlog = 0
    if MANAGER not in fault.targets:
        bound, waiting = [], []
        for pod in pods:
            if pod.bound_ns >= back:
                bound.append(pod.bound_ns)
            if 0 <= pod.created_ns <= back and (pod.bound_ns > back or pod.bound_ns == pod.ended_ns == NEVER):
                waiting.append(pod)
        if waiting:
            backlog += len(waiting)
            firsts.append(min(bound, default=never))
            lasts.append(max(never if pod.bound_ns == NEVER else pod.bound_ns for pod in waiting))
    missing = 0 if SCHEDULER in fault.targets else replicas.at(back)
    if missing:
        came, all_came = replicas.made_up_for(back)
        backlog += missing
        firsts.append(never if came is None else came)
        lasts.append(never if all_came is None else all_came)
    first, last = min(firsts, default=back), max(lasts)
    out: dict[str, Any] = {
        "seconds": (back - fault.at_ns) / 1e9,
        "backlog": backlog,
        "withoutDecisions": (min(first, until_ns) - fault.at_ns) / 1e9,
        "catchUp": (min(last, until_ns) - back) / 1e9,
    }
    outlasts = fault.until_ns > until_ns
    open_ends = {"seconds": outlasts, "withoutDecisions": first == never or outlasts, "catchUp": last == never}
    if any(open_ends.values()):
        out["atLeast"] = [name for name, open_end in open_ends.items() if open_end]
    return out
