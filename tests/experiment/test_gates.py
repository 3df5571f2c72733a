"""Gates: what they are about is known before the run, and a lower bound passes none that asks for little."""

from __future__ import annotations

from typing import Any

import pytest

from harness.experiment.gate_checks import not_worse
from harness.experiment.gates import failed_gates
from harness.experiment.result import Result
from harness.experiment.run import Home, Run, run_once
from harness.measure.shipped import shipped
from harness.model.errors import UserError
from harness.scheduling.registry import load
from tests.experiment.scenarios import loaded


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ({"metric": "placement.alocation.gpu", "atLeast": 0.5}, "placement.allocation.gpu"),
        ({"metric": "recovery.0.phases.served.last", "atMost": 5}, "no such measure"),
        ({"metric": "placement.podsBound"}, "asks for nothing"),
    ],
)
def test_a_gate_that_cannot_be_is_told_before_the_run(gate: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        Run(loaded(duration="1m", gates=[gate]), load("greedy")(), 1, Home())
    assert "spec.gates[0]" in str(error.value)


def test_a_gate_on_what_did_not_come_about_is_missed() -> None:
    """No fault, so nothing serves again."""
    spec = loaded(duration="1m", gates=[{"metric": "recovery.0.phases.serving.last", "atMost": 400}])
    (text,) = run_once(spec, "greedy", 1).missed
    assert "this run has no such number" in text


def test_a_lower_bound_is_not_at_most_anything() -> None:
    metrics = {"placement": {"pendingSeconds": {"p50": 3.0, "max": 90.0, "atLeast": ["max"]}}}
    for path, passes in (("p50", True), ("max", False)):
        spec = loaded(duration="1m", gates=[{"metric": f"placement.pendingSeconds.{path}", "atMost": 100}])
        assert (failed_gates(spec, metrics) == []) is passes
    spec = loaded(duration="1m", gates=[{"metric": "placement.pendingSeconds.max", "atLeast": 50}])
    assert failed_gates(spec, metrics) == []


def test_a_star_demands_it_of_all() -> None:
    metrics = {"requests": {"d/a": {"lostShare": 0.1}, "d/b": {"lostShare": 0.3}}}
    spec = loaded(duration="1m", gates=[{"metric": "requests.*.lostShare", "atMost": 0.2}])
    assert failed_gates(spec, metrics) == ["requests.d/b.lostShare is 0.3, not at most 0.2"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_passes_no_gate(value: float) -> None:
    """Compared with a limit it was neither above nor below."""
    metrics = {"placement": {"nodesUsed": value}}
    for limit in ({"atMost": 100}, {"atLeast": 1}, {"atMost": 100, "atLeast": 1}):
        spec = loaded(duration="1m", gates=[{"metric": "placement.nodesUsed", **limit}])
        assert failed_gates(spec, metrics) == [f"placement.nodesUsed is {value:g}, which is no usable number"]


@pytest.mark.parametrize(
    ("path", "was", "now", "ok"),
    [
        ("placement.pendingSeconds.mean", (5.0, False), (5.0, False), True),
        ("placement.pendingSeconds.mean", (5.0, False), (5.0, True), False),
        ("placement.pendingSeconds.mean", (5.0, True), (50.0, False), True),  # it was said to be worse: +45
        ("placement.pendingSeconds.mean", (5.0, False), (float("nan"), False), False),
        ("placement.pendingSeconds.mean", (float("nan"), False), (5.0, False), False),
        ("jobs.goodputShare.gpu", (0.5, False), (0.6, True), True),  # 0.6 at least
        ("jobs.goodputShare.gpu", (0.5, True), (0.4, False), False),
    ],
)
def test_not_worse_than_a_reference(path: str, was: tuple[float, bool], now: tuple[float, bool], ok: bool) -> None:
    def result(value: tuple[float, bool]) -> Result:
        *parents, leaf = path.split(".")
        found: dict[str, Any] = {leaf: value[0], **({"atLeast": [leaf]} if value[1] else {})}
        for name in reversed(parents):
            found = {name: found}
        return Result("s", "greedy", 1, "", found, [], [], {})

    (check,) = not_worse(result(now), result(was), [shipped().get(path)], 0.01)
    assert check.ok is ok, check
