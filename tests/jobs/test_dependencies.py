"""Jobs that wait for others, through the whole control plane: from a log, and as objects with annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.controllers.workloads import dependencies
from harness.engine.component import ADDED, Watch
from harness.experiment.run import Home, Run, run_once
from harness.experiment.scenario import read_scenario
from harness.model.core import ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus
from harness.model.dependencies import read_dependency
from harness.model.meta import Condition, ObjectMeta
from harness.model.wire import Time
from harness.model.workloads import Job, JobSpec, JobStatus, PodGroup, PodGroupSpec
from harness.scheduling.registry import load
from workloads.trace import lint

HEAD = "; Version: 2.2\n; UnixStartTime: 0\n; MaxProcs: 4\n; MaxNodes: {nodes}\n"


def line(job: int, submit: int, run: int, size: int, asked: int = -1, preceding: int = -1, think: int = -1) -> str:
    return f"{job} {submit} -1 {run} {size} -1 -1 {size} {asked} -1 1 1 1 -1 -1 -1 {preceding} {think}\n"


def log(folder: Path, *lines: str, scheduler: str = "greedy", lifetimes: Any = False, nodes: int = 1) -> Path:
    (folder / "log.swf").write_text(HEAD.format(nodes=nodes) + "".join(lines))
    spec = {
        "nodes": [{"group": {"name": "n", "count": nodes, "cpu": 4 // nodes, "memory": "8Gi"}}],
        "workload": [{"trace": {"path": "log.swf", "format": "swf"}}],
        "scheduling": {"lifetimes": lifetimes},
        "schedulers": [scheduler],
        "bound": False,
    }
    return scenario(folder, spec)


def scenario(folder: Path, spec: dict[str, Any]) -> Path:
    head = {"apiVersion": "podyard.dev/v1", "kind": "Scenario", "metadata": {"name": "waits"}}
    (folder / "waits.yaml").write_text(yaml.safe_dump({**head, "spec": spec}))
    return folder / "waits.yaml"


def ran(path: Path, scheduler: str = "greedy") -> dict[str, tuple[float, float]]:
    """By job, in seconds since the workload's start: when it arrived, and when its first pod ran."""
    run = Run(read_scenario(path), load(scheduler)(), 1, Home())
    try:
        run.play()
        rows = run.measures.jobs.rows(run.measures.lives.all, run.end_ns)
        return {row.job.split("/")[-1]: (row.arrival_ns / 1e9 - 1, row.started_ns / 1e9 - 1) for row in rows}
    finally:
        run.close()


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_of_a_log_follows_the_one_before_it_after_its_think_time(tmp_path: Path, nodes: int) -> None:
    """Job 1 ends at some 100 s, its user thinks for half an hour, in which nothing happens; then comes job 2, a gang on
    two nodes. It waits from there on, not from its submit time of 10 s."""
    found = ran(log(tmp_path, line(1, 0, 100, 4), line(2, 10, 50, 4, preceding=1, think=1800), nodes=nodes))
    arrived, started = list(found.values())[-1]
    assert 1900 <= arrived < 1905
    assert arrived <= started < arrived + 5


def test_a_job_that_is_submitted_after_all_that_is_not_held(tmp_path: Path) -> None:
    found = ran(log(tmp_path, line(1, 0, 10, 4), line(2, 500, 50, 4, preceding=1, think=20)))
    arrived, started = list(found.values())[-1]
    assert 500 <= arrived <= started < 502


def test_a_job_before_it_that_the_log_does_not_have_is_noted(tmp_path: Path) -> None:
    result = run_once(read_scenario(log(tmp_path, line(1, 0, 10, 4, preceding=77, think=5))), "greedy", 1)
    assert result.metrics["jobs"]["censored"] == 0


