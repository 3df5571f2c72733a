"""Strategies by name: the entry points of group `podyard.schedulers`, or `package.module:object`.

The shipped strategies come through the same door as everyone's.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from harness.model.errors import UserError, did_you_mean
from harness.scheduling.strategy import Strategy

GROUP = "podyard.schedulers"

Factory: TypeAlias = Callable[[], Strategy]


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of `podyard schedulers`."""

    name: str
    source: str  # distribution and object, "podyard: schedulers.greedy:greedy"
    summary: str  # first line of its docstring, or what keeps it from loading
    loads: bool


def available() -> tuple[Listed, ...]:
    """Every registered strategy, by name."""
    return tuple(_listed(name, point) for name, point in sorted(_points().items()))


def load(spec: str) -> Factory:
    """A factory for `name`, `module:object`, or either with parameters: `greedy?score=least&batch_size=1`.

    `name:http://..` is short for the parameter `url`.

    An object that already is a strategy (it has `place` and is no class) is used as it is. Raises UserError.
    """
    name, _, query = spec.partition("?")
    short, _, url = name.partition(":")
    parameters = _parameters(spec, query)
    if url.startswith(("http://", "https://")):
        name, parameters = short, {"url": url, **parameters}
    target = _object(name)
    if not callable(target) or _is_strategy(target):
        if not _is_strategy(target):
            raise UserError(
                f"{name} is no scheduler",
                found=repr(target),
                expected="an object with place(..), or a callable that makes one",
            )
        if parameters:
            raise UserError(f"{name} is a ready object and takes no parameters", found=query)
        return lambda: target
    _check_parameters(name, target, parameters)

    def make() -> Strategy:
        try:
            strategy = target(**parameters)
        except UserError:
            raise
        except Exception as error:  # somebody else's code
            raise UserError(f"{name} cannot be made", found=f"{type(error).__name__}: {error}") from error
        if not _is_strategy(strategy):
            raise UserError(f"{name} made no scheduler", found=repr(strategy), expected="an object with place(..)")
        size = getattr(strategy, "batch_size", 1)
        if not isinstance(size, int) or size < 1:
            raise UserError(f"{name} has no usable batch_size", found=repr(size), expected="1 or more")
        return strategy  # type: ignore[no-any-return]

    return make


def _points() -> dict[str, EntryPoint]:
    """By name. Two distributions claiming one name is an error only when that name is asked for; ours comes first."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, _distribution(p) != "podyard", p.value)):
        found.setdefault(point.name, point)
    return found


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"


def _listed(name: str, point: EntryPoint) -> Listed:
    source = f"{_distribution(point)}: {point.value}"
    try:
        target = point.load()
    except Exception as error:  # someone else's module; listing the others must still work
        return Listed(name, source, f"does not load: {type(error).__name__}: {error}", False)
    doc = inspect.getdoc(target) or inspect.getdoc(inspect.getmodule(target)) or ""
    return Listed(name, source, doc.partition("\n")[0], True)


def _object(name: str) -> Any:
    if ":" in name:
        return _by_path(name)
    points = _points()
    point = points.get(name)
    if point is None:
        raise UserError(
            f"there is no scheduler {name!r}",
            expected=f"one of {', '.join(points)}; or package.module:object",
            hint=did_you_mean(name, points),
        )
    try:
        return point.load()
    except Exception as error:
        raise UserError(
            f"scheduler {name!r} does not load",
            found=f"{type(error).__name__}: {error}",
            expected=f"{point.value} to be importable",
        ) from error


def _by_path(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        target: Any = importlib.import_module(module_name)
    except Exception as error:
        raise UserError(
            f"module {module_name!r} does not load",
            found=f"{type(error).__name__}: {error}",
            expected="package.module:object, importable from here",
        ) from error
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            public = [known for known in dir(target) if not known.startswith("_")]
            raise UserError(f"{module_name} has no {attribute!r}", hint=did_you_mean(part, public)) from None
    return target


def _is_strategy(target: Any) -> bool:
    return not inspect.isclass(target) and callable(getattr(target, "place", None))


def _parameters(spec: str, query: str) -> dict[str, Any]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, strict_parsing=True)
    except ValueError:
        raise UserError(
            "the parameters of a scheduler cannot be read", found=spec, expected="name?key=value&key=value"
        ) from None
    return {key: _value(text) for key, text in pairs}


def _value(text: str) -> int | float | bool | str:
    """As it reads: an integer, a number, true or false, else text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _check_parameters(name: str, target: Any, parameters: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return
    known = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for key in parameters:
        if key not in known and not open_ended:
            raise UserError(
                f"{name} has no parameter {key!r}", expected=", ".join(known) or "none", hint=did_you_mean(key, known)
            )
    try:
        signature.bind(**parameters)
    except TypeError as error:
        raise UserError(f"{name} cannot be made: {error}", hint=f"{name}?{known[0]}=.." if known else None) from None
