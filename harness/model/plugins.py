"""The door for whatever can be swapped, the same for all kinds: entry points of a group, `package.module:object`, or
`path/to/file.py:object`.

    strategies  podyard.schedulers     faults       podyard.faults
    scores      podyard.score_plugins  filters      podyard.filter_plugins
    autoscalers podyard.autoscalers    controllers  podyard.controllers
    traces      podyard.trace_readers

What is shipped comes through the same door as everyone's. A name that two distributions claim is an error.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from harness.model.errors import UserError, did_you_mean

OWN = "podyard"
_CHECKOUT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a list of plug-ins."""

    name: str
    source: str  # distribution and object, "podyard: harness.faults.node_crash:NodeCrash"
    summary: str  # first line of its docstring, or what keeps it from loading
    loads: bool


@dataclass(frozen=True, slots=True)
class PluginGroup:
    """`noun`: what one of them is called in errors. `problem`: what keeps an object from being one, '' when nothing
    does; asked of what was registered (`load`) or of what that made (`make`). `adapt`: what stands for an object that
    was found, before anything is asked of it."""

    group: str
    noun: str
    problem: Callable[[Any], str]
    adapt: Callable[[Any], Any] = lambda found: found

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(_points(self.group)))

    def available(self) -> tuple[Listed, ...]:
        """Every registered one, by name; those that do not load are told, too."""
        return tuple(_listed(point) for name in self.names() for point in _points(self.group)[name])

    def full_name(self, spec: str) -> str:
        """`spec` with the version that its name means, the highest that is registered: `fgd?x=1` is `fgd-v1?x=1`. A
        path stays as it is.

        Raises UserError where one package registers the name itself and another a version of it.
        """
        name, question, query = spec.partition("?")
        return spec if ":" in name else f"{self._newest(name)}{question}{query}"

    def _newest(self, name: str) -> str:
        known = self.names()
        versions = [known_name for known_name in known if known_name != name and bare_name(known_name) == name]
        if not versions:
            return name
        if name in known:
            raise UserError(
                f"{self.noun} {name!r} is registered more than once",
                found=", ".join((name, *versions)),
                expected="a name with versions, or one without",
                hint=f"name it as {versions[0]}",
            )
        return max(versions, key=lambda version: int(version.rpartition("-v")[2]))

    def load(self, name: str) -> Any:
        """What is registered as `name`, or what `package.module:object` names. Raises UserError."""
        return self._checked(name, self._object(name))

    def make(self, spec: str) -> Any:
        """What the factory behind a name makes, with parameters: `least-waste`, `cluster-autoscaler?expander=random`.

        Raises UserError.
        """
        return self.factory(spec)()

    def factory(self, spec: str, args: Mapping[str, Any] | None = None) -> Callable[[], Any]:
        """`make`, later: name and parameters are checked now. `args`: parameters besides those of `spec`.

        What is no class and needs no making is used as it is. Raises UserError.
        """
        name, _, query = spec.partition("?")
        target = self.adapt(self._object(name))
        parameters = {**_parameters(self.noun, spec, query), **(args or {})}
        if not callable(target) or (not inspect.isclass(target) and not self.problem(target)):
            if parameters:
                found = query or ", ".join(parameters)
                raise UserError(f"{name} is a ready object and takes no parameters", found=found)
            self._checked(name, target)
            return lambda: target
        _check_parameters(name, target, parameters)

        def make() -> Any:
            try:
                made = target(**parameters)
            except UserError:
                raise
            except Exception as error:  # somebody else's code
                raise UserError(f"{name} cannot be made", found=f"{type(error).__name__}: {error}") from error
            return self._checked(name, made)

        return make

    def _checked(self, name: str, found: Any) -> Any:
        problem = self.problem(found)
        if problem:
            raise UserError(f"{name} is no {self.noun}", found=repr(found), expected=problem)
        return found

    def _object(self, name: str) -> Any:
        if ":" in name:
            return _by_path(name)
        points = _points(self.group).get(name)
        if points is None:
            known = self.names()
            raise UserError(
                f"there is no {self.noun} {name!r}",
                expected=f"one of {', '.join(known)}; or package.module:object" if known else "package.module:object",
                hint=_in_a_file(name) or did_you_mean(name, {*known, *map(bare_name, known)}),
            )
        if len(points) > 1:
            raise UserError(
                f"{self.noun} {name!r} is registered more than once",
                found="; ".join(f"{_distribution(point)}: {point.value}" for point in points),
                expected=f"each name of {self.group} once",
                hint=f"name it as {points[0].value}",
            )
        try:
            return points[0].load()
        except Exception as error:
            raise UserError(
                f"{self.noun} {name!r} does not load",
                found=f"{type(error).__name__}: {error}",
                expected=f"{points[0].value} to be importable",
            ) from error


def bare_name(name: str) -> str:
    """The name without its version."""
    return re.sub(r"-v[0-9]+$", "", name)


