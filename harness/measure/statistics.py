"""Whether two strategies differ: paired differences over seeds, intervals, and verdicts that hold together.

Pairing on the seed takes out what both met alike; Student's t gives interval and p-value of the mean difference;
Holm's step-down holds the chance of any false verdict in a table at 5 %.

Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

ALPHA = 0.05
NEGLIGIBLE = 1e-3


@dataclass(frozen=True, slots=True)
class Paired:
    """`mean` of the differences other - base over `n` seeds, and its interval; NaN bounds for fewer than two seeds.

    `p`: of no difference; `differs`: whether the verdict, held against the others of its table, is that there is one.
    """

    n: int
    base: float
    other: float
    mean: float
    low: float
    high: float
    p: float
    differs: bool = False

    @property
    def negligible(self) -> bool:
        """The whole interval lies within a thousandth of the base's mean: whatever the difference, nobody cares."""
        return max(abs(self.low), abs(self.high)) <= NEGLIGIBLE * abs(self.base)

    @property
    def equal(self) -> bool:
        """Not a single seed differs."""
        return self.mean == 0 and self.low == 0 and self.high == 0


def paired(base: Sequence[float], other: Sequence[float]) -> Paired:
    """Of two measures on the same seeds, in the same order; 95 % interval. Raises ValueError for unequal lengths."""
    if len(base) != len(other) or not base:
        raise ValueError(f"pairs are needed, found {len(base)} and {len(other)} values")
    n = len(base)
    differences = [b - a for a, b in zip(base, other, strict=True)]
    mean = math.fsum(differences) / n
    ends = math.fsum(base) / n, math.fsum(other) / n
    if n < 2:
        return Paired(n, *ends, mean, math.nan, math.nan, math.nan)
    deviation = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    if deviation <= 1e-12 * max(1.0, abs(mean)):  # the same on every seed
        return Paired(n, *ends, mean, mean, mean, 1.0 if mean == 0 else 0.0)
    from scipy.stats import t

    error = deviation / math.sqrt(n)
    half = float(t.ppf(1 - ALPHA / 2, n - 1)) * error
    return Paired(n, *ends, mean, mean - half, mean + half, float(2 * t.sf(abs(mean) / error, n - 1)))


def holm(found: Sequence[Paired], alpha: float = ALPHA) -> list[Paired]:
    """The same with their verdicts; what has no p-value gets none and does not count."""
    known = [index for index, item in enumerate(found) if not math.isnan(item.p)]
    out = list(found)
    for rank, index in enumerate(sorted(known, key=lambda i: (found[i].p, i))):
        if found[index].p > alpha / (len(known) - rank):
            break
        out[index] = replace(found[index], differs=True)
    return out
