"""What a job keeps of a round in which its gang was broken: its work up to the last checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment.run import run_once
from harness.experiment.scenario import read_scenario
from harness.jobs.book import RoundRules
from harness.jobs.protocol import Boundary, Schedule
from harness.jobs.registry import load
from harness.jobs.rounds import RoundLoop
from harness.model.training import Speeds, TrainingJob

SPEEDS = Speeds({("LM", 10, 1): 10.0}, {})


class Turns:
    """One GPU, the jobs in turn, in the order that `order` says."""

    def __init__(self, order: list[int]) -> None:
        self.order = order

    def schedule(self, boundary: Boundary) -> Schedule:
        wanted = self.order[boundary.round] if boundary.round < len(self.order) else 0
        here = [job.id for job in boundary.active]
        return {wanted if wanted in here else here[0]: (0,)} if here else {}


def loop(order: list[int], checkpoint_s: int) -> RoundLoop:
    made = RoundLoop(SPEEDS, 1, Turns(order), RoundRules(checkpoint_s=checkpoint_s))
    for job in range(2):
        made.submit(TrainingJob(job, "LM", 10, 1, "static", 6000, 0.0))
    return made


@pytest.mark.parametrize(
    ("checkpoint_s", "broken_s", "kept_s"),
    [(0, 100.0, 0), (30, 100.0, 90), (30, 29.0, 0), (60, 119.0, 60), (7, 50.0, 49)],
)
def test_a_broken_gang_keeps_what_its_last_checkpoint_has(checkpoint_s: int, broken_s: float, kept_s: float) -> None:
    """10 steps a second, in a first round, which has no restart."""
    rounds = loop([0, 0], checkpoint_s)
    rounds.step()
    rounds.interrupt(0, broken_s)
    rounds.step()
    (settlement,) = rounds.settlements
    assert (settlement.elapsed_s, settlement.lost_s) == (kept_s, broken_s - kept_s)
    assert rounds.book.active[0].done == 10 * kept_s


def test_a_restart_comes_before_the_first_checkpoint() -> None:
    """Job 1 comes for the first time at the third boundary, and needs 20 s to start: of 100 s are 80 of work, and 60 of
    these are in its checkpoints of 30 s."""
    rounds = loop([0, 0, 1], checkpoint_s=30)
    for _ in range(3):
        rounds.step()
    rounds.interrupt(1, 240.0 + 100.0)
    rounds.step()
    (settlement,) = rounds.settlements
    assert (settlement.job, settlement.elapsed_s, settlement.lost_s) == (1, 60.0, 40.0)
    assert rounds.book.active[1].done == 600


@given(
    st.lists(st.tuples(st.integers(0, 1), st.none() | st.floats(0.0, 119.0)), min_size=1, max_size=12),
    st.sampled_from([0, 1, 13, 30, 60, 500]),
)
def test_work_kept_and_lost_is_the_time_on_the_gpu(turns: list[tuple[int, float | None]], checkpoint_s: int) -> None:
    """Of each round, seconds kept, seconds lost and a restart of at most 20 s are the seconds that it ran; the steps
    that are done are the seconds kept times the speed, but for what is rounded to whole steps."""
    rounds = loop([job for job, _ in turns], checkpoint_s)
    going_on = rounds.step()
    for _, broken in turns:
        if not going_on:
            return
        start = rounds.record.starts_s[-1]
        ((job, run),) = rounds.runs.items()
        entry = rounds.book.active[job]
        before, ran = entry.done, run.finish_s - start
        if broken is not None and broken < ran:
            rounds.interrupt(job, start + broken)
            ran = (start + broken) - start
        going_on = rounds.step()
        (settlement,) = rounds.settlements
        assert -1e-6 <= ran - settlement.elapsed_s - settlement.lost_s <= 20 + 1e-6
        assert -2 <= entry.done - before - 10 * settlement.elapsed_s <= 1e-6


SCENARIO = """
apiVersion: podyard.dev/v1
kind: Scenario
metadata: {name: checkpoints}
spec:
  nodes:
    - group: {name: gpu, count: 2, cpu: 8, memory: 32Gi, gpus: 1}
  workload:
    - training: {path: trace.csv, speeds: speeds.json, checkpoint: CHECKPOINT}
  faults:
    - {at: 5m, nodeCrash: {select: {names: [gpu-0]}, downFor: 3m}}
  schedulers: [srtf]
  bound: false
"""


def test_a_crash_costs_less_with_checkpoints(tmp_path: Path) -> None:
    """Through the whole control plane: the node of a running job crashes in the middle of a round."""
    rows = ["job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s"]
    (tmp_path / "trace.csv").write_text(
        "\n".join([*rows, *(f"{job},LM,10,1,static,9000,0" for job in range(2))]) + "\n"
    )
    (tmp_path / "speeds.json").write_text('{"LM|10|1": 10.0}')
    lost = {}
    for checkpoint in ("0s", "10s"):
        (tmp_path / "checkpoints.yaml").write_text(SCENARIO.replace("CHECKPOINT", checkpoint))
        result = run_once(read_scenario(tmp_path / "checkpoints.yaml"), "srtf", 1, journal=False)
        assert not result.violations
        assert result.metrics["jobs"]["censored"] == 0
        lost[checkpoint] = result.metrics["jobs"]["lostSeconds"]
    assert 0 < lost["10s"] < lost["0s"]


def test_the_shipped_strategies_end_with_checkpoints() -> None:
    rounds = RoundLoop(SPEEDS, 1, load("tiresias")(), RoundRules(checkpoint_s=10))
    rounds.submit(TrainingJob(0, "LM", 10, 1, "static", 3000, 0.0))
    rounds.step()
    rounds.interrupt(0, 55.0)
    while rounds.step():
        pass
    assert rounds.record.completed_s[0] == pytest.approx(55.0 + 250.0)
