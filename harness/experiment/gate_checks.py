"""Records held to thresholds and to reference records: what `podyard gate` finds, one check a demand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from harness.experiment.forms import Gate
from harness.experiment.gates import at, gate_misses
from harness.experiment.record import read_record
from harness.experiment.result import Result, from_record
from harness.measure.catalogue import Catalogue, Measure, Value, values_of
from harness.measure.statistics import usable
from harness.model.errors import UserError


@dataclass(frozen=True, slots=True)
class Check:
    """One demand on one record. `why`: in words, why it failed; '' where it did not."""

    record: str
    demand: str
    found: str
    why: str = ""

    @property
    def ok(self) -> bool:
        return not self.why


def parse_gate(text: str, known: Catalogue) -> Gate:
    """'PATH<=NUMBER' or 'PATH>=NUMBER'. Raises UserError for what is neither, or a measure that there is not."""
    found = re.fullmatch(r"\s*(\S+?)\s*(<=|>=)\s*([-+0-9.eE]+)\s*", text)
    try:
        if found is None:
            raise ValueError
        limit = float(found[3])
    except ValueError:
        raise UserError(
            "a gate is not understood", found=text, expected="as 'recovery.0.phases.serving.last<=400'"
        ) from None
    known.get(found[1])
    return Gate(
        metric=found[1], at_least=limit if found[2] == ">=" else None, at_most=limit if found[2] == "<=" else None
    )


def name_of(result: Result) -> str:
    chosen = [f"{name}={value}" for name, value in result.variables.items()]
    return "/".join([result.scenario, *chosen, result.scheduler, str(result.seed)])


def thresholds(result: Result, gates: Iterable[Gate]) -> list[Check]:
    out = []
    for gate in gates:
        limits = [f"at least {gate.at_least:g}"] if gate.at_least is not None else []
        limits += [f"at most {gate.at_most:g}"] if gate.at_most is not None else []
        values = ", ".join(_words(value) for value in at(result.metrics, gate.metric).values())
        out.append(
            Check(
                name_of(result),
                f"{gate.metric} {' and '.join(limits)}",
                values,
                "; ".join(gate_misses(gate, result.metrics)),
            )
        )
    return out


def scenario_gates(result: Result) -> list[Gate]:
    """Those that the record's scenario has."""
    assert result.folder is not None
    scenario = read_record(result.folder)["scenario"]
    data = scenario.get("spec", {}).get("gates", []) if isinstance(scenario, dict) else []
    return msgspec.convert(data, list[Gate])


def not_worse(result: Result, reference: Result, measures: Sequence[Measure], margin: float) -> list[Check]:
    """No measure is worse than the reference's by more than a share of it. Those without a direction must be within it
    on both sides. A lower bound is worse than any number; what one has and the other has not fails."""
    out = []
    for measure in measures:
        ours, theirs = values_of(result.metrics, measure), values_of(reference.metrics, measure)
        for stars in sorted(ours.keys() | theirs.keys()):
            path = _path(measure, stars)
            was, now = theirs.get(stars), ours.get(stars)
            demand = f"{path} not worse than {'nothing' if was is None else _words(was)} by {100 * margin:g} %"
            found = "nothing" if now is None else _words(now)
            out.append(Check(name_of(result), demand, found, _worse(measure, was, now, margin)))
    return out


def _worse(measure: Measure, was: Value | None, now: Value | None, margin: float) -> str:
    if was is None or now is None:
        return f"{'the reference' if was is None else 'the record'} has no such number"
    if not usable(now.number) or not usable(was.number):
        return f"{'the reference' if usable(now.number) else 'the record'} has no usable number"
    if now.at_least and not was.at_least and measure.sign <= 0:
        return "it came to no end, as it did in the reference"
    if was.at_least and not now.at_least and measure.sign < 0:
        return ""  # any end is better than none
    room = margin * abs(was.number) + 1e-9 * max(1.0, abs(was.number))
    change = now.number - was.number
    worse = abs(change) if not measure.sign else -change * measure.sign
    return f"{change:+.4g} {measure.unit}".strip() if worse > room else ""


def _path(measure: Measure, stars: tuple[str, ...]) -> str:
    rest = iter(stars)
    return ".".join(next(rest) if part == "*" else part for part in measure.path.split("."))


def _words(value: Value) -> str:
    return f"{'>' if value.at_least else ''}{value.number:.6g}"


def reference_of(result: Result, references: Sequence[Result]) -> Result:
    """The one of the same strategy, seed and variables; a single reference is everyone's. Raises UserError."""
    for reference in references:
        if (reference.scheduler, reference.seed, reference.variables) == (
            result.scheduler,
            result.seed,
            result.variables,
        ):
            return reference
    if len(references) == 1:
        return references[0]
    raise UserError(
        "no reference record is of the same strategy and seed",
        found=name_of(result),
        expected="one of " + ", ".join(name_of(reference) for reference in references),
    )


def load_records(folders: Sequence[object]) -> list[Result]:
    from pathlib import Path

    return [from_record(Path(str(folder))) for folder in folders]
