"""Named random streams from one seed, so that one more draw here moves nothing there."""

from __future__ import annotations

from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def stream(seed: int, name: str) -> Random:
    """The stream `name` of a run; equal on every machine, whatever PYTHONHASHSEED says."""
    return Random(seed_of(seed, name))


def array_stream(seed: int, name: str) -> np.random.Generator:
    """The same for numpy."""
    import numpy as np  # slow to import, and only a scheduler needs it: not an actor's process

    return np.random.Generator(np.random.PCG64(seed_of(seed, name)))


def phase_of(seed: int, name: str, period_ns: int) -> int:
    """How long after each whole number of periods, in whole milliseconds, what is called `name` looks."""
    return seed_of(seed, name) % max(period_ns // 1_000_000, 1) * 1_000_000


def seed_of(seed: int, name: str) -> int:
    return int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=16).digest(), "big")
