"""Measures from other packages: entry points in the group `podyard.measures`, or `package.module:object`.

The object is a `Measure` (a name for a number that runs have already) or an `Extra` (with a fold that computes it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from harness.measure.catalogue import Catalogue, Measure, is_number
from harness.measure.shipped import shipped
from harness.model.errors import UserError
from harness.model.plugins import import_named, installed

GROUP = "podyard.measures"
PREFIX = "extra."


class MeasuringFold(Protocol):
    """A fold over the journal (harness.measure.journal.Fold) that computes one number."""

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None: ...

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None: ...

    def value(self, until_ns: int) -> float | None:
        """The number at the end of the run; None if there is none."""


@dataclass(frozen=True, slots=True)
class Extra:
    """`measure` has the path `extra.<name>`; `fold` makes what computes it, one for each run."""

    measure: Measure
    fold: Callable[[], MeasuringFold]


def extras(asked: Iterable[str] = ()) -> list[Measure | Extra]:
    """Those of all installed packages, then those asked for as `module:object`. Raises UserError."""
    return [_checked(name) for name in dict.fromkeys([*(point.value for point in installed(GROUP)), *asked])]


def catalogue(asked: Iterable[str] = ()) -> Catalogue:
    """All measures, shipped and extra. Raises UserError for a name that is taken."""
    known = shipped()
    for item in extras(asked):
        known.add(item.measure if isinstance(item, Extra) else item)
    return known


def _checked(name: str) -> Measure | Extra:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UserError("a measure is named module:object", found=name, expected="as my_package.measures:idle_gpus")
    try:
        found = getattr(import_named(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot load the measure {name}", found=str(error), expected="module:object") from None
    if isinstance(found, Extra):
        if not found.measure.path.startswith(PREFIX) or "*" in found.measure.path:
            raise UserError(
                f"{name}: a path of its own is needed", found=found.measure.path, expected=f"{PREFIX}<name>"
            )
        return found
    if isinstance(found, Measure):
        return found
    raise UserError(f"{name} is no measure", found=type(found).__name__, expected="a Measure, or an Extra")


class Contained:
    """A fold from another package: an exception stops the fold, not the run. `broken` says what happened."""

    def __init__(self, extra: Extra) -> None:
        self.path = extra.measure.path
        self.broken = ""
        self._fold: MeasuringFold | None = None
        self._try(lambda: setattr(self, "_fold", extra.fold()))

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        fold = self._fold
        if fold is not None:
            self._try(lambda: fold.write(at_ns, kind, change, obj, old))

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        fold = self._fold
        if fold is not None:
            self._try(lambda: fold.observe(at_ns, source, topic, data))

    def value(self, until_ns: int) -> float | None:
        fold, found = self._fold, []
        if fold is not None:
            self._try(lambda: found.append(fold.value(until_ns)))
        if not found or found[0] is None:
            return None
        if not is_number(found[0]):
            self.broken = f"measure {self.path}: {found[0]!r} is no number"
            return None
        return float(found[0])

    def _try(self, what: Callable[[], Any]) -> None:
        try:
            what()
        except Exception as error:  # somebody else's code
            self._fold = None
            self.broken = f"measure {self.path}: {type(error).__name__}: {error}"
