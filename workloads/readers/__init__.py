"""Trace formats, one file each. Add one by adding a file and its entry point in the group `podyard.trace_readers`.

What a reader has is in `protocol.py`; those of others come through the same door, or as `package.module:object`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.model.errors import UserError, did_you_mean
from harness.model.plugins import PluginGroup
from workloads.readers.protocol import GROUP, Frames, TraceReader
from workloads.table import Provenance


def _problem(target: Any) -> str:
    missing = [name for name in ("sniff", "pods") if not callable(getattr(target, name, None))]
    if not isinstance(getattr(target, "PROVENANCE", None), Provenance):
        missing.append("PROVENANCE")
    return f"a module or object with {', '.join(missing)}" if missing else ""


READERS = PluginGroup(GROUP, "trace format", _problem)

MOST_OPTION = 10**12
"""Options are multiplied with row counts; within int64 for millions of rows."""

_OWN = ("path", "lint")


@dataclass(frozen=True, slots=True)
class Format:
    """A reader, with the options of its functions checked before they are called."""

    name: str
    reader: TraceReader

    @property
    def provenance(self) -> Provenance:
        return self.reader.PROVENANCE

    @property
    def pods(self) -> Frames:
        return self.reader.pods

    @property
    def nodes(self) -> Frames | None:
        return getattr(self.reader, "nodes", None)

    def sniff(self, name: str, head: str) -> bool:
        return bool(self.reader.sniff(name, head))

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
    if typing.get_origin(hint) is dict:
        return isinstance(value, dict)
    options = typing.get_args(hint) or (hint,)
    return any(
        (option is type(None) and value is None)
        or (isinstance(option, type) and isinstance(value, option) and (option is bool or not isinstance(value, bool)))
        for option in options
    ) and not (isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= MOST_OPTION)


def _words(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is dict:
        return "a mapping"
    names = {bool: "true or false", int: f"a whole number, 0 to {MOST_OPTION}", str: "text", type(None): "nothing"}
    return " or ".join(names.get(option, str(option)) for option in typing.get_args(hint) or (hint,))


def names() -> tuple[str, ...]:
    return READERS.names()


def by_name(name: str) -> Format:
    """Of the name of a format, or `package.module:object`. Raises UserError for an unknown one, and for a name that is
    registered twice."""
    return Format(name, READERS.load(name))


def detect(path: Path, first: bytes) -> Format:
    """The format that a file looks like. Raises UserError when it looks like none, or like several."""
    head = first.decode(errors="replace").lstrip("\ufeff")
    found = [candidate for name in names() if (candidate := by_name(name)).sniff(path.name, head)]
    if len(found) == 1:
        return found[0]
    raise UserError(
        "this looks like several trace formats" if found else "this looks like no known trace format",
        file=path,
        line=1,
        found=", ".join(candidate.name for candidate in found) or head.partition("\n")[0][:80] or "nothing",
        expected=", ".join(names()),
        hint="name it with --format, which also tells what is missing; or say what its columns are: "
        "--map arrival=COLUMN:s,cpu=COLUMN:cores",
    )
