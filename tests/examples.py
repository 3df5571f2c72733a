"""How many examples Hypothesis draws where a test says it."""

from __future__ import annotations

import os

LEAST = 8


def examples(count: int) -> int:
    """A third of `count`, which keeps the default suite short. PODYARD_EXAMPLES=full takes all of it, as the slow run
    does (`make test-slow`, CI); a number is taken for every test.
    """
    asked = os.environ.get("PODYARD_EXAMPLES")
    if asked == "full":
        return count
    return int(asked) if asked else max(count // 3, min(count, LEAST))
