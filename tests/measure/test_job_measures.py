"""Measures over jobs, of each user, queue and class: worked out by hand, and against reckonings of another kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment.run import run_once
from harness.measure.fairness import Hold, dominant_share, finish_time_fairness, isolated_completions
from harness.measure.job_lives import JobRow
from harness.measure.job_metrics import job_metrics
from harness.measure.pods import NEVER
from harness.measure.registry import catalogue
from harness.model.errors import UserError
from harness.report.tables import families
from tests.experiment.scenarios import loaded

NODES = [{"group": {"name": "n", "count": 2, "cpu": 4, "memory": "16Gi"}}]


def pod_spec(cpu: int | str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return {"restartPolicy": "Never", "containers": [container], **spec}


# size: what a task is, by name.
def task(
    name: str, user: str, cpu: int | str, lasts: str, at: str = "", deadline: str = "", job: bool = False, **spec: Any
) -> dict[str, Any]:
    annotations = {"podyard.dev/duration": lasts, **({"podyard.dev/deadline": deadline} if deadline else {})}
    arrival = {"podyard.dev/arrival": at} if at else {}
    labels = {"podyard.dev/user": user}
    if job:
        template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod_spec(cpu, **spec)}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "annotations": arrival},
            "spec": {"template": template},
        }
    meta = {"name": name, "labels": labels, "annotations": {**annotations, **arrival}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod_spec(cpu, **spec)}


def metrics_of(objects: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    spec = {"nodes": NODES, "bound": False, **spec}
    result = run_once(loaded(workload=[{"objects": objects}], **spec), "greedy", 1)
    assert not result.broken
    assert not result.refused
    return result.metrics


def test_two_users_by_hand() -> None:
    """Two nodes of 4 CPUs. Ann's two tasks of 4 CPUs take both; Bob's waits until the shorter is over, at 60 s."""
    found = metrics_of(
        [task("a0", "ann", 4, "60s"), task("a1", "ann", 4, "100s"), task("b0", "bob", 4, "30s", at="10s")],
        accounting={"deadline": "2x"},
    )
    ann, bob = found["users"]["ann"], found["users"]["bob"]
    assert (ann["count"], bob["count"], found["jobs"]["count"], found["jobs"]["censored"]) == (2, 1, 3, 0)
    started = 1.0  # pulling an image, starting a container: some seconds, as the latencies draw them
    assert ann["completionSeconds"]["mean"] == pytest.approx(80, abs=5 * started)
    assert bob["completionSeconds"]["max"] == pytest.approx(50 + 30, abs=8 * started)
    assert bob["waitSeconds"]["mean"] == pytest.approx(50, abs=6 * started)
    assert bob["boundedSlowdown"]["mean"] == pytest.approx(80 / 30, rel=0.1)
    assert found["jobs"]["deadlines"] == {"count": 3, "metShare": pytest.approx(2 / 3), "ahead": 0}  # Bob's is late
    # Alone with half of the cluster: Ann's second task waits for the first, Bob's starts at once.
    assert ann["rho"]["worst"] <= 1.1
    assert bob["rho"]["worst"] == pytest.approx(80 / 30, rel=0.1)
    assert found["fairness"]["user"]["worstRho"] == bob["rho"]["worst"]
    assert found["fairness"]["user"]["unfairShare"] == pytest.approx(1 / 3, abs=0.35)
    assert found["jobs"]["workHours"]["cpu"] == pytest.approx(4 * (60 + 100 + 30) / 3600, rel=0.01)
    assert found["jobs"]["goodputShare"]["cpu"] == 1.0
    # All of it over the window: Ann 4 x 60 and 4 x 100 of 8 CPUs, Bob 4 x 30.
    window = found["placement"]["window"]
    length = window["toSeconds"] - window["fromSeconds"]
    assert ann["dominantShare"] * length * 8 == pytest.approx(4 * (60 + 100), rel=0.05)
    assert bob["dominantShare"] * length * 8 == pytest.approx(4 * 30, rel=0.1)


def test_work_that_a_fault_undoes_is_lost_and_the_job_waits_for_its_second_run() -> None:
    """The pod ran 60 s of 100 when its node lost power; its Job makes another. Requests times run time: 4 x 60 s."""
    fault = {"at": "62s", "podDeletion": {"app": "web"}}
    objects = [task("j", "ann", 4, "100s", job=True)]
    objects[0]["spec"]["template"]["metadata"]["labels"]["app"] = "web"
    found = metrics_of(objects, faults=[fault], duration="5m")
    jobs = found["jobs"]
    assert jobs["interruptedPods"] == 1
    assert jobs["lostHours"]["cpu"] == pytest.approx(4 * 60 / 3600, rel=0.1)
    assert jobs["workHours"]["cpu"] == pytest.approx(4 * 100 / 3600, rel=0.02)
    assert jobs["goodputShare"]["cpu"] == pytest.approx(100 / 160, rel=0.05)
    assert jobs["censored"] == 0
    # 60 s that were for nothing, 10 s in which the Job controller backs off, 100 s.
    assert jobs["completionSeconds"]["mean"] == pytest.approx(60 + 10 + 100, abs=5)
    assert jobs["waitSeconds"]["mean"] < 10  # until it ran first


def test_what_never_is_complete_counts_to_the_end_and_has_missed_its_deadline() -> None:
    found = metrics_of(
        [task("a", "ann", 2, "20s"), task("b", "bob", 40, "20s", deadline="30s"), task("c", "bob", 40, "20s")],
        duration="100s",
        accounting={"deadline": "1h"},
    )
    bob = found["users"]["bob"]
    assert bob["censored"] == 2
    assert "mean" in bob["completionSeconds"]["atLeast"]
    assert bob["completionSeconds"]["mean"] == pytest.approx(99.5, abs=1)
    assert bob["boundedSlowdown"]["atLeast"] == ["mean", "worst"]
    assert "atLeast" in found["fairness"]["user"] or "rho" not in bob  # 40 CPUs are all of the cluster, for longer
    assert bob["deadlines"] == {"count": 2, "metShare": 0.0, "ahead": 1}
    assert found["users"]["ann"]["deadlines"]["metShare"] == 1.0
    assert "makespanSeconds" in found["jobs"]["atLeast"]


def test_a_gang_and_a_job_of_several_pods_are_one_job_each() -> None:
    group = "scheduling.x-k8s.io/pod-group"
    gang = [task(f"g{at}", "ann", 2, f"{20 + 10 * at}s") for at in range(3)]
    for pod in gang:
        pod["metadata"]["labels"][group] = "g"
    crew = {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "PodGroup",
        "metadata": {"name": "g"},
        "spec": {"minMember": 3},
    }
    several = task("j", "bob", 1, "30s", job=True)
    several["spec"] |= {"completions": 4, "parallelism": 2}
    found = metrics_of([crew, *gang, several])
    assert found["users"]["ann"]["count"] == found["users"]["bob"]["count"] == 1
    assert found["users"]["ann"]["completionSeconds"]["mean"] == pytest.approx(40, abs=6)
    assert found["users"]["bob"]["completionSeconds"]["mean"] == pytest.approx(60, abs=8)  # two after two
    assert found["users"]["bob"]["boundedSlowdown"]["mean"] < 1.2  # alone it takes as long


@pytest.mark.parametrize(
    ("accounting", "family", "values"),
    [
        ({"user": "label:team"}, "users", {"x", "<none>"}),
        ({"queue": "annotation:podyard.dev/duration"}, "queues", {"20s", "30s"}),
        ({"queue": "namespace"}, "queues", {"default"}),
        ({}, "classes", {"high", "<none>"}),
        ({"class": "namespace"}, "classes", {"default"}),
    ],
)
def test_whose_a_pod_is_stands_where_the_scenario_says(
    accounting: dict[str, str], family: str, values: set[str]
) -> None:
    first, second = task("a", "ann", 1, "20s", priorityClassName="high"), task("b", "bob", 1, "30s")
    first["metadata"]["labels"]["team"] = "x"
    high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 5}
    assert metrics_of([high, first, second], accounting=accounting)[family].keys() == values


def test_a_place_that_no_pod_has_is_told() -> None:
    spec = loaded(nodes=NODES, workload=[{"objects": [task("a", "ann", 1, "2s")]}], accounting={"user": "label:typo"})
    assert "spec.accounting.user: no pod has label:typo" in run_once(spec, "greedy", 1).notices


@pytest.mark.parametrize(
    "accounting",
    [
        {"user": "labels:x"},
        {"queue": "label:"},
        {"class": "priority"},
        {"deadline": "x"},
        {"deadline": "0s"},
        {"deadline": "-2x"},
        {"deadline": "nanx"},
        {"deadline": "infx"},
        {"deadline": "999999h"},
    ],
)
def test_what_is_no_place_and_no_deadline_is_an_error_with_its_field(accounting: dict[str, str]) -> None:
    with pytest.raises(UserError, match=f"spec.accounting.{next(iter(accounting))}"):
        run_once(loaded(nodes=NODES, accounting=accounting), "greedy", 1)


def test_a_deadline_that_is_none_is_refused_with_its_object() -> None:
    with pytest.raises(UserError, match=r"podyard\.dev/deadline"):
        metrics_of([task("a", "ann", 1, "2s", deadline="soon")])


def test_they_are_in_tables_gates_and_parquet(tmp_path: Path) -> None:
    gates = [
        {"metric": "users.ann.completionSeconds.mean", "atMost": 1},
        {"metric": "fairness.user.worstRho", "atMost": 1000},
        {"metric": "users.*.dominantShare", "atMost": 1},
    ]
    objects = [task("a", "ann", 4, "20s"), task("b", "bob", 4, "30s")]
    result = run_once(loaded(nodes=NODES, workload=[{"objects": objects}], gates=gates), "greedy", 1, out=tmp_path)
    assert [text.split(" ")[0] for text in result.missed] == ["users.ann.completionSeconds.mean"]
    tables = {title: rows for title, _, rows in families([result], catalogue())}
    assert [row[0] for row in tables["By user"]] == ["bob", "ann"]
    assert any(row[0].startswith("Jain's index over users") for row in tables["Jobs over time"])
    assert result.folder is not None
    jobs = pl.read_parquet(result.folder / "jobs.parquet")
    assert sorted(jobs["user"]) == ["ann", "bob"]
    assert (jobs["completed_ns"] > jobs["arrival_ns"]).all()
    assert set(pl.read_parquet(result.folder / "pods.parquet")["user"]) == {"ann", "bob"}
    measures = pl.read_parquet(result.folder / "measures.parquet")
    assert "users.bob.rho.worst" in measures["path"].to_list()
    assert json.loads((result.folder / "record.json").read_text())["metrics"]["users"]["ann"]["count"] == 1


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 25), st.integers(0, 4), st.integers(0, 4)), max_size=8),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=4),
    st.integers(0, 5),
    st.integers(6, 22),
)
def test_dominant_share_is_the_sum_over_instants(
    pods: list[tuple[int, int, int, int]], nodes: list[tuple[int, int, int]], since: int, until: int
) -> None:
    holds = [Hold(begin, end if end == NEVER else max(begin, end), cpu, 0, gpu) for begin, end, cpu, gpu in pods]
    steps = [(at, cpu, 0, gpu) for at, cpu, gpu in sorted({at: (at, c, g) for at, c, g in nodes}.values())]
    total = 0.0
    for at in range(since, until):
        there = [hold for hold in holds if hold.bound_ns <= at and (hold.ended_ns == NEVER or hold.ended_ns > at)]
        has = [step for step in steps if step[0] <= at]
        if has and there:
            shares = [
                sum(used) / size
                for used, size in (
                    ([hold.cpu_milli for hold in there], has[-1][1]),
                    ([hold.gpu_milli for hold in there], has[-1][3]),
                )
                if size
            ]
            total += max(shares, default=0.0)
    assert dominant_share(holds, steps, since, until) == pytest.approx(total / (until - since))


JOBS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20), st.integers(1, 6)), min_size=1, max_size=8)


def rows_of(jobs: list[tuple[int, int, int]]) -> list[JobRow]:
    return [JobRow(f"{at:02}", arrival, alone_ns=alone, cpu_milli=cpu) for at, (arrival, alone, cpu) in enumerate(jobs)]


@given(JOBS, st.integers(1, 8))
def test_isolated_completions_are_those_of_a_queue_stepped_through_instant_by_instant(
    jobs: list[tuple[int, int, int]], capacity: int
) -> None:
    """Capacity is such that a job that asks for more takes a whole multiple of its time."""
    rows = rows_of([(arrival, alone * capacity, cpu) for arrival, alone, cpu in jobs])
    found = isolated_completions(rows, (capacity, 0, 0))
    queue = sorted(rows, key=lambda row: (row.arrival_ns, row.job))
    running: dict[str, tuple[int, int]] = {}
    done: dict[str, int] = {}
    now = 0
    while queue or running:
        for name in [name for name, (end, _) in running.items() if end <= now]:
            del running[name]
        while queue and queue[0].arrival_ns <= now:
            takes = min(queue[0].cpu_milli, capacity)
            if takes + sum(cpu for _, cpu in running.values()) > capacity:
                break
            job = queue.pop(0)
            lasts = job.alone_ns * max(job.cpu_milli, capacity) // capacity
            running[job.job], done[job.job] = (now + lasts, takes), now + lasts - job.arrival_ns
        now += 1
    assert found == pytest.approx(done)


@given(JOBS, st.integers(1, 8))
def test_whoever_is_run_as_in_its_own_share_has_a_fairness_of_one(
    jobs: list[tuple[int, int, int]], capacity: int
) -> None:
    rows = rows_of(jobs)
    for job in rows:
        job.completed_ns = job.arrival_ns + round(isolated_completions(rows, (capacity, 0, 0))[job.job] * 1000)
    found = finish_time_fairness({"a": rows, "b": []}, (2 * capacity, 0, 0), 10**6)
    assert [value for value, late in found.values()] == pytest.approx([1000.0] * len(rows), rel=1e-3)
    assert job_metrics(rows_of(jobs), [], [], (capacity, 0, 0), 0, 100)["jobs"]["censored"] == len(jobs)
