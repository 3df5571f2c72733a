"""Whether code draws from the random streams of the whole process, which it must leave alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np


class GlobalRandomness:
    """The states of the streams as they are when this is made."""

    def __init__(self) -> None:
        self._random, self._numpy = random.getstate(), _numpy_state()

    def drawn_from(self) -> Iterator[str]:
        """The streams that have been drawn from since, by name."""
        if random.getstate() != self._random:
            yield "the module random"
        if _numpy_state() != self._numpy:
            yield "numpy.random"


def _numpy_state() -> object:
    name, keys, *rest = np.random.get_state(legacy=True)
    return name, bytes(np.asarray(keys)), rest