def test_easy_goes_by_what_users_estimate(tmp_path: Path) -> None:
    """3 of 4 processors are taken for 100 s, estimated at 1000; job 2 needs all 4, so its shadow time is 100, or 1000
    by the estimates. Job 3 takes the one that is left for 150 s: too long for the first, not for the second."""
    jobs = (line(1, 0, 100, 3, 1000), line(2, 5, 10, 4, 20), line(3, 6, 150, 1, 150))
    exact = list(ran(log(tmp_path, *jobs, scheduler="easy", lifetimes=True), "easy").values())
    estimated = list(ran(log(tmp_path, *jobs, scheduler="easy", lifetimes="estimates"), "easy").values())
    assert exact[1][1] < exact[2][1]
    assert 110 < exact[2][1] < 120
    assert 6 < estimated[2][1] < 8
    assert estimated[1][1] > 156


def test_a_job_that_runs_longer_than_estimated_is_not_killed(tmp_path: Path) -> None:
    """It is taken to end at any instant: nothing is backfilled that would still run then and is in the way."""
    jobs = (line(1, 0, 100, 3, 20), line(2, 5, 10, 4, 20), line(3, 60, 30, 1, 30))
    found = list(ran(log(tmp_path, *jobs, scheduler="easy", lifetimes="estimates"), "easy").values())
    assert 100 < found[1][1] < 105
    assert found[2][1] > found[1][1]


def held(kind: str, name: str, dependency: str, think: str = "0s", exit_code: str = "0") -> dict[str, Any]:
    """A Job of one pod that runs for 30 s, or a Pod."""
    told = {"podyard.dev/duration": "30s", "podyard.dev/exit-code": exit_code}
    pod: dict[str, Any] = {
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}],
        "restartPolicy": "Never",
    }
    waits = {"podyard.dev/dependency": dependency, "podyard.dev/think-time": think} if dependency else {}
    if kind == "Pod":
        gates = {"schedulingGates": [{"name": "podyard.dev/dependency"}]} if dependency else {}
        meta = {"name": name, "annotations": {**told, **waits}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**pod, **gates}}
    spec = {
        "backoffLimit": 0,
        "template": {"metadata": {"annotations": told}, "spec": pod},
        "suspend": bool(dependency),
    }
    meta = {"name": name, "annotations": waits}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


def objects(folder: Path, *made: dict[str, Any]) -> Path:
    return scenario(
        folder,
        {
            "nodes": [{"group": {"name": "n", "count": 1, "cpu": 4, "memory": "8Gi"}}],
            "workload": [{"objects": list(made)}],
            "bound": False,
        },
    )


def test_a_graph_of_jobs_and_pods(tmp_path: Path) -> None:
    """a, then b and the pod c, then d after both."""
    found = ran(
        objects(
            tmp_path,
            held("Job", "d", "afterok:b:c", think="10s"),
            held("Job", "a", ""),
            held("Job", "b", "afterok:a"),
            held("Pod", "c", "afterany:default/a"),
        )
    )
    assert 30 < found["b"][1] < 45
    assert 30 < found["c"][1] < 45
    assert max(found["b"][1], found["c"][1]) + 40 < found["d"][1] < 110


def test_after_a_failure_only_those_go_on_that_do_not_mind(tmp_path: Path) -> None:
    run = Run(
        read_scenario(
            objects(
                tmp_path,
                held("Job", "a", "", exit_code="1"),
                held("Job", "b", "afterok:a"),
                held("Job", "c", "afterany:a"),
            )
        ),
        load("greedy")(),
        1,
        Home(),
    )
    try:
        run.play()
        jobs = run.cluster.server.objects("Job")
        assert jobs["default/b"].spec.suspend
        assert not jobs["default/c"].spec.suspend
        events = run.cluster.server.objects("Event").values()
        told = {event.message for event in events if event.reason == "DependencyNeverSatisfied"}
        assert told == {"default/a has not succeeded"}
    finally:
        run.close()


