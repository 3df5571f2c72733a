"""The round loop with strategies of our own: progress is kept, nothing is lost, wrong answers are told."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.jobs.adaptation import epoch_steps, exclusive_seconds, profile, profiled_batch_size
from harness.jobs.protocol import Boundary, Schedule
from harness.jobs.registry import STRATEGIES, load
from harness.jobs.rounds import run_rounds
from harness.measure.jobs import jain, summarize
from harness.model.errors import UserError
from harness.model.training import MODELS, Speeds, TrainingJob

SPEEDS = Speeds({("LM", batch, gang): 10.0 * gang for batch in (5, 10, 20, 40, 80) for gang in (1, 2, 4)}, {})


ROWS = st.tuples(st.integers(1, 30_000), st.sampled_from([1, 2, 4]), st.integers(0, 3000))
"""Steps, gang, arrival in seconds."""


def job(id: int, steps: int = 6000, gang: int = 1, arrival_s: float = 0.0, mode: str = "static") -> TrainingJob:
    return TrainingJob(id, "LM", 10, gang, mode, steps, arrival_s)


class OneAfterTheOther:
    def schedule(self, boundary: Boundary) -> Schedule:
        first = boundary.active[boundary.round % len(boundary.active)] if boundary.active else None
        return {first.id: tuple(range(first.gang))} if first else {}


def test_a_strangers_round_strategy_runs() -> None:
    record = run_rounds([job(0)], SPEEDS, 1, load(f"{__name__}:OneAfterTheOther")())
    assert record.completed_s == {0: 600.0}


def test_one_job_takes_its_steps_over_its_speed() -> None:
    """6000 steps at 10 a second: rounds of 1200 steps; the first round after the first two has no restart either."""
    record = run_rounds([job(0)], SPEEDS, 1, load("gandiva-fair")())
    assert record.completed_s == {0: 600.0}
    assert record.makespan_s == 600.0
    assert record.busy_s == {0: 600.0}


def test_a_job_that_comes_back_pays_for_its_restart_in_steps() -> None:
    """Two jobs in turn: each round of 120 s gives 1200 steps, less 20 s worth from the third boundary on."""
    record = run_rounds([job(0, 3000), job(1, 3000)], SPEEDS, 1, OneAfterTheOther())
    # Job 0: 1200 in round 0, then 1000 a round, charged, and the rest in a short one that is not charged.
    assert record.starts_s[:5] == [0.0, 120.0, 240.0, 360.0, 480.0]
    assert record.completed_s[0] == 480.0 + 80.0


@given(
    st.lists(ROWS, min_size=1, max_size=5),
    st.sampled_from([name for name in STRATEGIES.names() if "ecos" not in name]),
    st.integers(4, 6),
)
def test_every_job_ends_and_work_done_is_time_times_speed(
    rows: list[tuple[int, int, int]], strategy: str, gpus: int
) -> None:
    jobs = [job(at, steps, gang, float(arrival)) for at, (steps, gang, arrival) in enumerate(rows)]
    record = run_rounds(jobs, SPEEDS, gpus, load(strategy)())
    assert set(record.completed_s) == {each.id for each in jobs}
    summary = summarize(record)
    for each in jobs:
        # Nothing is done faster than alone; the last round's rounding to whole steps is below one step a round.
        assert summary.completion_s[each.id] >= each.steps / (10.0 * each.gang) - 1e-6
    assert sum(record.busy_s.values()) <= gpus * record.makespan_s + 1e-6


def test_exclusive_time_is_the_epochs_at_their_speed() -> None:
    # 59,675 samples in batches of 10: 5,967.5 batches an epoch at 10 a second.
    assert exclusive_seconds(job(0, steps=5968), SPEEDS) == pytest.approx(596.75)


def test_jain() -> None:
    assert jain([1.0, 1.0]) == 1.0
    assert jain([1.0, 0.0]) == 0.5


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({0: (0, 0)}, "given twice"),
        ({0: (0, 9)}, "no GPU 9, but 0 to 3"),
        ({0: (0,)}, "needs its whole gang"),
        ({7: (0,)}, "not active"),
    ],
)
def test_a_schedule_that_cannot_be_is_told(schedule: Schedule, told: str) -> None:
    class Wrong:
        def schedule(self, boundary: Boundary) -> Schedule:
            return schedule

    with pytest.raises(UserError, match=told):
        run_rounds([job(0, gang=2)], SPEEDS, 4, Wrong())


def test_what_can_never_run_is_told_at_once() -> None:
    with pytest.raises(UserError, match="can never run"):
        run_rounds([job(0, gang=4)], SPEEDS, 2, load("fifo")())
    with pytest.raises(UserError, match="speed of job 0 is not known"):
        run_rounds([job(0)], Speeds({}, {}), 2, load("fifo")())


def test_a_solver_that_is_not_there() -> None:
    with pytest.raises(UserError, match="no such solver"):
        load("max-min-fairness?solver=gurobi")()


@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(["static", "gns", "accordion"]),
    st.integers(0, 4),
    st.integers(1, 400),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_exclusive_time_adds_epoch_after_epoch(
    model: str, mode: str, power: int, epochs: int, thresholds: list[int]
) -> None:
    """To the last bit, as the published simulator adds them; batch sizes are looked up where they may change alone."""
    of = MODELS[model]
    batch = of.smallest_batch * 2**power
    speeds = Speeds(
        {(model, of.smallest_batch * 2**at, 1): 7.3 / (at + 1.1) for at in range(12)},
        {(model, batch, 1): tuple(thresholds)} if thresholds else {},
    )
    job = TrainingJob(0, model, batch, 1, mode, epochs * epoch_steps(model, batch), 0.0)
    sizes = [profiled_batch_size(job, speeds, epoch, epochs) for epoch in range(epochs)]
    total = 0.0
    for size in sizes:
        total += of.samples / size / speeds.steps_per_s[model, size, 1]
    assert exclusive_seconds(job, speeds) == total
    assert profile(job, speeds) == Counter(sizes)
