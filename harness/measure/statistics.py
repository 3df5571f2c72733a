"""Whether two arms differ: paired differences over seeds, exact where there are few, and verdicts that hold together.

Pairing on the seed takes out what both met alike. Up to EXACT_MOST seeds the test is the sign-flip (randomisation) test
of the mean, over all 2^n signs, and the interval is made of the means of all subsets, which is the same test turned
round: both are exact for differences that are symmetric about their mean, whatever their distribution. Beyond that
Student's t. An exact test of n pairs cannot give less than p = 2^(1-n): with fewer seeds than its level needs there is
no verdict. Holm's step-down holds the chance of any false verdict among the primary measures at 5 %.

Sources: Fisher, The Design of Experiments, 1935, section 21 (randomisation test); Hartigan, "Using Subsample Values as
Typical Values", JASA 1969 (interval); Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979;
Schuirmann, "A Comparison of the Two One-Sided Tests Procedure", 1987 (equivalence).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

ALPHA = 0.05
POWER = 0.8
EXACT_MOST = 14
"""Pairs up to which all signs are gone through: 16,384 sums."""
SIMULATED_MOST, SAMPLES = 10, 4000
"""Pairs up to which the power of the exact test is read off so many samples; beyond, that of the t test is close."""
MOST_SEEDS = 1000
"""How many seeds are thought of at most when it is said how many would decide."""

MOST = 1e150
"""Numbers as large as this cannot be squared."""

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paired:
    """`mean` of the differences other - base over `n` seeds, and its 95 % interval (NaN where there are too few).

    `p`: of no difference, two-sided. `outside`: p of the two one-sided tests that the mean lies beyond `margin` on
    either side; 1 without a margin. `differs`, `equivalent`: the verdicts, held against the others of their family, at
    `level`. `deviation` of the differences. `exact`: which test.
    """

    n: int
    base: float
    other: float
    mean: float
    low: float
    high: float
    p: float
    deviation: float = 0.0
    exact: bool = True
    margin: float = 0.0
    outside: float = 1.0
    level: float = ALPHA
    differs: bool = False
    equivalent: bool = False

    @property
    def equal(self) -> bool:
        """Not a single seed differs."""
        return self.mean == 0 and self.deviation == 0

    @property
    def too_few(self) -> bool:
        """Whether no difference, however clear, could have been found at this level with so many seeds."""
        return self.n < least_seeds(self.level)

    @property
    def detectable(self) -> float:
        """The difference that would have been found with a chance of 80 %, given how much the seeds differ; NaN where
        none would."""
        if self.too_few or self.n < 2:
            return math.nan
        return detectable(self.n, self.deviation, self.level)

    @property
    def seeds_to_decide(self) -> int | None:
        """Seeds with which a true difference as large as the mean would be found with a chance of 80 %; None: over
        MOST_SEEDS, or there is nothing to find."""
        return seeds_needed(abs(self.mean), self.deviation, self.level)


def usable(value: float) -> bool:
    """Whether a value can be compared: neither infinite nor no number at all, which every test would call significant,
    nor so large that squares overflow."""
    return abs(value) < MOST


def paired(base: Sequence[float], other: Sequence[float], margin: float = 0.0) -> Paired:
    """Of two measures on the same seeds, in the same order. `margin`: within which a difference is nothing, 0 for none.

    Raises ValueError for unequal lengths, and for what is no usable number.
    """
    if len(base) != len(other) or not base:
        raise ValueError(f"pairs are needed, found {len(base)} and {len(other)} values")
    if not all(map(usable, (*base, *other))):
        raise ValueError("a value is no number, or too large to be added up")
    n = len(base)
    differences = np.array([b - a for a, b in zip(base, other, strict=True)], dtype=np.float64)
    mean = math.fsum(differences) / n
    ends = math.fsum(base) / n, math.fsum(other) / n
    deviation = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1)) if n > 1 else 0.0
    # Differences that are the same but for rounding are the same.
    if deviation <= 1e-12 * max(1.0, abs(mean), *map(abs, ends)):
        deviation = 0.0
    if abs(mean) <= 1e-12 * max(1.0, *map(abs, ends)):
        mean = 0.0
    exact = n <= EXACT_MOST
    low, high = interval(differences, ALPHA)
    p = two_sided(differences)
    outside = max(one_sided(differences + margin), one_sided(margin - differences)) if margin > 0 else 1.0
    return Paired(n, *ends, mean, low, high, p, deviation, exact, margin, outside)


def two_sided(differences: Float64) -> float:
    """p of a mean of 0: the share of sign flips whose mean is as far from 0 as what was seen, or Student's t."""
    n = len(differences)
    if n <= EXACT_MOST:
        sums = np.abs(_signed_sums(differences))
        return float((sums >= abs(float(differences.sum())) - _slack(differences)).mean())
    return _t_p(differences, two=True)


def one_sided(differences: Float64) -> float:
    """p of a mean of 0 or less."""
    if len(differences) <= EXACT_MOST:
        sums = _signed_sums(differences)
        return float((sums >= float(differences.sum()) - _slack(differences)).mean())
    return _t_p(differences, two=False)


