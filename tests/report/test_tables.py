"""What is printed of a run in which something went wrong: each thing under its own name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.experiment.result import from_record
from harness.experiment.run import run_once
from harness.measure.registry import catalogue
from harness.report.tables import AtLeast, _cell, print_results, print_table, sweep_rows
from tests.experiment.scenarios import loaded

LAZY = {"podyard.dev/arrival": "1s"}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "nowhere", "annotations": LAZY},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


def test_what_went_wrong_is_told_by_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = loaded(duration="30s", workload=[{"objects": [POD]}])
    result = run_once(small, "greedy", 1, out=tmp_path)
    assert not result.ok
    assert result.broken == []
    assert from_record(tmp_path / "small" / "greedy" / "1").refused == result.refused
    fault = "component x-controller failed on Pod d/a: KeyError: 'k' (in harness.x.reconcile, line 7)"
    print_results(small, [replace(result, broken=["pod d/b lost"], component_faults=[fault])])
    told = capsys.readouterr().out
    assert "INVARIANT BROKEN  greedy/1: pod d/b lost" in told
    assert f"COMPONENT FAILED  greedy/1: {fault}"[:100] in told
    assert "started again" in told
    assert 'REFUSED BY THE API SERVER  greedy/1: namespaces "nowhere" not found' in told


def test_six_seeds_have_an_interval_and_five_a_deviation() -> None:
    assert _cell([1.0], 1) == "1.0"
    assert _cell([-0.001, -0.002], 1) == "0.0 ±0.0"
    assert _cell([1.0, 3.0], 1) == "2.0 ±1.4"
    assert _cell([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1) == "3.5 [1.0, 6.0]"
    assert _cell([AtLeast(9.0), 2.0, 3.0, 4.0, 5.0, 6.0], 1).startswith(">4.8 ±")


@pytest.mark.parametrize(("lasts", "left"), [("5s", set()), ("1h", {"CPU at end, %"})])
def test_a_sweep_has_no_column_of_what_is_allocated_when_all_has_ended(lasts: str, left: set[str]) -> None:
    metadata = {"name": "a", "namespace": "default", "annotations": {**LAZY, "podyard.dev/duration": lasts}}
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    spec = {"restartPolicy": "Never", "containers": [container]}
    one = loaded(duration="30s", workload=[{"objects": [{**POD, "metadata": metadata, "spec": spec}]}])
    columns, rows = sweep_rows([run_once(one, "greedy", 1)], catalogue(()))
    assert {column for column in columns if "at end" in column} == left
    assert "wait for a node, mean, s" in columns
    assert len(rows[0]) == len(columns)


def test_the_name_of_a_strategy_stays_whole_in_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    """It was `least-allocat` and, in the next line, `ed`, as if by another name."""
    columns = ("rps", "nodes", "strategy", *(f"measure {index}, mean, s" for index in range(9)))
    print_table("", columns, [("200", "3", "least-allocated", *["100.25 ±12.00"] * 9)])
    assert "least-allocated" in capsys.readouterr().out


def test_a_long_verdict_leaves_the_name_of_its_measure_whole(capsys: pytest.CaptureFixture[str]) -> None:
    name, verdict = "completion time, mean, s", "masked_ppo.py:scheduler is better, but equivalent within 1 %"
    row = (name, "398.13", "395.98", "-2.149", "-4.014 .. -0.6563", "0.002", verdict)
    print_table("", ("", "random", "masked_ppo.py:scheduler", "difference", "95 % interval", "p", "verdict"), [row])
    assert name in capsys.readouterr().out
