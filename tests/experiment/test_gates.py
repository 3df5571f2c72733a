"""Gates: what they are about is known before the run, and a lower bound passes none that asks for little."""

from __future__ import annotations

import pytest

from harness.experiment.gates import failed_gates
from harness.experiment.run import Home, Run, run_once
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
