"""Gates: what a scenario demands of a run's measures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.experiment.forms import Gate
from harness.experiment.scenario import LoadedScenario
from harness.measure.catalogue import Measure, Value, number_paths
from harness.measure.registry import catalogue, extras
from harness.measure.statistics import usable


def check_gates(loaded: LoadedScenario) -> None:
    """Raises UserError for a measure that is none, and for a gate or a comparison on one that no run can have; before
    anything runs."""
    spec = loaded.scenario.spec
    for index in range(len(spec.measures)):
        with loaded.told_at(f"spec.measures[{index}]"):
            extras(spec.measures[: index + 1])
    asked = [(f"spec.gates[{index}].metric", gate.metric) for index, gate in enumerate(spec.gates)]
    asked += [(f"spec.compare.primary[{index}]", path) for index, path in enumerate(spec.compare.primary)]
    if isinstance(spec.compare.within, dict):
        asked += [(f"spec.compare.within[{path}]", path) for path in spec.compare.within]
    if not asked:
        return
    with loaded.told_at("spec.measures"):
        known = catalogue(spec.measures)
    for where, path in asked:
        with loaded.told_at(where):
            known.get(path)


def failed_gates(loaded: LoadedScenario, metrics: dict[str, Any]) -> list[str]:
    """Gates that the run did not pass, in words. One on a number that this run has not is missed."""
    return [text for gate in loaded.scenario.spec.gates for text in gate_misses(gate, metrics)]


def gate_misses(gate: Gate, metrics: dict[str, Any]) -> Iterator[str]:
    """In words, for each number that the gate is about. A lower bound has not shown to be at most anything."""
    values = at(metrics, gate.metric)
    if not values:
        yield f"{gate.metric} is not there: this run has no such number"
    for path, value in values.items():
        if not usable(value.number):
            yield f"{path} is {value.number:g}, which is no usable number"
            continue
        mark = ">" if value.at_least else ""
        if gate.at_least is not None and value.number < gate.at_least:
            yield f"{path} is {mark}{value.number:g}, not at least {gate.at_least:g}"
        if gate.at_most is not None and (value.number > gate.at_most or value.at_least):
            yield f"{path} is {mark}{value.number:g}, not at most {gate.at_most:g}"


def at(metrics: dict[str, Any], pattern: str) -> dict[str, Value]:
    """The numbers that a path with or without stars leads to, by path, as they stand in the record."""
    wanted = Measure(pattern, "", "", "neither", "")
    return {path: Value(number, at_least) for path, number, at_least in number_paths(metrics) if wanted.matches(path)}
