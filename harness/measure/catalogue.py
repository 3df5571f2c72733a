"""The catalogue of measures: the path of each in a run's metrics, its name and unit, which way is better, and its
definition.

Tables, comparisons, gates, the record's `measures.parquet` and MEASURES.md are made from this list. The code that
computes a measure is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from harness.model.errors import UserError, did_you_mean

Better: TypeAlias = Literal["more", "less", "neither"]

SPEC_RG = "Herbst et al., Ready for Rain?, SPEC-RG-2016-01"
NEAREST_RANK = "percentile by nearest rank"


@dataclass(frozen=True, slots=True)
class Measure:
    """`path` leads to the number in a run's metrics; a part '*' stands for any one service, fault or resource.

    A number times `scale` is in `unit`. `primary`: a comparison tests it by default; the others are exploratory, and
    shown if they are in a table and `compared`. `tables`: those where it has a row. `digits`: after the decimal point.
    `source`: of the definition, or ''.
    """

    path: str
    name: str
    unit: str
    better: Better
    definition: str
    source: str = ""
    scale: float = 1.0
    primary: bool = False
    tables: tuple[str, ...] = ()
    digits: int = 2
    compared: bool = True

    @property
    def title(self) -> str:
        """The name with its unit, if it has one."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is, else 0."""
        return {"more": 1, "less": -1, "neither": 0}[self.better]

    def matches(self, path: str) -> bool:
        """Whether the number at `path` is one of this measure. Names may contain dots; parts of a pattern do not."""
        return _matches(self.path.split("."), path.split("."))


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] != "*":
        return pattern[0] == parts[0] and _matches(pattern[1:], parts[1:])
    # '*' matches one part, or several: the name of a service may contain dots
    return any(_matches(pattern[1:], parts[taken:]) for taken in range(1, len(parts) + 1))


@dataclass(frozen=True, slots=True)
class Value:
    """A number of a run in its measure's unit. `at_least`: a lower bound only, as something had not ended when the run
    was over."""

    number: float
    at_least: bool = False


def values_of(metrics: Any, measure: Measure) -> dict[tuple[str, ...], Value]:
    """Values by what the stars stand for, as (service,) or (index of the fault,); empty where a run has no such
    number."""
    return {
        stars: Value(number * measure.scale, at_least)
        for stars, number, at_least in _walk(metrics, measure.path.split("."))
    }


def _walk(at: Any, parts: Sequence[str]) -> Iterator[tuple[tuple[str, ...], float, bool]]:
    head, rest = parts[0], parts[1:]
    for star, below in _below(at, head):
        stars = (star,) if head == "*" else ()
        if rest:
            for more, number, at_least in _walk(below, rest):
                yield (*stars, *more), number, at_least
        elif is_number(below):
            unsure = isinstance(at, dict) and star in at.get("atLeast", ())
            yield stars, float(below), unsure


def _below(at: Any, head: str) -> Iterable[tuple[str, Any]]:
    items = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
    return [(str(key), value) for key, value in items if head in ("*", str(key))]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_paths(metrics: Any, path: str = "") -> Iterator[tuple[str, float, bool]]:
    """For every number: its path, the number, and whether it is a lower bound only."""
    items = metrics.items() if isinstance(metrics, dict) else enumerate(metrics) if isinstance(metrics, list) else ()
    for key, value in items:
        below = f"{path}.{key}" if path else str(key)
        if is_number(value):
            yield below, value, isinstance(metrics, dict) and key in metrics.get("atLeast", ())
        else:
            yield from number_paths(value, below)


class Catalogue:
    """Measures by path; in the order in which they were added. Error: UserError for a path or a title added twice."""

    def __init__(self, measures: Iterable[Measure] = ()) -> None:
        self._by_path: dict[str, Measure] = {}
        self._titles: dict[str, str] = {}
        self._patterns: list[tuple[list[str], Measure]] = []
        for measure in measures:
            self.add(measure)

    def add(self, measure: Measure) -> None:
        taken = self._titles.get(measure.title)
        if measure.path in self._by_path or taken is not None:
            raise UserError(
                "there is a measure of this name already",
                found=f"{measure.title} at {measure.path}",
                expected=f"a path and a title of its own, other than those of {taken or measure.path}",
            )
        self._by_path[measure.path] = measure
        self._titles[measure.title] = measure.path
        if "*" in measure.path:
            self._patterns.append((measure.path.split("."), measure))

    def __iter__(self) -> Iterator[Measure]:
        return iter(self._by_path.values())

    def __len__(self) -> int:
        return len(self._by_path)

    def of(self, path: str) -> Measure | None:
        """The measure whose pattern matches or equals `path`; of several, the one with the fewest stars."""
        if path in self._by_path:
            return self._by_path[path]
        parts = path.split(".")
        found = [measure for pattern, measure in self._patterns if _matches(pattern, parts)]
        return min(found, key=lambda measure: measure.path.count("*"), default=None)

    def get(self, path: str) -> Measure:
        """The measure of `path`, with that path. Error: UserError with the nearest ones."""
        found = self.of(path)
        if found is None:
            raise UserError(
                "there is no such measure",
                found=path,
                expected="one of those that `podyard measures` lists, as placement.allocation.gpu",
                hint=did_you_mean(path, list(self._by_path)),
            )
        return found

    def in_table(self, table: str) -> list[Measure]:
        return [measure for measure in self if table in measure.tables]

    def primary(self) -> list[Measure]:
        return [measure for measure in self if measure.primary]


def spread(
    path: str,
    name: str,
    definition: str,
    *,
    better: Better = "less",
    primary: str = "",
    rows: dict[str, tuple[str, ...]],
) -> list[Measure]:
    """Measures for the five numbers that `pods.seconds` computes from spans, and how many had no end. `rows`: tables by
    number."""
    words = {"p50": "median", "p95": "p95", "p99": "p99", "max": "longest", "mean": "mean"}
    out = [
        Measure(
            f"{path}.{key}",
            f"{name}, {word}",
            "s",
            "less",
            f"{definition}; {word}. What has not come to its end counts to the end of the run and marks it as a lower "
            "bound.",
            NEAREST_RANK if key[0] == "p" else "",
            primary=key == primary,
            tables=rows.get(key, ()),
            digits=1 if key in ("p99", "max") else 2,
        )
        for key, word in words.items()
    ]
    return [
        *out,
        Measure(
            f"{path}.censored", f"{name}, without an end", "", "less", f"{definition}; how many had no end", digits=0
        ),
    ]
