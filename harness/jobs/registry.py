"""Round strategies by name: entry points of `podyard.round_strategies`, or `package.module:object`."""

from __future__ import annotations

import inspect
import re
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
    return STRATEGIES.factory(full_name(spec))


def full_name(spec: str) -> str:
    """`spec` with the version that its name means: `allox?alpha=1` is `allox-v1?alpha=1`. A path stays as it is."""
    name, question, query = spec.partition("?")
    versions = [known for known in STRATEGIES.names() if re.sub(r"-v[0-9]+$", "", known) == name and known != name]
    if versions and name not in STRATEGIES.names():
        name = max(versions, key=lambda version: int(version.rpartition("-v")[2]))
    return f"{name}{question}{query}"
