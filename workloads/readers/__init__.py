"""Trace formats, one file each: add a reader by adding a file and its line in FORMATS.

A reader module has PROVENANCE; `sniff(name, head) -> bool`, whether a file of this name that begins so is of
the format; `pods(path, lint, **options)`, an iterator of frames in the columns of `rows.SCHEMA` and `line`, block by
block; and `nodes(path, lint, **options)` where the format has node lists.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import polars as pl

from harness.model.errors import UserError, did_you_mean
from workloads.table import Provenance

Frames: TypeAlias = Callable[..., Iterator[pl.DataFrame]]

FORMATS: tuple[tuple[str, str], ...] = (
    ("openb", "workloads.readers.openb"),
    ("dlrm2025", "workloads.readers.dlrm2025"),
    ("azure2020", "workloads.readers.azure2020"),
    ("huawei-east-1", "workloads.readers.huawei_east1"),
    ("google2019", "workloads.readers.google2019"),
    ("philly", "workloads.readers.philly"),
    ("swf", "workloads.readers.swf"),
    ("podyard", "workloads.readers.podyard"),
)
"""(name, module), in the order in which they are asked whether a file is theirs."""

MOST_OPTION = 10**12
"""Options are multiplied with row counts; within int64 for millions of rows."""

_OWN = ("path", "lint")


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    module: ModuleType

    @property
    def provenance(self) -> Provenance:
        found: Provenance = self.module.PROVENANCE
        return found

    @property
    def pods(self) -> Frames:
        frames: Frames = self.module.pods
        return frames

    @property
    def nodes(self) -> Frames | None:
        return getattr(self.module, "nodes", None)

    def sniff(self, name: str, head: str) -> bool:
        return bool(self.module.sniff(name, head))

    def options(self, frames: Frames) -> dict[str, Any]:
        """Options of a reader function with their defaults."""
        parameters = inspect.signature(frames).parameters
        return {name: parameter.default for name, parameter in parameters.items() if name not in _OWN}

    def checked(self, frames: Frames, options: Mapping[str, Any]) -> dict[str, Any]:
        """`options`, when the function takes them. Raises UserError for an unknown one or a wrong value."""
        known = self.options(frames)
        hints = typing.get_type_hints(frames)
        for name, value in options.items():
            if name not in known:
                raise UserError(
                    f"format {self.name} has no option {name!r}",
                    found=name,
                    expected=", ".join(known) or "no options",
                    hint=did_you_mean(name, known),
                )
            if not _suits(value, hints[name]):
                raise UserError(f"option {name}: wrong value", found=repr(value), expected=_words(hints[name]))
        return dict(options)


def _suits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    options = typing.get_args(hint) or (hint,)
    return any(
        (option is type(None) and value is None)
        or (isinstance(option, type) and isinstance(value, option) and (option is bool or not isinstance(value, bool)))
        for option in options
    ) and not (isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= MOST_OPTION)


def _words(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    names = {bool: "true or false", int: f"a whole number, 0 to {MOST_OPTION}", str: "text", type(None): "nothing"}
    return " or ".join(names.get(option, str(option)) for option in typing.get_args(hint) or (hint,))


def names() -> tuple[str, ...]:
    return tuple(name for name, _ in FORMATS)


def by_name(name: str) -> Format:
    """Raises UserError for an unknown format."""
    for known, module in FORMATS:
        if known == name:
            return Format(name, importlib.import_module(module))
    raise UserError(f"unknown trace format {name!r}", expected=", ".join(names()), hint=did_you_mean(name, names()))


def detect(path: Path, first: bytes) -> Format:
    """The format that a file looks like. Raises UserError when it looks like none."""
    head = first.decode(errors="replace").lstrip("\ufeff")
    for name, _ in FORMATS:
        candidate = by_name(name)
        if candidate.sniff(path.name, head):
            return candidate
    raise UserError(
        "this looks like no known trace format",
        file=path,
        line=1,
        found=head.partition("\n")[0][:80] or "nothing",
        expected=", ".join(names()),
        hint="name it with --format, which also tells what is missing",
    )