def _points(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """By name; more than one where distributions claim the same."""
    return _points_on(group, entry_points, tuple(sys.path))


@lru_cache(maxsize=64)
def _points_on(group: str, find: Callable[..., Any], path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """A run asks for some ten groups, some forty times. `path`: where the distributions are."""
    own = _own(group)
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in sorted(
        _installed(find, path).select(group=group), key=lambda p: (p.name, _distribution(p) != OWN, p.value)
    ):
        if own is None or _distribution(point) != OWN:
            found.setdefault(point.name, {})[_distribution(point), point.value] = point
    for point in own or ():
        found.setdefault(point.name, {})[OWN, point.value] = point
    return {name: tuple(points.values()) for name, points in found.items()}


def installed(group: str) -> list[EntryPoint]:
    """The entry points of `group` in all distributions, by name, then by object."""
    return sorted(_installed(entry_points, tuple(sys.path)).select(group=group), key=lambda p: (p.name, p.value))


@lru_cache(maxsize=8)
def _installed(find: Callable[..., Any], path: tuple[str, ...]) -> Any:
    """All groups at once: to look through all distributions takes some 15 ms."""
    return find()


def _own(group: str) -> tuple[EntryPoint, ...] | None:
    """Ours as the checkout says, None when installed: an editable install's metadata is as old as its `pip install`."""
    groups = _own_groups()
    if groups is None:
        return None
    return tuple(EntryPoint(name, value, group) for name, value in groups.get(group, {}).items())


@cache
def _own_groups() -> Mapping[str, Mapping[str, str]] | None:
    if not _CHECKOUT.is_file():
        return None
    project = tomllib.loads(_CHECKOUT.read_text(encoding="utf-8")).get("project", {})
    return project.get("entry-points", {}) if project.get("name") == OWN else None


def _distribution(point: EntryPoint) -> str:
    return _name(point.dist) if point.dist is not None else OWN


@lru_cache(maxsize=256)
def _name(distribution: Distribution) -> str:
    """Which reads a file, and is asked for each of its entry points several times."""
    return distribution.name


def _listed(point: EntryPoint) -> Listed:
    source = f"{_distribution(point)}: {point.value}"
    try:
        target = point.load()
    except Exception as error:  # someone else's module; listing the others must still work
        return Listed(point.name, source, f"does not load: {type(error).__name__}: {error}", False)
    doc = inspect.getdoc(target) or inspect.getdoc(inspect.getmodule(target)) or ""
    return Listed(point.name, source, doc.partition("\n")[0], True)


def import_named(module: str) -> ModuleType:
    """`package.module`, or a file's `path/to/file.py`, whose folder is searched for modules from then on, as it is of a
    script. Raises UserError for a file that is not there or whose name another module has, ImportError, and whatever
    the module raises."""
    if not module.endswith(".py"):
        return importlib.import_module(module)
    path = Path(module).resolve()
    if not os.path.isfile(path):
        raise UserError(f"there is no file {module}", expected="path/to/file.py:object from here")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    loaded = importlib.import_module(path.stem)
    if Path(loaded.__file__ or "").resolve() != path:
        raise UserError(
            f"{module} cannot be imported: another module has its name",
            found=f"{path.stem}: {loaded.__file__ or 'built in'}",
            hint="rename the file",
        )
    return loaded


def _by_path(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        target: Any = import_named(module_name)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"module {module_name!r} does not load",
            found=f"{type(error).__name__}: {error}",
            expected="package.module:object, importable from here, or path/to/file.py:object",
        ) from error
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            public = [known for known in dir(target) if not known.startswith("_")]
            raise UserError(f"{module_name} has no {attribute!r}", hint=did_you_mean(part, public)) from None
    return target


def _in_a_file(name: str) -> str:
    """The paths of what a file of this name defines, with or without .py; '' where the working directory has none."""
    module = name.removesuffix(".py")
    file = Path(f"{module}.py")
    if not module.isidentifier() or not os.path.isfile(file):  # False, too, where the name is too long
        return ""
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return f"{module}:OBJECT"
    defined = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assigned = [node for node in body if isinstance(node, ast.Assign)]
    defined += [target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)]
    public = [found for found in defined if not found.startswith("_")][-3:]
    return " or ".join(f"{module}:{found}" for found in reversed(public)) or f"{module}:OBJECT"


def _parameters(noun: str, spec: str, query: str) -> dict[str, Any]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, strict_parsing=True)
    except ValueError:
        raise UserError(
            f"the parameters of a {noun} cannot be read", found=spec, expected="name?key=value&key=value"
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


@lru_cache(maxsize=512)
def _signature(target: Callable[..., Any]) -> inspect.Signature:
    """A run makes some fifty objects, most of them of the same classes as the run before."""
    return inspect.signature(target)


def _check_parameters(name: str, target: Any, parameters: dict[str, Any]) -> None:
    try:
        signature = _signature(target)
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
