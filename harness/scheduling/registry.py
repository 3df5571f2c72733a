"""Strategies, Score plugins and Filter plugins by name: entry points, or `package.module:object`.

The shipped ones come through the same door as everyone's. A strategy whose meaning may change carries a version in its
name: `fgd` means the highest version that is registered, as `fgd-v1`, and a record says which one it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlencode

from harness.model.plugins import Listed, PluginGroup
from harness.scheduling.filter_plugin import GROUP as FILTER_GROUP
from harness.scheduling.filters.outside import OutsideFilters
from harness.scheduling.sandbox.filter_plugins import ContainedFilterPlugin
from harness.scheduling.sandbox.guard import DEADLINE_S
from harness.scheduling.scoring import Scored
from harness.scheduling.strategy import DependsOn, ScorePlugin, Strategy

GROUP = "podyard.schedulers"
SCORE_GROUP = "podyard.score_plugins"

Factory: TypeAlias = Callable[[], Strategy]


def _strategy_problem(target: Any) -> str:
    if inspect.isclass(target) or not callable(getattr(target, "place", None)):
        return "an object with place(..), or a callable that makes one"
    size = getattr(target, "batch_size", 1)
    return "" if isinstance(size, int) and size >= 1 else "a batch_size of 1 or more"


def _scored(target: Any) -> Any:
    """What makes a strategy of a function of pod and cluster, which is a score. Anything else is as it is."""
    if not inspect.isfunction(target):
        return target
    asked = [p.name for p in inspect.signature(target).parameters.values() if p.default is p.empty]
    return (lambda: Scored(target)) if asked == ["pod", "cluster"] else target


def _score_problem(target: Any) -> str:
    if inspect.isclass(target) or not callable(getattr(target, "score", None)):
        return "an object with score(pod, cluster, nodes), or a callable that makes one"
    return ""


def _filter_problem(target: Any) -> str:
    methods = ("asks", "holds", "reason")
    if inspect.isclass(target) or not all(callable(getattr(target, name, None)) for name in methods):
        return "an object with asks(pod), holds(asked, cluster, nodes) and reason(asked, cluster, node), or its class"
    if not isinstance(getattr(target, "name", None), str) or not target.name:
        return "a name"
    return "" if isinstance(getattr(target, "depends_on", None), DependsOn) else "depends_on, a DependsOn"


STRATEGIES = PluginGroup(GROUP, "scheduler", _strategy_problem, _scored)
SCORE_PLUGINS = PluginGroup(SCORE_GROUP, "Score plugin", _score_problem)
FILTERS = PluginGroup(FILTER_GROUP, "Filter plugin", _filter_problem)


def available() -> tuple[Listed, ...]:
    """Every registered strategy, by its full name."""
    return STRATEGIES.available()


def load(spec: str) -> Factory:
    """A factory for `name`, `module:object`, or either with parameters: `greedy?score=least&batch_size=1`.

    `name:http://..` is short for the parameter `url`. A function score(pod, cluster) is the strategy Scored(score). An
    object that already is a strategy (it has `place` and is no class) is used as it is. Raises UserError.
    """
    return STRATEGIES.factory(full_name(spec))


def load_score_plugin(spec: str, args: dict[str, Any]) -> Callable[[], ScorePlugin]:
    """A factory for a Score plugin, called with `args` as keywords. Raises UserError."""
    return SCORE_PLUGINS.factory(spec, args)


def load_filter_plugins(
    specs: Sequence[str], deadline_s: float | None = DEADLINE_S
) -> tuple[ContainedFilterPlugin, ...]:
    """New Filter plugins, contained: `name`, `module:object`, either with parameters. `deadline_s`: of one call.

    Raises UserError, also for two of one name.
    """
    made = [FILTERS.make(FILTERS.full_name(spec)) for spec in specs]
    return tuple(ContainedFilterPlugin(plugin, deadline_s) for plugin in OutsideFilters(made).plugins)


def full_name(spec: str) -> str:
    """`spec` with the version that its name means: `fgd?x=1` is `fgd-v1?x=1`. A path stays as it is.

    Raises UserError where one package registers the name itself and another a version of it.
    """
    name, _, query = spec.partition("?")
    short, _, url = name.partition(":")
    if url.startswith(("http://", "https://")):
        name, query = short, "&".join(filter(None, (urlencode({"url": url}), query)))
    return STRATEGIES.full_name(f"{name}?{query}" if query else name)
