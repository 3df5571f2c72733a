"""Round strategies by name: entry points of `podyard.round_strategies`, or `package.module:object`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from harness.jobs.protocol import RoundStrategy
from harness.model.errors import UserError
from harness.model.plugins import PluginGroup

GROUP = "podyard.round_strategies"


def _problem(target: Any) -> str:
    if inspect.isclass(target) or not callable(getattr(target, "schedule", None)):
        return "an object with schedule(boundary), or a callable that makes one"
    return ""


STRATEGIES = PluginGroup(GROUP, "round strategy", _problem)


def is_round_strategy(spec: str) -> bool:
    """Whether `spec` names a round strategy: one that is registered and no scheduler of pods, or module:object that is,
    or makes, something with `schedule` and without `place`. Raises UserError where module:object does not load."""
    name = spec.partition("?")[0]
    if ":" not in name:
        pods = PluginGroup("podyard.schedulers", "scheduler", lambda found: "").names()
        return STRATEGIES.full_name(name) in STRATEGIES.names() and name not in pods
    anything = PluginGroup(GROUP, "strategy", lambda found: "")
    target = anything.load(name)
    if not inspect.isclass(target) and callable(target) and not hasattr(target, "place"):
        try:
            target = anything.make(spec)
        except UserError:
            return False
    return hasattr(target, "schedule") and not hasattr(target, "place")


def load(spec: str) -> Callable[[], RoundStrategy]:
    """A factory for `name`, `module:object`, or either with parameters: `max-min-fairness?solver=ecos`.

    A name without a version means its highest one. Raises UserError.
    """
    return STRATEGIES.factory(STRATEGIES.full_name(spec))
