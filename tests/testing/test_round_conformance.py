"""The conformance kit for round strategies names what is wrong with one, and passes those that come along; a run under
one that is wrong goes on without it, and counts its faults.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.jobs.registry import STRATEGIES, load
from harness.testing.conformance import Verdict
from harness.testing.rounds import PROPERTIES, example, verdicts

BAD = "tests.testing.bad_rounds"


def broken(name: str, *, elsewhere: bool = False) -> dict[str, str]:
    """What is wrong by property. `elsewhere`: it is asked in other processes too, for the hash seed."""
    spec, deadline_s = f"{BAD}:{name}", 0.3 if name == "Endless" else 5.0
    found = verdicts(load(spec), spec=spec if elsewhere else None, examples=12, deadline_s=deadline_s)
    return {verdict.name: verdict.reason for verdict in found if verdict.ok is False}


@pytest.mark.parametrize("name", [name for name in STRATEGIES.names() if "ecos" not in name])
def test_those_that_come_along_conform(name: str) -> None:
    found = list(verdicts(load(name), spec=None, examples=6))
    assert [(v.name, v.reason) for v in found if v.ok is False] == []
    assert [v.name for v in found] == list(PROPERTIES)


def test_a_good_one_conforms_in_each_property() -> None:
    found = list(verdicts(load(f"{BAD}:Good"), spec=f"{BAD}:Good", examples=6))
    assert found == [Verdict(name, True) for name in PROPERTIES]


@pytest.mark.parametrize(
    ("name", "property_", "reason"),
    [
        ("Raises", "legality", "raised: KeyError"),
        ("Exits", "legality", "raised: SystemExit"),
        ("Endless", "deadline", "took longer than 0.3 s"),
        ("AnswersNothing", "legality", "no decision: schedule() answers with GPUs by job, not None"),
        ("HalfGangs", "legality", "needs its whole gang of"),
        ("Twice", "legality", "is given twice"),
        ("Beyond", "legality", "there is no GPU"),
        ("Unusable", "legality", "is not usable now"),
        ("Gone", "legality", "is not active"),
        ("Writes", "purity", "it changed what it was shown"),
        ("OneGpuJobsOnly", "liveness", "is not complete after"),
        ("GlobalRandom", "purity", "module random"),
        ("NumpyRandom", "purity", "numpy.random"),
        ("Clock", "determinism", "at another time of day"),
        ("Remembers", "determinism", "twice the same"),
    ],
)
def test_what_is_wrong_is_named(name: str, property_: str, reason: str) -> None:
    found = broken(name)
    assert reason in found[property_]


def test_an_order_by_hash_is_named() -> None:
    assert set(broken("Hashes", elsewhere=True)) == {"hash seed"}


def test_examples_have_gangs_arrivals_and_gpus_that_fail() -> None:
    some = [example(index) for index in range(12)]
    assert {job.gang for on in some for job in on.jobs} == {1, 2, 4}
    assert any(job.arrival_s > 1000 for on in some for job in on.jobs)
    assert any(gpus for on in some for gpus in on.down)


SCENARIO = """
apiVersion: podyard.dev/v1
kind: Scenario
metadata: {name: rounds}
spec:
  nodes:
    - group: {name: gpu, count: 2, cpu: 8, memory: 32Gi, gpus: 1}
  workload:
    - training: {path: trace.csv, speeds: speeds.json}
  schedulers: [srtf]
  bound: false
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    rows = ["job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s", "0,LM,10,1,static,3000,0"]
    (tmp_path / "trace.csv").write_text("\n".join([*rows, "1,LM,10,1,static,3000,10"]) + "\n")
    (tmp_path / "speeds.json").write_text('{"LM|10|1": 10.0}')
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    return tmp_path / "scenario.yaml"


def test_a_run_goes_on_after_a_fault_and_counts_it(scenario: Path) -> None:
    """What ran runs on for the round at whose boundary it raised."""
    result = run_once(read_scenario(scenario), f"{BAD}:Raises", 1, journal=False)
    assert [(kind, reason[:8]) for _, kind, _, reason in result.violations] == [("raised", "KeyError")]
    assert result.metrics["jobs"]["count"] == 2
    assert result.metrics["jobs"]["censored"] == 0


def test_a_schedule_that_cannot_be_is_counted_and_what_ran_runs_on(scenario: Path) -> None:
    """Job 0 runs alone, both get the same GPU while both are there, and job 1 comes when job 0 is complete."""
    result = run_once(read_scenario(scenario), f"{BAD}:Twice", 1, journal=False)
    assert {(kind, reason) for _, kind, _, reason in result.violations} == {
        ("illegal schedule", "job 1: GPU 0 is given twice")
    }
    assert result.metrics["jobs"]["censored"] == 0


@pytest.mark.parametrize("name", ["Exits", "AnswersNothing"])
def test_a_run_under_one_that_is_never_right_ends_and_says_so(scenario: Path, name: str) -> None:
    result = run_once(read_scenario(scenario), f"{BAD}:{name}", 1, journal=False)
    assert result.violations[-1][3].startswith("asked no more: 10 boundaries in a row")
    assert result.metrics["jobs"]["censored"] == 2
    assert not result.component_faults
