"""What strategies that learn are shown before anything arrives: a mix of pods, as `spec.scheduling.history` says."""

from __future__ import annotations

from collections.abc import Sequence

from harness.experiment.scenario import LoadedScenario
from harness.experiment.workload import PlannedWorkload, history_of
from harness.jobs.protocol import RoundStrategy
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.sandbox.guard import contained
from harness.scheduling.strategy import Strategy, StrategyFault
from workloads.manifests import to_pods
from workloads.table import Workload


def history_for(strategy: Strategy | RoundStrategy, made: PlannedWorkload) -> list[Workload]:
    """What the strategy's fit() is shown; nothing where it has none, and then nothing is drawn."""
    return made.learn_from() if getattr(strategy, "fit", None) is not None else []


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
    return history_of(loaded) if learns and history else ""


def unfitted(loaded: LoadedScenario, scheduler: str, strategy: Strategy | RoundStrategy) -> list[str]:
    """In words, where fit() of the strategy is not called because a trace has no past, and the scenario does not say
    what it wants."""
    learns = getattr(strategy, "fit", None) is not None
    if not learns or loaded.scenario.spec.scheduling.history is not None or history_of(loaded) != "none":
        return []
    return [
        f"{scheduler} has fit() and is shown nothing before the run, as a trace has no past; spec.scheduling.history: "
        "workload shows it the trace itself, its future included, and none says that nothing is meant"
    ]
