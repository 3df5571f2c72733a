"""Round strategies by name: entry points of `podyard.round_strategies`, or `package.module:object`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from harness.jobs.protocol import RoundStrategy
from harness.model.plugins import PluginGroup

GROUP = "podyard.round_strategies"


def _problem(target: Any) -> str:
    if inspect.isclass(target) or not callable(getattr(target, "schedule", None)):
        return "an object with schedule(boundary), or a callable that makes one"
    return ""


STRATEGIES = PluginGroup(GROUP, "round strategy", _problem)


def load(spec: str) -> Callable[[], RoundStrategy]:
    """A factory for `name`, `module:object`, or either with parameters: `max-min-fairness?solver=ecos`.

    A name without a version means its highest one. Raises UserError.
    """
    return STRATEGIES.factory(STRATEGIES.full_name(spec))
