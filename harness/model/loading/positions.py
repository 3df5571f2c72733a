"""Where the values of a document are written: a tree of line numbers beside the data, asked by field path."""

from __future__ import annotations

from typing import TypeAlias

from harness.model.whole_numbers import whole_number


class Place:
    """The line of a mapping or a list (that of its key, where it has one), and the positions of what it holds."""

    __slots__ = ("below", "line")

    def __init__(self, line: int, below: dict[str, Position] | list[Position]) -> None:
        self.line = line
        self.below = below


Position: TypeAlias = "int | Place"
"""A scalar's line, from 1, or a Place."""


def line_of(position: Position | None, path: str) -> int | None:
    """The line of `path` (spec.containers[0].image), or of the nearest thing around it that is written.

    Keys may hold dots of their own, with or without brackets around them: metadata.labels.a.b/c, requests[a.b/c].
    """
    line: int | None = None
    at = position
    while at is not None:
        line = at if isinstance(at, int) else at.line
        if isinstance(at, int) or not path:
            return line
        at, path = _step(at, path)
    return line


def _step(place: Place, path: str) -> tuple[Position | None, str]:
    """(position, the rest of the path) one step down, the position None where nothing is written."""
    path = path.removeprefix(".")
    if path.startswith("["):
        index, _, rest = path[1:].partition("]")
        if isinstance(place.below, dict):
            return place.below.get(index), rest
        number = whole_number(index)
        found = place.below[number] if number is not None and number < len(place.below) else None
        return found, rest
    if not isinstance(place.below, dict):
        return None, path
    end = len(path)
    while end > 0:  # the longest key that the path begins with
        if path[:end] in place.below:
            return place.below[path[:end]], path[end:]
        end = max(path.rfind(".", 0, end), path.rfind("[", 0, end))
    return None, path