def _t_p(differences: Float64, *, two: bool) -> float:
    from scipy.stats import t

    n = len(differences)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        # The same on every seed: all signs alike, of which the exact test would say this.
        share = 0.5 ** (n - 1) if two else 0.5**n
        return 1.0 if mean == 0 or (mean < 0 and not two) else share
    at = mean / (deviation / math.sqrt(n))
    return float(2 * t.sf(abs(at), n - 1)) if two else float(t.sf(at, n - 1))


def _signed_sums(differences: Float64) -> Float64:
    """The sum of the differences under each of the 2^n choices of signs."""
    sums = np.zeros(1)
    for difference in differences.tolist():
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _slack(differences: Float64) -> float:
    """Sums that differ by rounding alone are equal."""
    return 1e-9 * float(np.abs(differences).sum())


def interval(differences: Float64, alpha: float) -> tuple[float, float]:
    """Of the mean, at 1 - alpha or more; (NaN, NaN) where no interval of finite length has that."""
    n = len(differences)
    if n > EXACT_MOST:
        from scipy.stats import t

        mean = float(differences.mean())
        half = float(t.ppf(1 - alpha / 2, n - 1)) * float(differences.std(ddof=1)) / math.sqrt(n)
        return mean - half, mean + half
    # Hartigan: the means of all 2^n - 1 subsets part the line into 2^n intervals that hold the centre equally likely.
    outside = int(alpha / 2 * 2**n)
    if not outside:
        return math.nan, math.nan
    sums, counts = np.zeros(1), np.zeros(1)
    for difference in differences.tolist():
        sums, counts = np.concatenate([sums, sums + difference]), np.concatenate([counts, counts + 1])
    means = np.sort(sums[1:] / counts[1:])
    return float(means[outside - 1]), float(means[-outside])


def least_seeds(level: float) -> int:
    """With how many pairs an exact test can say anything at this level: 2^(1-n) must not be above it."""
    return max(2, math.ceil(1 - math.log2(level)))


def power(effect: float, deviation: float, n: int, level: float) -> float:
    """The chance to find a true mean of `effect` of normal differences, by the test that n pairs get."""
    if n < least_seeds(level):
        return 0.0
    if deviation == 0:
        return 1.0 if effect else 0.0
    if n <= SIMULATED_MOST:
        reach = _reach(n, int(level / 2 * 2**n))
        # The other end is the same by symmetry; what it adds is below a thousandth at any power that counts.
        return float(np.searchsorted(reach, abs(effect) / deviation) / len(reach))
    from scipy.stats import nct, t

    shift = effect / deviation * math.sqrt(n)
    if shift > 30:  # far beyond where scipy's noncentral t is exact, and certain
        return 1.0
    critical = float(t.ppf(1 - level / 2, n - 1))
    return float(nct.sf(critical, n - 1, shift) + nct.cdf(-critical, n - 1, shift))


@cache
def _reach(n: int, outside: int) -> Float64:
    """How far a standard normal sample of n must be shifted for its exact interval to leave 0 behind; sorted, SAMPLES.

    So few signs make a test of its own, which no t test comes near to: with six pairs it needs them all on one side.
    """
    rng = np.random.default_rng([n, outside])
    subsets = ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)
    subsets /= subsets.sum(axis=1, keepdims=True)
    means = rng.standard_normal((SAMPLES, n)) @ subsets.T
    return np.sort(-np.partition(means, outside - 1, axis=1)[:, outside - 1])


def detectable(n: int, deviation: float, level: float = ALPHA) -> float:
    """The least effect that is found with a chance of 80 %."""
    if deviation == 0:
        return 0.0
    low, high = 0.0, 1.0
    while power(high * deviation, deviation, n, level) < POWER:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        if power(middle * deviation, deviation, n, level) < POWER:
            low = middle
        else:
            high = middle
    return high * deviation


def seeds_needed(effect: float, deviation: float, level: float = ALPHA) -> int | None:
    """The least number of seeds with which `effect` is found with a chance of 80 %; None: over MOST_SEEDS."""
    least = least_seeds(level)
    if effect == 0 or power(effect, deviation, MOST_SEEDS, level) < POWER:
        return None
    low, high = least - 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        if power(effect, deviation, middle, level) < POWER:
            low = middle
        else:
            high = middle
    return high


def holm(found: Sequence[Paired], alpha: float = ALPHA) -> list[Paired]:
    """The same with their verdicts: differences and equivalences, each kind held together at `alpha`.

    `level` of each is the share that it had to meet at the worst, alpha over all of them.
    """
    out = [replace(item, level=alpha / max(len(found), 1)) for item in found]
    for field, verdict in (("p", "differs"), ("outside", "equivalent")):
        order = sorted(range(len(found)), key=lambda i: (getattr(found[i], field), i))
        for rank, index in enumerate(order):
            if getattr(found[index], field) > alpha / (len(found) - rank):
                break
            out[index] = replace(out[index], **{verdict: True})
    return out
