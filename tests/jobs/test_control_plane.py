"""Training jobs through API server, Job controller, binding and kubelets: the published runs, and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.experiment.run import Home, Run
from harness.experiment.scenario import LoadedScenario, find_scenario, from_data, read_scenario
from harness.experiment.strategies import load_strategy
from harness.jobs.registry import load
from harness.jobs.rounds import RoundsRecord, run_rounds
from harness.measure.jobs import JobsSummary
from harness.model.errors import UserError
from tests.jobs.published import Published, completion_s, schedules

TRACE = """job_id,model,batch_size,scale_factor,mode,total_steps,arrival_s
0,LM,10,2,static,6000,0
1,LM,10,1,static,4000,0
2,LM,10,1,accordion,3000,100
3,LM,10,2,static,2000,130.5
"""
SPEEDS = '{"LM|10|1": 10.0, "LM|10|2": 20.0, "LM|80|1": 4.0, "LM|80|2": 8.0}'


def played(loaded: LoadedScenario, strategy: str) -> tuple[RoundsRecord, JobsSummary, Run]:
    run = Run(loaded, load_strategy(loaded, strategy)(), 0, Home())
    try:
        run.play()
        assert run.measures.rounds is not None
        assert run.cluster.component_faults == []
        return run.measures.rounds.record, run.measures.rounds.summary(run.end_ns / 1e9), run
    finally:
        run.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "name", "variables"),
    [
        ("gandiva-fair", "expected/gandiva_fair", {}),
        ("allox", "expected/allox", {}),
        ("fifo", "rerun/fifo_perf_120", {}),
        ("gandiva-fair", "rerun/gandiva_fair_220", {"jobs": "220", "gpus": "64", "speeds": "wisr"}),
    ],
)
def test_published_runs_through_the_whole_control_plane(
    published: Published, monkeypatch: pytest.MonkeyPatch, strategy: str, name: str, variables: dict[str, str]
) -> None:
    monkeypatch.setenv("PODYARD_TRACES", str(published.root))
    settings = {f"spec.variables.{key}": f"[{value}]" for key, value in variables.items()}
    record, _, _ = played(read_scenario(find_scenario("shockwave"), settings), strategy)
    result = published.result(name)
    assert [dict(round) for round in record.schedules] == schedules(result)
    assert completion_s(record) == result["jct"]
    assert record.makespan_s == result["makespan"]


def scenario(tmp_path: Path, **more: Any) -> LoadedScenario:
    (tmp_path / "jobs.csv").write_text(TRACE)
    (tmp_path / "speeds.json").write_text(SPEEDS)
    spec = {
        "nodes": [{"group": {"name": "gpu", "count": 3, "cpu": 8, "memory": "8Gi", "gpus": 1}}],
        "workload": [{"training": {"path": "jobs.csv", "speeds": "speeds.json"}}],
        "schedulers": ["gandiva-fair"],
        **more,
    }
    data = {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": "small"}, "spec": spec}
    return from_data(data, str(tmp_path / "small.yaml"))


@pytest.mark.parametrize("strategy", ["gandiva-fair", "allox", "fifo"])
def test_where_nothing_but_the_rounds_takes_time_the_cluster_runs_what_the_loop_decides(
    tmp_path: Path, strategy: str
) -> None:
    shockwave = read_scenario(find_scenario("shockwave")).data["spec"]
    loaded = scenario(tmp_path, latencies=shockwave["latencies"], constants=shockwave["constants"])
    record, _, run = played(loaded, strategy)
    training = run.prepared.workload.training
    assert training is not None
    alone = run_rounds(list(record.jobs.values()), training.speeds, 3, load(strategy)(), training.rules)
    assert record.schedules == alone.schedules
    assert record.completed_s == alone.completed_s


@pytest.mark.parametrize(
    "fault",
    [
        {"at": "150s", "nodeCrash": {"select": {"names": ["gpu-1"]}, "downFor": "200s"}},
        {"at": "150s", "nodeFreeze": {"select": {"names": ["gpu-1"]}, "for": "90s"}},
        {"at": "150s", "apiServerRestart": {"downFor": "30s"}},
        {"at": "150s", "podDeletion": {"app": "job-0"}},
        {"at": "150s", "schedulerOutage": {"downFor": "30s"}},
        {"at": "150s", "controllerManagerOutage": {"downFor": "30s"}},
    ],
    ids=lambda fault: next(key for key in fault if key != "at"),
)
def test_every_job_ends_under_faults_and_no_work_is_counted_twice(tmp_path: Path, fault: dict[str, Any]) -> None:
    record, summary, run = played(scenario(tmp_path, faults=[fault]), "gandiva-fair")
    assert summary.censored == 0
    # Steps of LM at batch size 10 take 0.1 s alone and 0.05 s in a gang of two: nobody is faster than that.
    for job in record.jobs.values():
        if job.mode == "static":
            ends = [*record.starts_s[1:], record.makespan_s]
            rounds = zip(record.starts_s, ends, record.schedules, strict=True)
            ran_s = sum(end - start for start, end, round in rounds if job.id in round)
            assert ran_s >= job.steps / (10 * job.gang) + record.lost_s.get(job.id, 0.0) - 1e-3
    assert all(
        any(item.type == "Complete" and item.status == "True" for item in job.status.conditions)
        for job in run.cluster.server.objects("Job").values()
    )


def test_a_crash_costs_what_the_gang_did_since_its_checkpoint(tmp_path: Path) -> None:
    crash = {"at": "150s", "nodeCrash": {"select": {"names": ["gpu-0"]}, "downFor": "600s"}}
    with_it, summary, _ = played(scenario(tmp_path, faults=[crash]), "gandiva-fair")
    without, _, _ = played(scenario(tmp_path), "gandiva-fair")
    assert sum(with_it.lost_s.values()) > 0
    assert without.lost_s == {}
    assert with_it.makespan_s > without.makespan_s
    assert summary.censored == 0


def deleted(propagation: str) -> list[dict[str, Any]]:
    fields = {"kind": "Job", "name": "job-0", **({"propagation": propagation} if propagation else {})}
    return [{"at": "150s", "objectDeletion": fields}]


def test_a_job_that_somebody_deletes_is_never_complete_and_nobody_waits_for_it(tmp_path: Path) -> None:
    """It was counted as complete, as if its steps had been done, and its GPUs were kept for it until then."""
    loaded = scenario(tmp_path, faults=deleted("Background"), duration="90m")
    record, summary, run = played(loaded, "fifo")
    assert sorted(record.completed_s) == [1, 2, 3]
    assert summary.censored == 1
    without = played(scenario(tmp_path), "fifo")[0]
    assert max(record.completed_s.values()) <= without.makespan_s
    end_state = run.end_state()
    assert end_state is not None
    assert end_state.findings == ()


def test_pods_that_a_deleted_job_leaves_keep_their_gpus(tmp_path: Path) -> None:
    """Orphaned, as batch/v1 does where nothing is said: they run on, and other gangs were sent to the same GPUs."""
    record, _, run = played(scenario(tmp_path, faults=deleted(""), duration="90m"), "fifo")
    left = [pod for pod in run.cluster.server.objects("Pod").values() if pod.metadata.labels["app"] == "job-0"]
    assert [pod.status.phase for pod in left] == ["Running", "Running"]
    assert not any(pod.status.phase == "Failed" for pod in run.cluster.server.objects("Pod").values())
    assert sorted(record.completed_s) == [1, 2], "of one GPU each; the last asks for two, and one is left"
    end_state = run.end_state()
    assert end_state is not None
    assert end_state.findings == ()


def test_other_work_beside_training_jobs_is_refused(tmp_path: Path) -> None:
    loaded = scenario(
        tmp_path,
        workload=[
            {"training": {"path": "jobs.csv", "speeds": "speeds.json"}},
            {"openbLike": {"pods": 3}},
        ],
    )
    with pytest.raises(UserError, match="a scenario to themselves"):
        Run(loaded, load_strategy(loaded, "gandiva-fair")(), 0, Home())
    pooled = scenario(tmp_path, pools=[{"name": "p", "max": 3, "cpu": 8, "gpus": 1}])
    with pytest.raises(UserError, match="GPUs that are there"):
        Run(pooled, load_strategy(pooled, "gandiva-fair")(), 0, Home())


def test_a_strategy_of_the_other_kind_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="greedy decides about pods"):
        load_strategy(scenario(tmp_path), "greedy")
    with pytest.raises(UserError, match="allox decides about rounds of training jobs"):
        load_strategy(read_scenario(find_scenario("quickstart")), "allox")
