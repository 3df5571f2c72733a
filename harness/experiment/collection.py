"""How often Python looks for cycles among a run's objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (100_000, 20, 50)
"""Of `gc.set_threshold`. A run keeps most of what it makes (objects, the journal) and makes next to no cycles: with
Python's own thresholds (700, 10, 10) a look at the young objects comes every 700 of them and finds nothing. 100,000
objects that wait for a look are some 10 MB."""


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Python's own thresholds, or the caller's, hold again afterwards. A collector that is off stays off."""
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