def test_an_array_is_an_indexed_job_and_its_name_stands_for_all_of_it(tmp_path: Path) -> None:
    array = held("Job", "array", "")
    array["spec"] |= {"completionMode": "Indexed", "completions": 6, "parallelism": 2}
    found = ran(objects(tmp_path, array, held("Job", "after", "afterok:array")))
    assert found["after"][1] > 90


@pytest.mark.parametrize("text", ["", "after:a", "afterok", "afterok:", "afterok:a,", "afterok:a?afterany:b"])
def test_what_is_no_dependency(text: str) -> None:
    with pytest.raises(ValueError, match="not afterany or afterok and names"):
        read_dependency({"podyard.dev/dependency": text}, "default")


@pytest.mark.parametrize("waits", [{}, {"podyard.dev/dependency": "afterok:nobody"}])
def test_a_suspended_job_breaks_no_invariant(tmp_path: Path, waits: dict[str, str]) -> None:
    """Its pods are its controller's to make: the run was failed for pods that 'were never seen by the server'. That the
    controller is asked for by the scenario as well starts it once."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "a", "annotations": waits},
        "spec": {"suspend": True, "template": template},
    }
    nodes = [{"group": {"name": "n", "count": 1, "cpu": 4, "memory": "8Gi"}}]
    spec = {"duration": "2m", "bound": False, "nodes": nodes, "workload": [{"objects": [job]}]}
    result = run_once(
        read_scenario(scenario(tmp_path, {**spec, "controllers": ["dependency-controller"]})), "greedy", 1
    )
    assert result.ok, result.broken


def finished(name: str, uid: str = "u") -> Job:
    done = JobStatus(conditions=(Condition(type="Complete", status="True", last_transition_time=Time(7)),))
    return Job(metadata=ObjectMeta(name=name, namespace="default", uid=uid), spec=JobSpec(), status=done)


def test_ends_of_what_is_deleted_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were kept for ever, in a cluster that may live for months."""
    monkeypatch.setattr(dependencies, "REMEMBERED", 3)
    controller = dependencies.DependencyController()
    for at in range(50):
        job = finished(f"j{at}")
        controller._job_changed(None, job)
        controller._job_changed(job, None)
    assert [controller._end_of(f"default/j{at}") for at in (46, 47, 49)] == [None, (7, True), (7, True)]
    assert len(controller._ends) == len(controller._gone) == 3


def test_a_job_of_the_same_name_has_not_ended_because_another_had() -> None:
    """Who waited for it was let go at once when a pipeline was deleted and applied again."""
    controller = dependencies.DependencyController()
    old = finished("train", "1")
    controller._job_changed(None, old)
    controller._job_changed(old, None)
    assert controller._end_of("default/train") == (7, True)
    again = Job(metadata=ObjectMeta(name="train", namespace="default", uid="2"), spec=JobSpec())
    controller._job_changed(None, again)
    assert controller._end_of("default/train") is None


def test_who_waits_for_itself_is_told(tmp_path: Path) -> None:
    """They waited, and nothing said why."""
    waits = {"x": "afterok:z", "y": "afterok:x", "z": "afterany:y", "w": "afterok:x"}
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "annotations": {"podyard.dev/dependency": on}},
            "spec": {
                "schedulingGates": [{"name": "podyard.dev/dependency"}],
                "containers": [{"name": "c", "image": "i"}],
            },
        }
        for name, on in waits.items()
    ]
    spec = {
        "nodes": [{"group": {"name": "n", "count": 1, "cpu": 4, "memory": "8Gi"}}],
        "workload": [{"objects": pods}],
        "schedulers": ["greedy"],
        "bound": False,
        "duration": "5m",
    }
    run = Run(read_scenario(scenario(tmp_path, spec)), load("greedy")(), 1, Home())
    try:
        run.play()
        told = {
            event.involved_object.name: event.message
            for event in run.cluster.server.objects("Event").values()
            if event.reason == "CircularDependency"
        }
    finally:
        run.close()
    assert "w" not in told, "it waits for others that do"
    assert told, "of a circle at least the one that closed it"
    assert all(message.startswith("waits for itself: default/") for message in told.values())
    assert set(told) <= {"x", "y", "z"}


