"""What strategies that learn are shown before anything arrives: a mix of pods, as `spec.scheduling.history` says."""

from __future__ import annotations

from collections.abc import Sequence

from harness.experiment.scenario import LoadedScenario
from harness.jobs.protocol import RoundStrategy
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.sandbox.guard import contained
from harness.scheduling.strategy import Strategy, StrategyFault
from workloads.manifests import to_pods
from workloads.table import Workload


def fit_strategy(strategy: Strategy | RoundStrategy, history: Sequence[Workload]) -> StrategyFault | None:
    """Calls fit(), where the strategy has one and there is something to show; what it raised."""
    learn = getattr(strategy, "fit", None)
    if learn is None or not history:
        return None
    classes = PodClasses()
    mix = [classes.view(pod) for table in history for _, pod in to_pods(table)]
    return contained(lambda: learn(mix))


def fitted_on(loaded: LoadedScenario, strategy: Strategy | RoundStrategy, history: Sequence[Workload]) -> str:
    """What fit() of the strategy is shown, as `spec.scheduling.history` says it; '' where it is shown nothing."""
    learns = getattr(strategy, "fit", None) is not None
    return str(loaded.scenario.spec.scheduling.history) if learns and history else ""


def foresight(
    loaded: LoadedScenario, scheduler: str, strategy: Strategy | RoundStrategy, history: Sequence[Workload]
) -> list[str]:
    """In words, where the strategy is shown the pods of the run to come and the scenario does not say so itself."""
    asked = (loaded.data.get("spec") or {}).get("scheduling") or {}
    if fitted_on(loaded, strategy, history) != "workload" or "history" in asked:
        return []
    traces = any(task.trace is not None for task in loaded.scenario.spec.workload)
    other = "none shows it nothing" if traces else "past shows it another list of the same kind"
    return [
        f"{scheduler} is shown the pods of this very run before it begins (its fit()); spec.scheduling.history: "
        f"{other}, and workload says that this is meant"
    ]
