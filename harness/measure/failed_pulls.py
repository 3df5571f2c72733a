"""Pods whose images could not be pulled while a registry was away."""

from __future__ import annotations

from harness.measure.fault import MeasuredFault
from harness.model.core import Pod

LATE_NS = 10 * 10**9
"""A pull that fails at the very end is told some seconds later: the registry answers, then the kubelet reports."""


class FailedPulls:
    def __init__(self) -> None:
        self._outages: list[MeasuredFault] = []

    def begin(self, fault: MeasuredFault) -> None:
        if fault not in self._outages:
            self._outages.append(fault)

    def write(self, at_ns: int, pod: Pod) -> None:
        if not self._outages:
            return
        self._outages = [fault for fault in self._outages if at_ns <= fault.until_ns + LATE_NS]
        statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
        if any(item.state.waiting is not None and item.state.waiting.reason == "ErrImagePull" for item in statuses):
            for fault in self._outages:
                fault.unpulled[pod.metadata.uid] = None
