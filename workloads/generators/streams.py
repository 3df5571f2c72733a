"""Random streams by name, so that one more draw for one purpose moves nothing elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

Streams: TypeAlias = Callable[[str], np.random.Generator]
"""A name to its own generator; asked once a name."""


def streams(seed: int) -> Streams:
    """The streams of one seed: PCG64, seeded by a digest of seed and name."""

    def stream(name: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16])))

    return stream
