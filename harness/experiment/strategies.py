"""Strategies by name, of the kind that a workload needs: of pods, or of rounds where it has training jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.experiment.scenario import LoadedScenario
from harness.jobs import registry as rounds
from harness.model.errors import UserError
from harness.scheduling import registry as pods


def has_training(loaded: LoadedScenario) -> bool:
    return any(task.training is not None for task in loaded.scenario.spec.workload)


def load_strategy(loaded: LoadedScenario, spec: str) -> Callable[[], Any]:
    """A factory for the strategy that `spec` names. Raises UserError."""
    training = has_training(loaded)
    name = full_name(loaded, spec).partition("?")[0]
    own, others = rounds.STRATEGIES, pods.STRATEGIES
    if not training:
        own, others = others, own
    other_name = (pods.full_name(spec) if training else others.full_name(spec)).partition("?")[0]
    if name not in own.names() and other_name in others.names():
        raise UserError(
            f"{spec} decides about {'pods' if training else 'rounds of training jobs'}",
            found=f"a scenario {'of' if training else 'without'} training jobs",
            expected=f"a strategy of `podyard schedulers` that decides about {'rounds' if training else 'pods'}",
        )
    return rounds.load(spec) if training else pods.load(spec)


def full_name(loaded: LoadedScenario, spec: str) -> str:
    """`spec` with the version that its name means. Raises UserError."""
    return rounds.STRATEGIES.full_name(spec) if has_training(loaded) else pods.full_name(spec)
