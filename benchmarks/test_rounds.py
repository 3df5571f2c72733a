"""Training jobs in rounds: the round loop alone, and through API server, Job controller, binding and kubelets.

Jobs are drawn with the sizes of gangs of Shockwave's traces (60, 30, 9 and 1 % of 1, 2, 4 and 8 GPUs), and of five
minutes to hours of work each. Full: 900 jobs on 256 GPUs.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.notes import FULL, note
from harness.experiment.run import run_once
from harness.experiment.scenario import find_scenario, read_scenario
from harness.jobs.registry import load
from harness.jobs.rounds import run_rounds
from workloads.training import read_speeds, read_training_jobs

JOBS, GPUS = (900, 256) if FULL else (40, 16)
STEPS_PER_S = {1: 10.0, 2: 18.0, 4: 33.0, 8: 60.0}


@pytest.fixture
def workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with trace and speeds, named as the scenario `shockwave` names them."""
    rng = Random("rounds")
    rows = ["job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s"]
    at_s = 0.0
    for job in range(JOBS):
        gang = rng.choices((1, 2, 4, 8), (60, 30, 9, 1))[0]
        minutes = 5 * 2 ** rng.uniform(0, 5)
        rows.append(f"{job},LM,10,{gang},static,{int(STEPS_PER_S[gang] * 60 * minutes)},{at_s!r}")
        at_s += rng.expovariate(JOBS / 18_000)
    (tmp_path / f"trace_{JOBS}.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "drawn_v100.json").write_text(json.dumps({f"LM|10|{gang}": v for gang, v in STEPS_PER_S.items()}))
    (tmp_path / "gns_thresholds.json").write_text("{}")
    monkeypatch.setenv("PODYARD_TRACES", str(tmp_path))
    return tmp_path


@pytest.mark.benchmark(group="rounds")
@pytest.mark.parametrize("strategy", ["gandiva-fair", "max-min-fairness", "tiresias"])
def test_the_round_loop(benchmark: Any, workload: Path, strategy: str) -> None:
    jobs = read_training_jobs(workload / f"trace_{JOBS}.csv")
    speeds = read_speeds(workload / "drawn_v100.json", workload / "gns_thresholds.json")
    record = benchmark.pedantic(lambda: run_rounds(jobs, speeds, GPUS, load(strategy)()), rounds=1)
    assert len(record.completed_s) == JOBS
    note(benchmark, rounds_per_second=lambda s: round(len(record.starts_s) / s))


@pytest.mark.benchmark(group="rounds")
def test_rounds_through_the_control_plane(benchmark: Any, workload: Path) -> None:
    """From reading the trace to the measures."""
    variables = {"jobs": JOBS, "gpus": GPUS, "speeds": "drawn"}
    loaded = read_scenario(
        find_scenario("shockwave"), {f"spec.variables.{key}": f"[{v}]" for key, v in variables.items()}
    )
    result = benchmark.pedantic(lambda: run_once(loaded, "gandiva-fair", 1, journal=False), rounds=1)
    assert result.metrics["jobs"]["count"] == JOBS
    assert result.metrics["jobs"]["censored"] == 0
    assert not result.violations
    note(benchmark, jobs_per_second=lambda s: round(JOBS / s))
