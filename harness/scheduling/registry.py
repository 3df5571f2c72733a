"""Strategies and Score plugins by name: entry points, or `package.module:object`.

The shipped ones come through the same door as everyone's. A strategy whose meaning may change carries a version in its
name: `fgd` means the highest version that is registered, as `fgd-v1`, and a record says which one it was.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import urlencode

from harness.model.errors import UserError
from harness.model.plugins import Listed, PluginGroup
from harness.scheduling.strategy import ScorePlugin, Strategy

GROUP = "podyard.schedulers"
SCORE_GROUP = "podyard.score_plugins"

Factory: TypeAlias = Callable[[], Strategy]


def _strategy_problem(target: Any) -> str:
    if inspect.isclass(target) or not callable(getattr(target, "place", None)):
        return "an object with place(..), or a callable that makes one"
    size = getattr(target, "batch_size", 1)
    return "" if isinstance(size, int) and size >= 1 else "a batch_size of 1 or more"


def _score_problem(target: Any) -> str:
    if inspect.isclass(target) or not callable(getattr(target, "score", None)):
        return "an object with score(pod, cluster, nodes), or a callable that makes one"
    return ""


STRATEGIES = PluginGroup(GROUP, "scheduler", _strategy_problem)
SCORE_PLUGINS = PluginGroup(SCORE_GROUP, "Score plugin", _score_problem)


def available() -> tuple[Listed, ...]:
    """Every registered strategy, by its full name."""
    return STRATEGIES.available()


def load(spec: str) -> Factory:
    """A factory for `name`, `module:object`, or either with parameters: `greedy?score=least&batch_size=1`.

    `name:http://..` is short for the parameter `url`. An object that already is a strategy (it has `place` and is no
    class) is used as it is. Raises UserError.
    """
    return STRATEGIES.factory(full_name(spec))


def load_score_plugin(spec: str, args: dict[str, Any]) -> Callable[[], ScorePlugin]:
    """A factory for a Score plugin, called with `args` as keywords. Raises UserError."""
    return SCORE_PLUGINS.factory(spec, args)


def full_name(spec: str) -> str:
    """`spec` with the version that its name means: `fgd?x=1` is `fgd-v1?x=1`. A path stays as it is.

    Raises UserError where one package registers the name itself and another a version of it.
    """
    name, _, query = spec.partition("?")
    short, _, url = name.partition(":")
    if url.startswith(("http://", "https://")):
        name, query = short, "&".join(filter(None, (urlencode({"url": url}), query)))
    if ":" not in name:
        name = _newest(name)
    return f"{name}?{query}" if query else name


def bare_name(name: str) -> str:
    """The name without its version."""
    return re.sub(r"-v[0-9]+$", "", name)


def _newest(name: str) -> str:
    known = STRATEGIES.names()
    versions = [known_name for known_name in known if known_name != name and bare_name(known_name) == name]
    if not versions:
        return name
    if name in known:
        raise UserError(
            f"scheduler {name!r} is registered more than once",
            found=", ".join((name, *versions)),
            expected="a name with versions, or one without",
            hint=f"name it as {versions[0]}",
        )
    return max(versions, key=lambda version: int(version.rpartition("-v")[2]))
