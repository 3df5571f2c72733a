"""The horizontal pod autoscaler's own replica policy: CPU utilization against a target.

Source: pkg/controller/podautoscaler/replica_calculator.go GetResourceReplicas (1.32).
"""

from __future__ import annotations

import math

from harness.autoscaling.policy import Proposal, ScaleTarget

TOLERANCE = 0.1
"""Source: --horizontal-pod-autoscaler-tolerance."""


class Utilization:
    """Replicas in proportion to CPU utilization; what is not ready or not measured counts against a change."""

    def propose(self, target: ScaleTarget) -> Proposal | None:
        goal, current = target.target_percent, target.replicas
        requests = {pod.key: pod.request_milli for pod in target.pods}
        if not all(requests.values()):
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
        utilization = sum(known.values()) * 100 // sum(requests[key] for key in known)
        ratio = utilization / goal
        unready_count = bool(unready) and ratio > 1.0
        if not unready_count and not missing:
            if abs(1.0 - ratio) <= TOLERANCE:
                return Proposal(current, utilization)
            return Proposal(math.ceil(ratio * len(known)), utilization)
        filled = dict(known)
        for key in missing:
            if ratio < 1.0:
                filled[key] = requests[key] * max(100, goal) // 100
            elif ratio > 1.0:
                filled[key] = 0
        if unready_count:
            for key in unready:
                filled[key] = 0
        again = (sum(filled.values()) * 100 // sum(requests[key] for key in filled)) / goal
        if abs(1.0 - again) <= TOLERANCE or (ratio < 1.0) != (again < 1.0):
            return Proposal(current, utilization)
        wanted = math.ceil(again * len(filled))
        if (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
            return Proposal(current, utilization)
        return Proposal(wanted, utilization)
