"""Spans of time in lanes: each takes the first lane that is free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def lanes(spans: Sequence[tuple[Any, Any, Any]]) -> tuple[int, list[tuple[int, Any, Any, Any]]]:
    """(how many lanes, (lane, begin, end, what) of each span in order of its begin)."""
    free: list[Any] = []
    placed = []
    for begin, end, what in sorted(spans, key=lambda span: span[0]):
        lane = next((index for index, until in enumerate(free) if until <= begin), len(free))
        if lane == len(free):
            free.append(end)
        free[lane] = end
        placed.append((lane, begin, end, what))
    return len(free), placed
