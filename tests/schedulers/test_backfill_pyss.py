"""Start times of rigid jobs as another simulator has them: pyss, of the Hebrew University.

`pyss_starts.json` holds facts: drawn jobs (submit time, processors, run time, estimate) and the instants at which its
EasyBackfillScheduler and ConservativeScheduler (commit 44a2423 of its mirror dinesh121991/pyss) started them. No two
events of a case are at one instant: there pyss decides submission by submission, before it takes off who ends, and we
decide once for all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schedulers.backfill import conservative, easy
from tests.schedulers.jobs_over_time import Machine

FACTS = json.loads(Path(__file__).with_name("pyss_starts.json").read_text())


@pytest.mark.parametrize("case", FACTS, ids=lambda case: f"{case['strategy']}-{len(case['jobs'])}")
@pytest.mark.parametrize("gangs", [False, True], ids=["one node", "gangs"])
def test_each_job_starts_when_pyss_starts_it(case: dict[str, Any], gangs: bool) -> None:
    processors = case["processors"]
    machine = Machine(processors) if gangs else Machine(1, processors * 1000)
    for at, (submit_s, wide, takes_s, says_s) in enumerate(case["jobs"]):
        pods, cpu = (wide, 1000) if gangs else (1, wide * 1000)
        machine.job(str(at), pods, takes_s, submit_s, says_s=says_s, cpu=cpu)
    strategy = easy() if case["strategy"] == "easy" else conservative()
    found = machine.starts(strategy, 1e9)
    assert [found[str(at)] for at in range(len(case["jobs"]))] == case["starts"]
