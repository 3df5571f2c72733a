"""How many examples Hypothesis draws where a test says it."""

from __future__ import annotations

import os

LEAST = 8


def examples(count: int) -> int:
    """`count` in CI, whose profile draws the same ones each time. Elsewhere, where each run draws others, a third of
    it: what one run does not meet, the next ones do. PODYARD_EXAMPLES says another number for all of them.
    """
    asked = os.environ.get("PODYARD_EXAMPLES")
    if asked:
        return int(asked)
    return count if os.environ.get("CI") else max(count // 3, min(count, LEAST))