def test_a_preceding_job_stands_above_its_line(tmp_path: Path) -> None:
    """Of a job that names itself, or one below, nothing is waited for: the two of a circle never started, and whether
    one below was known depended on how many lines were read at a time."""
    rows = line(1, 0, 10, 4, preceding=2), line(2, 5, 10, 4, preceding=1), line(3, 6, 10, 4, preceding=3)
    result = run_once(read_scenario(log(tmp_path, *rows)), "greedy", 1)
    assert result.metrics["jobs"]["censored"] == 0
    (report,) = lint(tmp_path / "log.swf", format="swf")
    told = [(each.line, each.found) for each in report.findings if each.rule == "constraint-dropped"]
    assert told == [(5, "2"), (7, "3")]


def member(name: str, group: str = "g", phase: str = "Running", ended: int | None = None, uid: str = "") -> Pod:
    over = None if ended is None else ContainerStateTerminated(exit_code=0, finished_at=Time(ended))
    labels = {"scheduling.x-k8s.io/pod-group": group} if group else {}
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default", uid=uid or f"u-{name}", labels=labels),
        status=PodStatus(
            phase=phase, container_statuses=(ContainerStatus(name="c", state=ContainerState(terminated=over)),)
        ),
    )


def test_a_group_has_ended_when_all_its_members_have() -> None:
    controller = dependencies.DependencyController()
    controller.now = 50
    group = PodGroup(metadata=ObjectMeta(name="g", namespace="default", uid="g"), spec=PodGroupSpec(min_member=2))
    controller.informer.take(Watch(ADDED, group))
    first = member("a")
    controller._pod_changed(None, first)
    assert controller._end_of("default/g") is None
    controller._pod_changed(first, member("a", phase="Succeeded", ended=9))
    assert controller._end_of("default/g") is None, "it is to have two members"
    assert controller._end_of("default/a") == (9, True), "a pod's name stands for itself"
    controller._pod_changed(None, member("b", phase="Succeeded", ended=7))
    assert controller._end_of("default/g") == (9, True)
    controller._pod_changed(None, member("c"))
    assert controller._end_of("default/g") is None
    controller._pod_changed(member("c"), None)
    assert controller._end_of("default/g") == (50, False), "one that is deleted has not succeeded"
    controller._pod_changed(None, member("c", phase="Failed", uid="again"))
    assert controller._end_of("default/g") == (50, False), "nobody says when it ended"
    controller._pod_changed(None, member("c", uid="third"))
    assert controller._end_of("default/g") is None, "another pod of the name has not ended"


def test_pods_of_a_group_that_is_no_object_stand_for_it() -> None:
    controller = dependencies.DependencyController()
    controller._pod_changed(None, member("a", phase="Succeeded", ended=9))
    assert controller._end_of("default/g") == (9, True)
    assert controller._end_of("default/nobody") is None
    controller._pod_changed(None, member("alone", "", "Failed", ended=4))
    assert controller._end_of("default/alone") == (4, False)
    controller._job_changed(None, finished("g"))
    assert controller._end_of("default/g") == (7, True), "a Job of the name comes first"


def test_who_waits_for_what_has_not_ended_is_looked_at_when_it_has() -> None:
    controller = dependencies.DependencyController()
    controller._waiters = {"default/a": {"Pod default/x": None}, "default/g": {"Pod default/y": None}}
    controller._pod_changed(None, member("a"))
    assert controller.queue.drain() == []
    controller._pod_changed(member("a"), member("a", phase="Succeeded", ended=9))
    assert controller.queue.drain() == ["Pod default/x", "Pod default/y"]
    assert controller._waiters == {}
    controller._waiters = {"default/j": {"Job default/z": None}}
    controller._job_changed(None, finished("j"))
    assert controller.queue.drain() == ["Job default/z"]
