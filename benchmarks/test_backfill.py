"""A log of rigid jobs on 128 processors under EASY backfilling, through API server, scheduler and kubelet.

The log is drawn (workloads.generators.lublin) at a load of 70 %; the machine is one node, so that a job is a pod.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.notes import FULL, note
from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from workloads.generators.lublin import LublinLog, lines

JOBS = 18_000 if FULL else 150

SCENARIO = """
apiVersion: podyard.dev/v1
kind: Scenario
metadata: {name: batch-machine}
spec:
  nodes:
    - group: {name: node, count: 1, cpu: 128, memory: 512Gi}
  workload:
    - trace: {path: log.swf, format: swf}
  scheduling: {lifetimes: true}
  schedulers: [easy]
  bound: false
"""


@pytest.mark.benchmark(group="backfill")
@pytest.mark.parametrize("strategy", ["easy", "greedy"])
def test_a_log_of_rigid_jobs(benchmark: Any, tmp_path: Path, strategy: str) -> None:
    """From reading the log to the measures; `greedy` for what the rest costs."""
    (tmp_path / "log.swf").write_text("".join(f"{line}\n" for line in lines(LublinLog(JOBS, 128, 70))))
    path = tmp_path / "batch-machine.yaml"
    path.write_text(SCENARIO)
    loaded = read_scenario(path)
    result = benchmark.pedantic(lambda: run_once(loaded, strategy, 1, journal=False), rounds=1)
    assert result.metrics["jobs"]["count"] == JOBS
    assert not result.violations
    note(benchmark, jobs_per_second=lambda s: round(JOBS / s))
