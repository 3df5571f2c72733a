"""Gangs of several sizes: what a size costs and gives, Optimus against a schedule worked out by hand, and no GPU left
that somebody could use."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment.run import Home, Run
from harness.experiment.strategies import load_strategy
from harness.jobs.protocol import Boundary, JobView, Schedule
from harness.jobs.registry import load
from harness.jobs.rounds import RoundLoop, RoundsRecord, run_rounds
from harness.measure.jobs import summarize
from harness.model.errors import UserError
from harness.model.training import Speeds, TrainingJob, read_training, training_text
from harness.scheduling.sandbox.round_guard import RoundGuard
from schedulers.rounds.elastic import sizes_by_gain
from tests.jobs.test_control_plane import scenario
from workloads.training import elastic, read_speeds, read_training_jobs

BY_SIZE = {1: 10.0, 2: 18.0, 4: 24.0}
SPEEDS = Speeds({("LM", 10, gang): speed for gang, speed in BY_SIZE.items()}, {})


def job(id: int, steps: int, gang: int = 1, arrival_s: float = 0.0) -> TrainingJob:
    return TrainingJob(id, "LM", 10, gang, "static", steps, arrival_s, (1, 2, 4))


def sizes(record: RoundsRecord) -> list[dict[int, int]]:
    return [{job: len(gpus) for job, gpus in schedule.items()} for schedule in record.schedules]


class Given:
    """Round r: so many GPUs for each job, as given."""

    def __init__(self, *rounds: dict[int, int]) -> None:
        self._rounds = rounds

    def schedule(self, boundary: Boundary) -> Schedule:
        out, first = {}, 0
        for each, gang in self._rounds[boundary.round].items():
            out[each] = tuple(range(first, first + gang))
            first += gang
        return out


def test_each_size_has_its_speed_and_another_one_costs_a_restart() -> None:
    """2160 steps with two GPUs, then 2880 with four, less 20 s of the 120 (2400); the rest, 840 steps, with one, at 10
    a second: a round that short is not charged."""
    record = run_rounds([job(0, 5400, gang=2)], SPEEDS, 4, Given({0: 2}, {0: 4}, {0: 1}, {}))
    assert record.starts_s == [0.0, 120.0, 240.0]
    assert record.completed_s == {0: 324.0}
    assert record.busy_s == {0: 120.0 + 100.0 + 84.0, 1: 220.0, 2: 100.0, 3: 100.0}
    assert summarize(record).resizes == 2


def test_a_size_that_the_job_does_not_allow_is_told() -> None:
    with pytest.raises(UserError, match="whole gang of 1 or 2 or 4 GPUs, and was given 3"):
        run_rounds([job(0, 4800)], SPEEDS, 4, Given({0: 3}))
    with pytest.raises(UserError, match=r"no entry LM\|10\|8"):
        run_rounds([TrainingJob(0, "LM", 10, 1, "static", 9, 0.0, (1, 8))], SPEEDS, 8, Given({0: 1}))


def test_a_job_is_not_late_because_it_had_fewer_gpus() -> None:
    """Six epochs of 5967.5 steps take 1492 s with the four GPUs that it asks for, and 3581 with one: more than the 1.5
    times as long after which a job is ended."""
    record = run_rounds([job(0, 35_808, gang=4)], SPEEDS, 4, Given(*[{0: 1}] * 30))
    assert record.completed_s[0] == pytest.approx(3580.8)


def test_optimus_by_hand() -> None:
    """Four GPUs. Each has one at first. A second would save job 1 267 s and job 0 80 s; two more for job 1 a further
    42 s each, but only one is left: job 0 has it, and is done after 100 s.

    At 120 s job 1 has 3840 steps left, and grows: 2880 in a round, of which the restart takes 480.
    """
    record = run_rounds([job(0, 1800), job(1, 6000)], SPEEDS, 4, load("optimus")())
    assert sizes(record) == [{0: 2, 1: 2}, {1: 4}, {1: 4}]
    assert record.schedules[0] == {0: (0, 1), 1: (2, 3)}
    assert record.completed_s == {0: 100.0, 1: 300.0}


def test_optimus_shrinks_gangs_for_those_that_come() -> None:
    """Job 0 has all four GPUs. Three come at 10 s: nobody shrinks for ten minutes, and then each has one."""
    jobs = [job(0, 100_000), *(job(at, 100_000, arrival_s=10.0) for at in (1, 2, 3))]
    found = sizes(run_rounds(jobs, SPEEDS, 4, load("optimus")()))
    assert found[:6] == [{0: 4}] * 5 + [{0: 1, 1: 1, 2: 1, 3: 1}]
    found = sizes(run_rounds(jobs, SPEEDS, 4, load("optimus?every_s=0")()))
    assert found[:2] == [{0: 4}, {0: 1, 1: 1, 2: 1, 3: 1}]


def test_a_size_that_is_slower_is_passed_over() -> None:
    """Measured so for LM at batch size 5 on V100s: 133.8, 125.6 and 198.9 steps a second on 1, 2 and 4."""
    view = JobView(0, 1, 0.0, 1000, 133.8, speeds=((1, 133.8), (2, 125.6), (4, 198.9)))
    assert sizes_by_gain([view], 3, {}) == {0: 1}
    assert sizes_by_gain([view], 4, {}) == {0: 4}


def test_a_bad_interval_is_told() -> None:
    with pytest.raises(UserError, match="no such interval"):
        load("optimus?every_s=-1")()


TABLES = st.dictionaries(st.sampled_from([1, 2, 3, 4, 6, 8]), st.integers(1, 50), min_size=1, max_size=4)


@given(st.lists(st.tuples(TABLES, st.integers(1, 10_000)), min_size=1, max_size=8), st.integers(1, 16))
def test_optimus_leaves_no_gpu_that_somebody_could_use(rows: list[tuple[dict[int, int], int]], gpus: int) -> None:
    """Nobody waits whose least size fits, and nobody who runs would be faster with what is left."""
    views = [
        JobView(at, min(table), 0.0, steps, float(table[min(table)]), (), tuple(sorted(table.items())))
        for at, (table, steps) in enumerate(rows)
    ]
    found = sizes_by_gain(views, gpus, {})
    free = gpus - sum(found.values())
    assert free >= 0
    for view in views:
        if view.id not in found:
            assert min(view.sizes) > free
            continue
        speed = view.sizes[found[view.id]]
        assert not any(faster > speed and size - found[view.id] <= free for size, faster in view.sizes.items())


@given(
    st.lists(
        st.tuples(st.integers(1, 30_000), st.sampled_from([1, 2, 4]), st.integers(0, 3000)), min_size=1, max_size=5
    ),
    st.sampled_from(["optimus", "optimus?every_s=0", "srtf", "gandiva-fair", "tiresias"]),
)
def test_work_is_conserved_at_every_boundary(rows: list[tuple[int, int, int]], strategy: str) -> None:
    """Every job ends, its steps are time times the speed of the size that it had, and restarts are all that is more."""
    jobs = [job(at, steps, gang, float(arrival)) for at, (steps, gang, arrival) in enumerate(rows)]
    loop = RoundLoop(SPEEDS, 4, load(strategy)())
    for each in jobs:
        loop.submit(each)
    gained = dict.fromkeys(range(len(jobs)), 0.0)
    running = loop.step()
    while running:
        runs, active = dict(loop.runs), set(loop.book.active)
        if strategy.startswith("optimus") and active:
            assert sum(len(run.gpus) for run in runs.values()) == 4, "each of these is faster on all that is left"
        running = loop.step()
        for told in loop.settlements:
            gained[told.job] += told.elapsed_s * BY_SIZE[len(runs[told.job].gpus)]
    assert loop.record.completed_s.keys() == gained.keys()
    for each in jobs:
        rounds = sum(each.id in schedule for schedule in loop.record.schedules)
        assert -1e-6 <= gained[each.id] - each.steps < rounds + 1e-6, "rounded down to whole steps in each round"


def test_what_ran_at_a_size_that_its_new_batch_size_does_not_have_waits() -> None:
    """A strategy at fault: what ran goes on, where it may."""
    guard = RoundGuard(Given(), lambda at_s, fault: None, None)
    views = [
        JobView(0, 1, 0.0, 9, 1.0, (0, 1), ((1, 1.0), (2, 2.0))),
        JobView(1, 1, 0.0, 9, 1.0, (2, 3), ((1, 1.0), (4, 2.0))),
    ]
    assert guard.schedule(Boundary(0, 0.0, 4, (), (), views)) == {0: (0, 1)}


def test_the_annotation_and_the_trace_name_sizes(tmp_path: Path) -> None:
    text = training_text(job(3, 70, gang=2))
    assert text == '{"id":3,"model":"LM","batchSize":10,"mode":"static","steps":70,"sizes":[1,2,4]}'
    assert read_training(text, 2, 0.0) == job(3, 70, gang=2)
    with pytest.raises(ValueError, match="without the gang of 3"):
        read_training(text, 3, 0.0)
    (tmp_path / "t.csv").write_text(
        "job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s,sizes\n"
        "0,LM,10,2,static,70,0,1/2/4\n1,LM,10,2,static,70,0,\n"
    )
    found = read_training_jobs(tmp_path / "t.csv")
    assert [each.sizes for each in found] == [(1, 2, 4), ()]
    assert [elastic(each, (1, 4, 8), SPEEDS).sizes for each in found] == [(1, 2, 4), (1, 2, 4)]
    for wrong in ("4/2", "1/4", "1/x/2"):
        (tmp_path / "t.csv").write_text(
            f"job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s,sizes\n0,LM,10,2,static,70,0,{wrong}\n"
        )
        with pytest.raises(UserError, match="sizes are"):
            read_training_jobs(tmp_path / "t.csv")


def test_sizes_change_in_a_cluster_with_latencies(tmp_path: Path) -> None:
    """The Jobs are Indexed, and their parallelism and completions follow the gang. With what hops take it is later."""
    training = {"path": "jobs.csv", "speeds": "speeds.json", "elastic": [1, 2]}
    loaded = scenario(tmp_path, workload=[{"training": training}])
    run = Run(loaded, load_strategy(loaded, "optimus")(), 0, Home())
    seen: set[tuple[str, int, int]] = set()
    run.cluster.server.listeners.append(
        lambda kind, change, obj, old, revision: (
            seen.add((obj.metadata.name, obj.spec.parallelism, obj.spec.completions)) if kind.kind == "Job" else None
        )
    )
    try:
        run.play()
        assert run.measures.rounds is not None
        assert run.cluster.component_faults == []
        record = run.measures.rounds.record
        assert sorted(record.completed_s) == [0, 1, 2, 3]
        assert {gang for _, gang, _ in seen} == {1, 2}
        assert all(gang == completions for _, gang, completions in seen)
        assert run.measures.rounds.metrics(record.makespan_s)["resizes"] > 0
        jobs = [elastic(each, (1, 2), read_speeds(tmp_path / "speeds.json")) for each in run_jobs(tmp_path)]
        alone = run_rounds(jobs, read_speeds(tmp_path / "speeds.json"), 3, load("optimus")())
        assert record.makespan_s > alone.makespan_s
    finally:
        run.close()


def run_jobs(folder: Path) -> tuple[TrainingJob, ...]:
    return read_training_jobs(folder / "jobs.csv")
