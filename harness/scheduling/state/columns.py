"""Numpy columns over nodes: how nodes are named to them, how they grow, and how they are handed out read-only."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from harness.scheduling.strategy import Int64

Nodes: TypeAlias = Int64 | slice
"""Which nodes to evaluate: indices, or a slice for all."""

Column = TypeVar("Column", bound=npt.NDArray[Any])


def grown(old: Column, shape: tuple[int, ...], fill: int = 0) -> Column:
    """`old` in the corner of a new array of `shape` (no dimension smaller), the rest `fill`."""
    new = np.full(shape, fill, dtype=old.dtype)
    new[tuple(map(slice, old.shape))] = old
    return new  # type: ignore[return-value]


def frozen(view: Column) -> Column:
    """The same memory, read-only for good: who is handed it cannot set its write flag again."""
    return np.asarray(memoryview(view).toreadonly())  # type: ignore[return-value,arg-type]
