"""What strategies that learn are shown before anything arrives: the mix of pods that the workload declares."""

from __future__ import annotations

from typing import Any

from harness.experiment.workload import Plan
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.sandbox.guard import contained
from harness.scheduling.strategy import StrategyFault
from workloads.manifests import to_pods


def fit_strategy(strategy: Any, made: Plan) -> StrategyFault | None:
    """Strategies that learn from a workload's mix are shown what the scenario declares, before anything arrives."""
    learn = getattr(strategy, "fit", None)
    if learn is None or not made.originals:
        return None
    classes = PodClasses()
    mix = [classes.view(pod) for table in made.originals for _, pod in to_pods(table)]
    return contained(lambda: learn(mix))
