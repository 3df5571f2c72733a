"""What goes over a scenario before it is read: --set PATH=VALUE, and the values of its variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.model.errors import UserError, did_you_mean
from harness.model.loading import Document, load_value
from harness.model.whole_numbers import whole_number

Unknown = Callable[[str], Iterable[str]]
"""The names of the fields that a path may have."""

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?[^\]]*)\]")
_REFERENCE = re.compile(r"\{([A-Za-z_][\w-]*)\}")
SEED = "seed"
"""{seed} in the name of a file is the run's seed; no variable may be called so."""


def put(data: Any, path: str, value: str, fields: Unknown) -> Any:
    """`data` with the value, read as YAML, at `path`. Raises UserError for a path that leads nowhere.

    What the path leads through is copied: parts that aliases share stay as they are elsewhere.
    """
    parsed = load_value(value, f"--set {path if len(path) <= 200 else path[:200] + ' ..'}")
    steps = _steps(path)
    return _put(data, steps, 0, path, parsed, fields)


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise _wrong(path, "cannot be read", found=path[at:])
        if found[1] is not None:
            steps.append(found[1])
        else:
            index = whole_number(found[2])
            steps.append(found[2] if index is None else index)
        at = found.end()
    if not steps:
        raise _wrong(path, "is empty")
    return steps


def _wrong(path: str, what: str, **about: Any) -> UserError:
    return UserError(f"--set {path}: the path {what}", **{"expected": "as spec.nodes[0].group.count", **about})


def _text(steps: Iterable[str | int]) -> str:
    out = ""
    for step in steps:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def _put(data: Any, steps: list[str | int], index: int, path: str, parsed: Any, fields: Unknown) -> Any:
    if index == len(steps):
        return parsed
    step, before = steps[index], _text(steps[:index])
    if isinstance(data, list):
        if not isinstance(step, int):
            raise _wrong(path, f"needs an item of {before}, a list", found=step, expected=f"{before}[0]")
        if step >= len(data):
            many = f"{len(data)} items" if len(data) != 1 else "one item"
            raise _wrong(path, "names an item that is not there", found=f"[{step}]", expected=f"{before} has {many}")
        copy: Any = list(data)
        copy[step] = _put(data[step], steps, index + 1, path, parsed, fields)
        return copy
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _wrong(path, f"goes beyond {before}, which has no fields", found=repr(data)[:80], expected=before)
    if isinstance(step, int):
        expected = f"the fields of {before or 'a scenario'}: " + ", ".join(data)
        raise _wrong(path, f"asks for item [{step}] of what is no list", expected=expected)
    known = list(fields(before))
    if known and step not in known:
        where = before or "a scenario"
        below = did_you_mean(step, known)
        if not before and step in fields("spec"):
            below = f"--set spec.{path}=.."
        raise _wrong(path, f"has no field {step!r} in {where}", expected=", ".join(known), hint=below)
    return {**data, step: _put(data.get(step), steps, index + 1, path, parsed, fields)}


def with_variables(document: Document, data: Any, chosen: Mapping[str, str], *, told: bool) -> Any:
    """`data` with each variable's value in its place, and no other value of it left: the data says what runs.

    A text that is a reference and nothing else ("{n}", or {n} as YAML reads it without quotes) becomes the value with
    its type; within a longer text it becomes text. `told`: a variable that nothing refers to is an error, too.
    """
    spec = data.get("spec")
    if not isinstance(spec, dict):
        return data
    variables = spec.get("variables", {})
    if not isinstance(variables, dict) or not all(
        isinstance(values, list) and values and all(type(v) in (str, int, float) for v in values)
        for values in variables.values()
    ):
        raise document.error(
            "spec.variables", "spec.variables: not lists of values by name", expected="as list: [default, cpu050]"
        )
    for name in variables:
        if not _REFERENCE.fullmatch(f"{{{name}}}") or name == SEED:
            expected = "a name of letters, digits, - and _, other than seed"
            raise document.error(f"spec.variables.{name}", "this cannot be a variable", found=name, expected=expected)
    for name in chosen:
        if name not in variables:
            raise document.error(
                "spec.variables",
                f"the scenario has no variable {name!r}",
                expected=", ".join(variables) or "none",
                hint=did_you_mean(name, variables),
            )
    values = {name: _value(chosen.get(name), known) for name, known in variables.items()}
    used: set[str] = set()

    def fill(value: Any, path: str) -> Any:
        if isinstance(value, str) and "{" in value:
            return _filled(document, value, path, values, used)
        if isinstance(value, list):
            return [fill(item, f"{path}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, dict):
            if len(value) == 1 and next(iter(value.values())) is None and (name := next(iter(value))) in values:
                used.add(name)
                return values[name]
            return {key: fill(item, f"{path}.{key}") for key, item in value.items()}
        return value

    filled = {key: fill(value, f"spec.{key}") for key, value in spec.items() if key != "variables"}
    if told:
        used |= _references(document.data.get("spec"))  # a setting may have replaced the text that refers to it
    for name in variables if told else ():
        if name not in used:
            raise document.error(
                f"spec.variables.{name}",
                f"the variable {name!r} is not used",
                expected=f"{{{name}}} somewhere in the scenario",
            )
    if not values:
        return {**data, "spec": {**filled, **({"variables": variables} if "variables" in spec else {})}}
    return {**data, "spec": {**filled, "variables": {name: [value] for name, value in values.items()}}}


def _value(asked: str | None, known: list[str | int | float]) -> str | int | float:
    if asked is None:
        return known[0]
    for value in known:
        if str(value) == asked:
            return value
    value = load_value(asked, "--vary") if asked else ""
    return value if type(value) in (str, int, float) else asked


def _filled(document: Document, text: str, path: str, values: Mapping[str, Any], used: set[str]) -> Any:
    for name in _REFERENCE.findall(text):
        if name == SEED:
            continue
        if name not in values:
            raise document.error(
                path,
                f"{path}: there is no variable {name!r}",
                found=text,
                expected=", ".join(values) or "a variable of spec.variables",
                hint=did_you_mean(name, values),
            )
        used.add(name)
    whole = _REFERENCE.fullmatch(text)
    if whole is not None and whole[1] in values:
        return values[whole[1]]
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _references(value: Any) -> set[str]:
    found: set[str] = set()
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            found |= set(_REFERENCE.findall(item))
        elif isinstance(item, dict):
            todo.extend(item.values())
            found |= {key for key, below in item.items() if below is None}
        elif isinstance(item, list):
            todo.extend(item)
    return found
