"""Options that several commands take, read: settings, seeds, strategies, values of variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.experiment.scenario import LoadedScenario


Settings = Annotated[
    list[str] | None, typer.Option("--set", help="PATH=VALUE over the scenario, as spec.duration=5m; repeatable.")
]
Vary = Annotated[
    list[str] | None,
    typer.Option(help="NAME=a,b,.. of the variables (NAME: all values), or constant.NAME=a,b,..; repeatable."),
]
Schedulers = Annotated[
    list[str] | None,
    typer.Option("--scheduler", "-s", help="Strategies, separated by commas or repeated; else the scenario's."),
]
RAY_ADDRESS = "A Ray cluster that is running; else that of RAY_ADDRESS; local, or neither: one is started."


def names_of(items: Iterable[str] | None) -> list[str]:
    """Names of an option that takes several, separated by commas, repeated, or both; each once."""
    return list(dict.fromkeys(name.strip() for item in items or () for name in item.split(",") if name.strip()))


def settings_of(items: list[str] | None) -> dict[str, str]:
    from harness.model.errors import UserError

    out = {}
    for item in items or []:
        path, equals, value = item.partition("=")
        if not equals or not path:
            raise UserError("--set wants PATH=VALUE", found=item, expected="as spec.duration=5m")
        out[path] = value
    return out


def variables_of(items: list[str] | None, path: Path, settings: dict[str, str]) -> dict[str, list[str]]:
    """'list=a,b' or 'list', for all of its values; 'constant.NAME=a,b' for one of Kubernetes' constants. Raises
    UserError for one that the scenario, or Kubernetes, does not have."""
    from harness.experiment.constants import defaults
    from harness.experiment.scenario import CONSTANT, read_variables
    from harness.model.errors import UserError, did_you_mean

    if not items:
        return {}
    known, constants = read_variables(path, settings), defaults()
    out = {}
    for item in items:
        name, equals, values = item.partition("=")
        if name.startswith(CONSTANT):
            constant = name.removeprefix(CONSTANT)
            named = [value.strip() for value in values.split(",") if value.strip()]
            if constant not in constants:
                hint = did_you_mean(constant, constants) or "podyard constants"
                raise UserError("there is no such constant", found=constant, hint=hint)
            if not named:
                raise UserError(f"--vary {item} names no value", expected=f"as {name}={constants[constant]},..")
            out[name] = named
            continue
        if name not in known:
            raise UserError(
                f"the scenario has no variable {name!r}",
                file=path,
                expected=", ".join(known) or "none",
                hint=_each_its_own(name, known) or did_you_mean(name, known),
            )
        out[name] = [value.strip() for value in values.split(",") if value.strip()] if equals else known[name]
        if not out[name]:
            raise UserError(f"--vary {item} names no value", expected=f"some of {', '.join(known[name])}")
    return out


def _each_its_own(text: str, known: Iterable[str]) -> str:
    """What to try where several variables stand in one --vary; '' where that is not it."""
    names = [name.strip() for name in text.split(",")]
    several = len(names) > 1 and set(names) <= set(known)
    return " ".join(f"--vary {name}" for name in names) if several else ""


def strategies_of(loaded: LoadedScenario, asked: Sequence[str] | None) -> list[str]:
    """Those that the option names, or the scenario's own. Raises UserError for one that does not load: before anything
    runs, and with its line where the scenario names it."""
    from harness.experiment.strategies import load_strategy
    from harness.model.errors import UserError

    names = names_of(asked)
    if asked and not names:
        raise UserError("--scheduler names none", expected="as greedy or greedy,binpack")
    for name in names:
        load_strategy(loaded, name)
    if names:
        return names
    own = loaded.scenario.spec.schedulers
    for index, name in enumerate(own):
        if name in own[:index]:
            raise loaded.error(f"spec.schedulers[{index}]", "is there twice", found=name, expected="each once")
        try:
            load_strategy(loaded, name)
        except UserError as error:
            about = {"found": error.found, "expected": error.expected, "hint": error.hint}
            raise loaded.error(f"spec.schedulers[{index}]", error.what, **about) from None
    return own


MOST_SEEDS = 100_000
MOST_SEED = (1 << 63) - 1


def seeds_of(text: str) -> list[int]:
    """'3', '1-5', '1,4,7-9'. Raises UserError."""
    from harness.model.errors import UserError

    out: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", part)
        if match is None:
            raise UserError("--seeds wants whole numbers", found=text, expected="as 3, 1-5 or 1,4,7")
        first, last = (int(text) if len(text) < 19 else MOST_SEED + 1 for text in (match[1], match[2] or match[1]))
        if last > MOST_SEED or last - first >= MOST_SEEDS:
            expected = f"at most {MOST_SEEDS:,} seeds, each below 2^63"
            raise UserError("--seeds names too many, or too large ones", found=part.strip(), expected=expected)
        out.extend(range(first, last + 1))
    if not out:
        raise UserError("--seeds names none", found=text)
    if len(set(out)) < len(out):
        raise UserError("--seeds names one twice", found=text, expected="each once")
    return out
