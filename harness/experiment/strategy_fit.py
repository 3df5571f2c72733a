"""What strategies that learn are shown before anything arrives: a mix of pods, as `spec.scheduling.history` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.sandbox.guard import contained
from harness.scheduling.strategy import StrategyFault
from workloads.manifests import to_pods
from workloads.table import Workload


def fit_strategy(strategy: Any, history: Sequence[Workload]) -> StrategyFault | None:
    """Calls fit(), where the strategy has one and there is something to show; what it raised."""
    learn = getattr(strategy, "fit", None)
    if learn is None or not history:
        return None
    classes = PodClasses()
    mix = [classes.view(pod) for table in history for _, pod in to_pods(table)]
    return contained(lambda: learn(mix))
