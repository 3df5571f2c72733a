"""Strategies by name, of the kind that a workload needs: of pods, or of rounds where it has training jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.experiment.scenario import Loaded
from harness.jobs import registry as rounds
from harness.scheduling import registry as pods


def has_training(loaded: Loaded) -> bool:
    return any(task.training is not None for task in loaded.scenario.spec.workload)


def load_strategy(loaded: Loaded, spec: str) -> Callable[[], Any]:
    """A factory for the strategy that `spec` names. Raises UserError."""
    return rounds.load(spec) if has_training(loaded) else pods.load(spec)


def full_name(loaded: Loaded, spec: str) -> str:
    """`spec` with the version that its name means. Raises UserError."""
    return rounds.full_name(spec) if has_training(loaded) else pods.full_name(spec)
