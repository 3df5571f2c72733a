"""What an idle piece of a GPU device is worth to the pods to come: dual prices of the cutting-stock problem."""

from __future__ import annotations

import numpy as np

from harness.scheduling.strategy import Float64, Int64

DEVICE_MILLI = 1000
WORTH = 1_000_000  # worth of a whole idle device, in the integer units of every table here

MAX_SIZES = 24  # more share sizes than this are merged upwards into the most frequent ones
MAX_PATTERNS = 4000
RESAMPLES = 20  # demands drawn around the observed one; the dual of one demand alone is degenerate
FACE_VALUE = 0.6  # weight of the plain idle milli beside the dual worth, for sizes that no price covers
RARE, DISCOUNT = 0.1, 0.3  # face value lost by a residue that nothing fits, in proportion up to RARE of the demand


def _patterns(sizes: list[int]) -> list[tuple[int, ...]]:
    """Maximal ways to fill one device, each the count of every size (descending sizes)."""
    found: list[tuple[int, ...]] = []
    counts = [0] * len(sizes)

    def fill(index: int, left: int) -> None:
        if len(found) >= MAX_PATTERNS:
            return
        if index == len(sizes):
            if left < sizes[-1]:
                found.append(tuple(counts))
            return
        for count in range(left // sizes[index], -1, -1):
            counts[index] = count
            fill(index + 1, left - count * sizes[index])
        counts[index] = 0

    fill(0, DEVICE_MILLI)
    return found


def _merged(shares: tuple[tuple[int, int], ...]) -> tuple[list[int], list[int]]:
    """At most MAX_SIZES sizes (descending) and their counts; a rare size counts as the next larger kept one."""
    if len(shares) <= MAX_SIZES:
        kept = dict(shares)
    else:
        frequent = sorted(shares, key=lambda pair: (-pair[1], -pair[0]))[: MAX_SIZES - 1]
        sizes = sorted({size for size, _ in frequent} | {shares[-1][0]})
        kept = dict.fromkeys(sizes, 0)
        for size, count in shares:
            kept[next(s for s in sizes if s >= size)] += count
    sizes = sorted(kept, reverse=True)
    return sizes, [kept[size] for size in sizes]


def residual_worth(shares: tuple[tuple[int, int], ...]) -> Int64:
    """Worth of a device with r idle milli, int64 [DEVICE_MILLI + 1], 0 at r = 0 and WORTH at r = DEVICE_MILLI.

    The cutting-stock problem (Gilmore and Gomory, 1961) asks for the fewest devices that hold all shares seen; the
    dual price of a size is what one more such pod costs in devices, and a residual is worth the best set of pods that
    it can still take. The LP optimum is a face, not a point, so prices are averaged over resampled demands
    (fixed seed), and mixed with the idle milli itself, less where only a small part of the demand fits.
    """
    face = np.arange(DEVICE_MILLI + 1, dtype=np.int64) * (WORTH // DEVICE_MILLI)
    shares = tuple((size, count) for size, count in shares if size * 20 >= DEVICE_MILLI and count > 0)
    if not shares:
        return face
    sizes, counts = _merged(shares)
    patterns = np.array(_patterns(sizes), dtype=np.int64)
    stock = _CuttingStock(patterns)
    rng = np.random.default_rng(len(sizes))
    total = np.zeros(DEVICE_MILLI + 1, dtype=np.int64)
    for _ in range(RESAMPLES):
        demand = rng.poisson(counts) + rng.random(len(counts)) / 10
        prices = stock.duals(demand)
        total += np.array(_best_fills(sizes, prices), dtype=np.int64)
    dual = total // RESAMPLES
    fits = np.zeros(DEVICE_MILLI + 1, dtype=np.int64)  # demand in milli that fits into r
    for size, count in shares:
        fits[size:] += size * count
    useful = np.minimum(fits / (RARE * fits[-1]), 1.0)
    blended = dual + np.rint((face * (1 - DISCOUNT * (1 - useful)) - dual) * FACE_VALUE).astype(np.int64)
    blended[-1] = WORTH  # prices rounded to integers may fall a few units short of a whole device
    return np.maximum.accumulate(blended)


def _best_fills(sizes: list[int], prices: list[int]) -> list[int]:
    """Most that pods at these prices can pay for r idle milli, for every r: an unbounded knapsack."""
    priced = [(size, price) for size, price in zip(sizes, prices, strict=True) if price]
    best = [0] * (DEVICE_MILLI + 1)
    for idle in range(1, DEVICE_MILLI + 1):
        top = best[idle - 1]
        for size, price in priced:
            if size <= idle and best[idle - size] + price > top:
                top = best[idle - size] + price
        best[idle] = top
    return [min(value, WORTH) for value in best]


class _CuttingStock:
    """Fewest devices such that patterns cover a demand, as an LP that keeps its basis between demands (GLOP)."""

    def __init__(self, patterns: Int64) -> None:
        from ortools.linear_solver import pywraplp  # slow to import, and only a strategy that runs needs it

        self._solver = pywraplp.Solver.CreateSolver("GLOP")
        infinity = self._solver.infinity()
        self._rows = [self._solver.Constraint(0.0, infinity) for _ in range(patterns.shape[1])]
        objective = self._solver.Objective()
        for pattern in patterns.tolist():
            uses = self._solver.NumVar(0.0, infinity, "")
            objective.SetCoefficient(uses, 1.0)
            for row, count in zip(self._rows, pattern, strict=True):
                if count:
                    row.SetCoefficient(uses, float(count))
        objective.SetMinimization()

    def duals(self, demand: Float64) -> list[int]:
        """Price of one more pod of each size, in WORTH units."""
        for row, amount in zip(self._rows, demand.tolist(), strict=True):
            row.SetLb(amount)
        self._solver.Solve()
        return [max(0, round(row.dual_value() * WORTH)) for row in self._rows]
