"""The horizontal pod autoscaler's own replica policy: CPU utilization, or average CPU a pod, against a target.

Source: pkg/controller/podautoscaler/replica_calculator.go GetResourceReplicas, calcPlainMetricReplicas (1.34).
"""

from __future__ import annotations

import math

from harness.autoscaling.policy import Proposal, ScaleTarget


class Utilization:
    """Replicas in proportion to CPU usage; what is not ready or not measured counts against a change."""

    def propose(self, target: ScaleTarget) -> Proposal | None:
        requests = {pod.key: pod.request_milli for pod in target.pods}
        if target.target_percent and not all(requests.values()):
            return None  # missing request for cpu
        known: dict[str, int] = {}
        missing: list[str] = []
        unready: list[str] = []
        for pod in target.pods:
            if pod.unready:
                unready.append(pod.key)
            elif pod.usage_milli is None:
                missing.append(pod.key)
            else:
                known[pod.key] = pod.usage_milli
        if not known:
            return None
        current = target.replicas
        ratio, utilization, average = _ratio(target, known, requests)
        unready_count = bool(unready) and ratio > 1.0
        if not unready_count and not missing:
            wanted = current if _within(target, ratio) else math.ceil(ratio * len(known))
            return Proposal(wanted, utilization, average)
        filled = dict(known)
        for key in missing:
            if ratio < 1.0:
                # As much as it may use at the target, so that nothing is taken away for its sake.
                percent = max(100, target.target_percent)
                filled[key] = requests[key] * percent // 100 if target.target_percent else target.target_milli
            elif ratio > 1.0:
                filled[key] = 0
        if unready_count:
            for key in unready:
                filled[key] = 0
        again, _, _ = _ratio(target, filled, requests)
        if _within(target, again) or (ratio < 1.0 < again) or (ratio > 1.0 > again):
            return Proposal(current, utilization, average)
        wanted = math.ceil(again * len(filled))
        if (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
            return Proposal(current, utilization, average)
        return Proposal(wanted, utilization, average)


def _ratio(target: ScaleTarget, usage: dict[str, int], requests: dict[str, int]) -> tuple[float, int, int]:
    """(usage to target, utilization in percent, average in milli)."""
    total = sum(usage.values())
    average = total // len(usage)
    if not target.target_percent:
        return average / target.target_milli, 0, average
    utilization = total * 100 // sum(requests[key] for key in usage)
    return utilization / target.target_percent, utilization, average


def _within(target: ScaleTarget, ratio: float) -> bool:
    return 1.0 - target.tolerance_down <= ratio <= 1.0 + target.tolerance_up
