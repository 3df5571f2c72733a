"""Comparisons that look at their results while seeds are still being run, and stop what is decided.

Looking often finds differences where there are none, unless each look pays for itself. Of the 5 % that a comparison may
be wrong, each look spends a share in proportion to the seeds that it adds. At look k, which spends a_k, a p-value
counts as p * 5 % / a_k, and the least of the looks so far is what counts. As the shares add up to 5 %, the chance that
it comes out at u or less for a hypothesis that holds is at most u (union bound), however the looks depend on each other
and whatever was stopped because of them. So Holm's step-down over all primary measures holds, after any look, what it
holds without looks.

The price is power: with one look only, that is without stopping early, less of a difference is found with all seeds.
Sources: Lan and DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 1983 (spending); Holm 1979.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from harness.experiment.compare import Arms, Question, Row, Variables, Within, rows_of
from harness.measure.statistics import ALPHA, holm, least_seeds

LOOKS = 5
"""At most: each costs power, and saves at most what it leaves to run."""

Unit: TypeAlias = tuple[str, Variables]
"""What is stopped by itself: an arm at one value of the variables."""


def looks(n: int, measures: int) -> list[int]:
    """After how many of n seeds is looked; the last after all. `measures`: how many are decided about together. No look
    comes before the exact test could decide about one of them, given what that look may spend."""
    for count in range(LOOKS, 1, -1):
        ends = [round(n * k / count) for k in range(1, count + 1)]
        if ends[0] and ends[0] >= least_seeds(ALPHA * (ends[0] / n) / max(measures, 1)):
            return ends
    return [n]


@dataclass
class Sequential:
    """`seeds`: how many there will be at most. Looks are told in order, each with all results so far."""

    seeds: int
    asked: Question
    within: Within
    rows: dict[tuple[Unit, str], Row] = field(default_factory=dict)
    stopped: dict[Unit, int] = field(default_factory=dict)
    _spent_at: int = 0

    def look(self, arms: Arms, n: int) -> None:
        """After n seeds. `arms`: results by arm, the base first; stopped units count as they were when they were
        stopped."""
        share = ALPHA * (n - self._spent_at) / self.seeds
        self._spent_at = n
        for row in rows_of(arms, self.asked, self.within):
            unit = (row.other, tuple(row.variables.items()))
            if unit in self.stopped:
                continue
            before = self.rows.get((unit, row.path))
            self.rows[unit, row.path] = _adjusted(row, share, before) if row.primary else row
        self._decide()

    def _decide(self) -> None:
        keys = [key for key, row in self.rows.items() if row.primary and not row.blocked]
        for key, found in zip(keys, holm([self.rows[key].found for key in keys]), strict=True):
            self.rows[key] = replace(self.rows[key], found=found)
        for unit in {unit for unit, _ in self.rows}:
            mine = [row for (of, _), row in self.rows.items() if of == unit and row.primary]
            decided = all(row.found.differs or row.found.equivalent for row in mine if not row.blocked)
            if unit not in self.stopped and mine and decided and not any(row.blocked for row in mine):
                self.stopped[unit] = mine[0].found.n

    def active(self, arms: Sequence[str], variables: Sequence[Variables]) -> Mapping[str, set[Variables]]:
        """The values of the variables that each arm still has to run; the base runs where another does."""
        base, *others = arms
        left = {arm: {values for values in variables if (arm, values) not in self.stopped} for arm in others}
        return {base: set().union(*left.values()), **left}

    def table(self) -> list[Row]:
        """Every row as it was last looked at, with its verdict."""
        return [row if row.primary else row.alone() for row in self.rows.values()]

    def to_data(self) -> list[dict[str, Any]]:
        return [
            {"arm": arm, **({"variables": dict(values)} if values else {}), "seeds": n, "of": self.seeds}
            for (arm, values), n in self.stopped.items()
        ]


def _adjusted(row: Row, share: float, before: Row | None) -> Row:
    """With the p-values that count after this look, and an interval that holds together with those of all looks."""
    found = row.found
    p, outside = min(1.0, found.p * ALPHA / share), min(1.0, found.outside * ALPHA / share)
    if before is not None:
        p, outside = min(p, before.found.p), min(outside, before.found.outside)
    low, high = row.interval(share)
    return replace(row, looked=True, found=replace(found, p=p, outside=outside, low=low, high=high))
