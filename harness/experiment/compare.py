"""Arms held against a first one on the same seeds: which measures differ, by how much, and what can be said.

An arm is a strategy, or the same strategy under another scenario, setting or value of a variable. Decided is about the
primary measures, together; everything else is exploratory and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from harness.experiment.result import Result
from harness.measure.catalogue import Catalogue, Measure, Value, number_paths, values_of
from harness.measure.registry import PREFIX
from harness.measure.statistics import ALPHA, Paired, holm, interval, least_seeds, paired, usable
from harness.model.errors import UserError, did_you_mean

Arms: TypeAlias = Mapping[str, Sequence[Result]]
"""Runs by the name of their arm; the first is what the others are held against."""

Variables: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Within:
    """What is no difference: a share of the base's mean, or an amount in the measure's unit by path."""

    share: float = 0.01
    by_path: Mapping[str, float] | None = None

    def margin(self, path: str, base: float) -> tuple[float, str]:
        """(in the measure's unit, in words)."""
        if self.by_path is not None and path in self.by_path:
            amount = self.by_path[path]
            return amount, f"{amount:g}"
        return self.share * abs(base), f"{100 * self.share:g} %"


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one arm against the base. `path`: as it was asked for. `blocked`: why nothing can be said.

    `censored`: of how many seeds base and other have a lower bound only; such a value ranks with the worst that was
    seen. `unknown`: of how many seeds both have, so that the difference is not known. `differences`: other - base, a
    seed each. `looked`: its p-value and interval hold although it was looked at before the last seed.
    """

    measure: Measure
    path: str
    base: str
    other: str
    variables: dict[str, str]
    found: Paired
    primary: bool
    within: str = ""
    censored: tuple[int, int] = (0, 0)
    unknown: int = 0
    blocked: str = ""
    differences: tuple[float, ...] = field(default=(), repr=False)
    looked: bool = False

    def alone(self) -> Row:
        """With a verdict on this measure by itself."""
        found = self.found
        return replace(
            self, found=replace(found, level=ALPHA, differs=found.p <= ALPHA, equivalent=found.outside <= ALPHA)
        )

    def interval(self, alpha: float) -> tuple[float, float]:
        """Of the mean difference, at 1 - alpha or more; NaN where there are too few seeds for one."""
        return interval(np.array(self.differences), alpha) if self.differences else (math.nan, math.nan)

    @property
    def verdict(self) -> str:
        words = self._verdict()
        return words if self.primary else f"exploratory: {words}"

    def _verdict(self) -> str:
        found = self.found
        if self.blocked:
            return f"no verdict: {self.blocked}"
        if self.unknown == found.n:
            return "no verdict: it came to no end in either"
        whole = not any(self.censored)  # what came to no end may be any amount worse than what it is ranked with
        if found.equal and whole:
            return "equal on every seed"
        if found.too_few:
            return f"too few seeds: {least_seeds(found.level)} at least"
        if found.differs:
            same = f", but equivalent within {self.within}" if found.equivalent and whole else ""
            if not self.measure.sign:
                return f"they differ{same}"
            return f"{self.other if found.mean * self.measure.sign > 0 else self.base} is better{same}"
        if found.equivalent and whole:
            return f"equivalent within {self.within}"
        return "no difference found"

    @property
    def advice(self) -> str:
        """What it would have taken, where no difference was found."""
        found = self.found
        if self.blocked or self.looked or found.differs or found.equivalent or found.equal or found.too_few:
            return ""
        needed = found.seeds_to_decide
        missing = 0 if needed is None else max(needed - found.n, 1)
        more = "over 1000 seeds" if needed is None else f"{missing} more seed{'' if missing == 1 else 's'}"
        return f"{found.detectable:.3g} would have been found; {more} would decide about {abs(found.mean):.3g}"

    def to_data(self) -> dict[str, Any]:
        found = self.found

        def number(value: float) -> float | None:
            return None if math.isnan(value) else value

        return {
            "metric": self.measure.title,
            "path": self.path,
            **({"variables": self.variables} if self.variables else {}),
            "base": self.base,
            "other": self.other,
            "primary": self.primary,
            "seeds": found.n,
            "baseMean": number(found.base),
            "otherMean": number(found.other),
            "difference": number(found.mean),
            "low": number(found.low),
            "high": number(found.high),
            "p": found.p,
            "test": "sign-flip, exact" if found.exact else "Student's t",
            "looked": self.looked,
            "level": found.level,
            "equivalenceMargin": found.margin,
            "equivalenceP": found.outside,
            "censored": {"base": self.censored[0], "other": self.censored[1], "both": self.unknown},
            "detectable": number(found.detectable),
            "seedsToDecide": found.seeds_to_decide,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared: paths with their measures; those of `primary` are decided about."""

    measures: tuple[tuple[str, Measure], ...]
    primary: frozenset[str]


def question(
    catalogue: Catalogue,
    results: Sequence[Result],
    asked: Sequence[str] = (),
    declared: Sequence[str] = (),
    about: Sequence[str] = (),
) -> Question:
    """`asked`: these measures only, all of them primary. `declared`: the scenario's primary ones. `about`: those of the
    catalogue that what is compared bears on, where the scenario says nothing. Else those of the catalogue; of
    allocation that of the scarcest resource alone (GPUs where there are some), and only where the proven bound says
    something of it.

    Raises UserError for a path that leads to no number of any run.
    """
    for path in (*asked, *declared):
        _must_be_there(catalogue, results, path)
    if asked:
        return Question(tuple((path, _measure(catalogue, path)) for path in dict.fromkeys(asked)), frozenset(asked))
    shown = [m for m in catalogue if (m.tables or m.primary or m.path.startswith(PREFIX)) and m.compared]
    there = [measure for measure in shown if any(values_of(result.metrics, measure) for result in results)]
    if declared:
        primary = frozenset(declared)
        known = {measure.path for measure in there}
        extra = [(path, _measure(catalogue, path)) for path in dict.fromkeys(declared) if path not in known]
        return Question((*extra, *((measure.path, measure) for measure in there)), primary)
    if about:
        return Question(tuple((measure.path, measure) for measure in there), frozenset(about))
    primary = frozenset(measure.path for measure in there if measure.primary)
    if "placement.allocation.gpu" in primary:
        primary -= {"placement.allocation.cpu"}
    evicts = any(result.metrics.get("placement", {}).get("podsEvicted") for result in results)
    if not evicts and not any("rounds" in result.metrics.get("jobs", {}) for result in results):
        # A task that has a node runs on at its own pace: when it is complete says what its wait for a node says. Where
        # a scheduler takes pods away, their work is lost, too.
        primary = frozenset(path for path in primary if not path.startswith("jobs."))
    if not any("gap" in result.metrics.get("placement", {}).get("bound", {}) for result in results):
        # Where controllers make pods more is no better: a surge, and a dead node's pods, are allocated, too.
        primary = frozenset(path for path in primary if not path.startswith("placement.allocation."))
    return Question(tuple((measure.path, measure) for measure in there), primary)


def _measure(catalogue: Catalogue, path: str) -> Measure:
    """The catalogue's, at this very path."""
    known = catalogue.of(path)
    return Measure(path, path, "", "neither", "") if known is None else replace(known, path=path)


def _must_be_there(catalogue: Catalogue, results: Sequence[Result], path: str) -> None:
    if not results or any(values_of(result.metrics, _measure(catalogue, path)) for result in results):
        return
    raise UserError(
        "no run has this metric",
        found=path,
        expected="a number in metrics of record.json, as placement.allocation.gpu",
        hint=did_you_mean(path, sorted({there for there, _, _ in number_paths(results[0].metrics)})),
    )


def compare(arms: Arms, asked: Question, within: Within | None = None) -> list[Row]:
    """Every later arm against the first, by measure and value of the variables; verdicts on primary ones together."""
    rows = rows_of(arms, asked, within or Within())
    judged = iter(holm([row.found for row in rows if row.primary and not row.blocked]))
    return [replace(row, found=next(judged)) if row.primary and not row.blocked else row.alone() for row in rows]


def rows_of(arms: Arms, asked: Question, within: Within) -> list[Row]:
    """Each measure of each later arm beside the first, without verdicts."""
    base, *others = arms
    rows: list[Row] = []
    for variables in dict.fromkeys(tuple(result.variables.items()) for result in _all(arms)):
        by_arm = {name: _by_seed(results, variables) for name, results in arms.items()}
        for other in others:
            seeds = [seed for seed in by_arm[base] if seed in by_arm[other]]
            alone = len(by_arm[base].keys() ^ by_arm[other].keys())
            for path, measure in asked.measures:
                pairs = [
                    (_values(by_arm[base][seed], measure), _values(by_arm[other][seed], measure)) for seed in seeds
                ]
                row = _row(measure, path, pairs, within)
                if row is not None:
                    if alone:  # a run that failed says nothing good of its arm
                        row = replace(row, blocked=f"no run on one side in {alone} of {alone + len(seeds)} seeds")
                    primary = path in asked.primary
                    rows.append(replace(row, base=base, other=other, variables=dict(variables), primary=primary))
    return rows


def _all(arms: Arms) -> Iterable[Result]:
    return (result for results in arms.values() for result in results)


def _by_seed(results: Sequence[Result], variables: Variables) -> dict[int, Result]:
    return {result.seed: result for result in results if tuple(result.variables.items()) == variables}


Values: TypeAlias = dict[tuple[str, ...], Value]


def _values(result: Result, measure: Measure) -> Values:
    """Of a run. What a service's cluster has, as nodes and money, has its pools' in it."""
    found = values_of(result.metrics, measure)
    if not measure.path.startswith("autoscaling.*."):
        return found
    whole = {stars: value for stars, value in found.items() if not stars[0].startswith("pool ")}
    return whole or found


def _row(measure: Measure, path: str, pairs: Sequence[tuple[Values, Values]], within: Within) -> Row | None:
    """None where no run of either has it. What one run has and the other has not is no zero and no gap: it blocks."""
    there = [(ours, theirs) for ours, theirs in pairs if ours or theirs]
    if not there:
        return None
    both = [(_mean(ours), _mean(theirs)) for ours, theirs in pairs if ours and ours.keys() == theirs.keys()]
    whole = [pair for pair in both if all(usable(value.number) for value in pair)]
    neither = len(pairs) - len(there)
    unlike = len(pairs) - len(both) - neither
    blocked = f"missing on both sides in {neither} of {len(pairs)} seeds" if neither else ""
    if unlike:
        blocked = f"missing on one side in {unlike} of {len(pairs)} seeds"
    if len(whole) < len(both):
        blocked = f"no usable number in {len(both) - len(whole)} of {len(pairs)} seeds"
    if not whole:
        found = Paired(len(pairs), math.nan, math.nan, math.nan, math.nan, math.nan, 1.0)
        return Row(measure, path, "", "", {}, found, False, blocked=blocked)
    worst = max(value.number for pair in whole for value in pair)
    censored = sum(a.at_least for a, _ in whole), sum(b.at_least for _, b in whole)
    unknown = sum(a.at_least and b.at_least for a, b in whole)
    if any(censored) and measure.better != "less":
        blocked = f"a lower bound cannot rank last where {measure.better} is better"
    values = [tuple(worst if value.at_least else value.number for value in pair) for pair in whole]
    ours, theirs = [a for a, _ in values], [b for _, b in values]
    margin, words = within.margin(path, math.fsum(ours) / len(ours))
    found = paired(ours, theirs, margin)
    apart = tuple(b - a for a, b in values)
    return Row(measure, path, "", "", {}, found, False, words, censored, unknown, blocked, apart)


def _mean(values: Values) -> Value:
    """Over what the stars stand for; a lower bound if any of them is."""
    numbers = [value.number for value in values.values()]
    return Value(math.fsum(numbers) / len(numbers), any(value.at_least for value in values.values()))
