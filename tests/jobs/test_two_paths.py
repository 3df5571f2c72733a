"""The round loop by itself and the whole control plane with the shortest hops give the same rounds, to the last bit: on
traces that nobody published, drawn as the published ones are (gangs of 1 to 8, three modes, bursts of arrivals).
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from harness.experiment.run import Home, Run
from harness.experiment.scenario import find_scenario, read_scenario
from harness.jobs.adaptation import exclusive_seconds
from harness.jobs.registry import load
from harness.jobs.rounds import run_rounds
from harness.model.training import MODELS
from workloads.training import elastic, read_speeds, read_training_jobs

GPUS = 12
COLUMNS = "job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s"


def write_trace(folder: Path, seed: int, jobs: int = 24) -> None:
    """Speeds of many digits, so that the order of sums shows; arrivals in whole seconds, some at one instant."""
    rng = Random(f"two paths/{seed}")
    speeds, doublings = {}, {}
    for model, of in MODELS.items():
        batch = of.smallest_batch
        while batch <= of.largest_batch:
            for gang in (1, 2, 4, 8):
                speeds[f"{model}|{batch}|{gang}"] = rng.uniform(3.0, 60.0) * gang**0.8 * 16 / batch**0.5
                doublings[f"{model}|{batch}|{gang}"] = sorted(rng.sample(range(1, 60), 2))
            batch *= 2
    (folder / "own_v100.json").write_text(json.dumps(speeds))
    (folder / "gns_thresholds.json").write_text(json.dumps(doublings))
    rows, arrival = [COLUMNS], 0
    for job in range(jobs):
        model = rng.choice(list(MODELS))
        batch = MODELS[model].smallest_batch * 2 ** rng.randint(0, 2)
        gang = rng.choice((1, 1, 1, 2, 2, 4, 8))
        seconds = rng.choice((30, 300, 1500, 4000))
        steps = max(1, int(seconds * speeds[f"{model}|{batch}|{gang}"]))
        rows.append(f"{job},{model},{batch},{gang},{rng.choice(('static', 'accordion', 'gns'))},{steps},{arrival}")
        arrival += rng.choice((0, 0, 7, 60, 119, 120, 500))
    (folder / f"trace_{seed}.csv").write_text("".join(f"{row}\n" for row in rows))


@pytest.mark.parametrize(
    ("strategy", "seed"),
    [
        ("gandiva-fair", 1),
        ("srtf", 2),
        ("optimus", 7),
        pytest.param("optimus?every_s=0", 8, marks=pytest.mark.slow),
        pytest.param("tiresias", 3, marks=pytest.mark.slow),
        pytest.param("allox", 4, marks=pytest.mark.slow),
        pytest.param("isolated-plus", 5, marks=pytest.mark.slow),
        pytest.param("gandiva-fair", 6, marks=pytest.mark.slow),
    ],
)
def test_both_give_the_same_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, seed: int) -> None:
    write_trace(tmp_path, seed)
    jobs = list(read_training_jobs(tmp_path / f"trace_{seed}.csv"))
    speeds = read_speeds(tmp_path / "own_v100.json", tmp_path / "gns_thresholds.json")
    assert all(exclusive_seconds(job, speeds) > 0 for job in jobs)
    sizes = (1, 2, 4, 8) if strategy.startswith("optimus") else ()
    jobs = [elastic(job, sizes, speeds) for job in jobs] if sizes else jobs
    alone = run_rounds(jobs, speeds, GPUS, load(strategy)())
    monkeypatch.setenv("PODYARD_TRACES", str(tmp_path))
    chosen = {"jobs": seed, "gpus": GPUS, "speeds": "own"}
    settings = {f"spec.variables.{key}": f"[{value}]" for key, value in chosen.items()}
    settings["spec.workload[0].training.elastic"] = str(list(sizes))
    run = Run(read_scenario(find_scenario("shockwave"), settings), load(strategy)(), 0, Home())
    try:
        run.play()
        assert run.measures.rounds is not None
        assert run.cluster.component_faults == []
        whole = run.measures.rounds.record
    finally:
        run.close()
    # While no job is there, the loop alone knows that some will come, and has an empty round as Gavel's simulator has.
    rounds = [
        [(start, list(schedule.items())) for start, schedule in zip(of.starts_s, of.schedules, strict=True) if schedule]
        for of in (whole, alone)
    ]
    assert rounds[0] == rounds[1]
    assert whole.completed_s == alone.completed_s
    assert whole.makespan_s == alone.makespan_s
    assert whole.busy_s == alone.busy_s
