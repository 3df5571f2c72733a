"""Jobs: enough successes or too many failures, each pod counted once, never more at a time than allowed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.workloads.job.controller import JobController
from harness.controllers.workloads.job.indexes import parsed, text_of
from harness.controllers.workloads.job.pods import FINALIZER, JobPods
from harness.controllers.workloads.job.ttl import TtlAfterFinished
from harness.controllers.workloads.job.verdict import judge
from harness.engine.component import Create, Delete, PatchStatus, Update
from harness.model.core import ContainerStatus, Pod, PodStatus
from harness.model.meta import LabelSelector, ObjectMeta, condition
from harness.model.workloads import Job, JobSpec, JobStatus, UncountedTerminatedPods
from tests.controllers.rig import Rig, selector, template
from tests.examples import examples


def job(name: str = "pi", **spec: Any) -> Job:
    spec.setdefault("template", template(restart_policy="Never", app=name))
    return Job(metadata=ObjectMeta(name=name, namespace="default"), spec=JobSpec(**spec))


class Bench(Rig):
    def __init__(self, **kwargs: Any) -> None:
        self.controller = JobController()
        super().__init__(self.controller, TtlAfterFinished(), **kwargs)

    @property
    def pi(self) -> Job:
        found: Job = self.get("Job", "pi")
        return found

    def active(self) -> list[Pod]:
        return [
            pod
            for pod in self.pods()
            if pod.status.phase not in ("Succeeded", "Failed") and pod.metadata.deletion_timestamp is None
        ]

    def said(self, kind: str) -> str:
        found = condition(self.pi.status.conditions, kind)
        return "" if found is None else f"{found.status} {found.reason}"

    def counts(self) -> tuple[int, int, int]:
        """(active, succeeded, failed)"""
        status = self.pi.status
        return status.active or 0, status.succeeded or 0, status.failed or 0


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_job_runs_to_completion(bench: Bench) -> None:
    bench.create(job(completions=3, parallelism=2))
    bench.run()
    assert bench.counts() == (2, 0, 0)
    first, second = bench.active()
    assert first.metadata.labels["batch.kubernetes.io/job-name"] == "pi"
    assert first.metadata.labels["controller-uid"] == bench.pi.metadata.uid
    assert FINALIZER in first.metadata.finalizers
    assert first.spec is second.spec
    bench.finish(first)
    bench.run()
    assert bench.counts() == (2, 1, 0)
    assert bench.get("Pod", first.metadata.name).metadata.finalizers == ()
    for pod in bench.active():
        bench.finish(pod)
    bench.run()
    assert bench.counts() == (0, 3, 0)
    assert bench.said("Complete") == "True CompletionsReached"
    assert bench.pi.status.completion_time is not None
    assert len(bench.pods()) == 3
    assert len(bench.events("Completed")) == 1
    assert bench.pi.status.uncounted_terminated_pods == UncountedTerminatedPods()
    assert (bench.pi.status.ready, bench.pi.status.terminating) == (0, 0)


def test_no_more_pods_than_are_still_needed(bench: Bench) -> None:
    bench.create(job(completions=5, parallelism=4))
    bench.run()
    for pod in bench.active():
        bench.finish(pod)
    bench.run()
    assert bench.counts() == (1, 4, 0)


def test_failures_are_retried_after_10_20_40_seconds(bench: Bench) -> None:
    bench.create(job(backoff_limit=3))
    bench.run()
    waits = []
    for _ in range(3):
        (pod,) = bench.active()
        bench.finish(pod, "Failed")
        failed_at = bench.now
        bench.run(0.5)
        assert bench.active() == []
        while not bench.active():
            bench.run(0.5)
        waits.append(round(((bench.active()[0].metadata.creation_timestamp or 0) - failed_at) / 1e9))
    assert waits == [10, 20, 40]
    (pod,) = bench.active()
    bench.finish(pod, "Failed")
    bench.run()
    assert bench.said("Failed") == "True BackoffLimitExceeded"
    assert bench.said("FailureTarget") == "True BackoffLimitExceeded"
    assert bench.counts() == (0, 0, 4)
    bench.run(1000)
    assert bench.active() == []
    assert bench.events("BackoffLimitExceeded")[0].type == "Warning"


def test_a_success_forgives_the_failures_before(bench: Bench) -> None:
    bench.create(job(completions=3, parallelism=1))
    bench.run()
    waits = []
    for phase in ("Failed", "Failed", "Succeeded", "Failed"):
        (pod,) = bench.active()
        bench.finish(pod, phase)
        ended_at = bench.now
        bench.run(0.5)
        while not bench.active():
            bench.run(0.5)
        waits.append(round(((bench.active()[0].metadata.creation_timestamp or 0) - ended_at) / 1e9))
    assert waits == [10, 20, 0, 10]


def test_too_many_failures_end_the_other_pods(bench: Bench) -> None:
    bench.create(job(completions=4, parallelism=4, backoff_limit=0))
    bench.run()
    pods = [bench.set_ready(pod) for pod in bench.active()]
    bench.finish(pods[0], "Failed")
    bench.run()
    going = [pod for pod in bench.pods() if pod.metadata.deletion_timestamp is not None]
    assert len(going) == 3
    assert bench.said("FailureTarget") == "True BackoffLimitExceeded"
    assert bench.said("Failed") == ""  # not before the last pod is gone
    assert bench.pi.status.terminating == 3
    for pod in going:
        bench.kubelet_kills(pod)
    bench.run()
    assert bench.said("Failed") == "True BackoffLimitExceeded"
    assert bench.counts() == (0, 0, 4)
    assert [pod.metadata.name for pod in bench.pods()] == [pods[0].metadata.name]


def test_container_restarts_count_where_the_pod_restarts_them(bench: Bench) -> None:
    bench.create(job(backoff_limit=2, template=template(restart_policy="OnFailure", app="pi")))
    bench.run()
    pod = bench.set_ready(bench.active()[0])
    for count in (1, 2):
        assert bench.said("FailureTarget") == ""
        status = replace(pod.status, container_statuses=(ContainerStatus(name="c", restart_count=count),))
        pod = bench.do(PatchStatus(replace(pod, status=status)))
        bench.run()
    assert bench.said("FailureTarget") == "True BackoffLimitExceeded"


def test_the_deadline_ends_it(bench: Bench) -> None:
    bench.create(job(active_deadline_seconds=20))
    bench.run(19)
    assert len(bench.active()) == 1
    bench.run(3)
    assert bench.active() == []
    assert bench.said("Failed") == "True DeadlineExceeded"


def test_suspended_it_has_no_pods_and_resumed_its_clock_starts_anew(bench: Bench) -> None:
    bench.create(job(completions=2, parallelism=2, suspend=True, active_deadline_seconds=60))
    bench.run()
    assert bench.pods() == []
    assert bench.said("Suspended") == "True JobSuspended"
    assert bench.pi.status.start_time is None
    bench.run(100)
    bench.change("Job", "pi", suspend=False)
    bench.run()
    assert len(bench.active()) == 2
    assert bench.said("Suspended") == "False JobResumed"
    assert (bench.pi.status.start_time or 0) > 100 * 10**9
    bench.change("Job", "pi", suspend=True)
    bench.run()
    assert bench.active() == []
    assert bench.counts() == (0, 0, 0)  # pods that it takes away itself have not failed
    assert bench.said("Failed") == ""
    bench.change("Job", "pi", suspend=False)
    bench.run()
    assert len(bench.active()) == 2


def test_fewer_at_a_time_takes_pods_away_without_counting_them(bench: Bench) -> None:
    bench.create(job(completions=10, parallelism=5))
    bench.run()
    bench.change("Job", "pi", parallelism=2)
    bench.run()
    assert len(bench.active()) == 2
    assert bench.counts() == (2, 0, 0)


def test_a_pod_that_somebody_deletes_has_failed_and_is_counted_before_it_goes(bench: Bench) -> None:
    bench.create(job())
    bench.run()
    (pod,) = bench.active()
    bench.delete("Pod", pod.metadata.name)
    bench.run()
    assert bench.counts() == (0, 0, 1)
    assert bench.pods() == []
    bench.run(11)
    assert len(bench.active()) == 1


def test_a_work_queue_ends_with_its_workers(bench: Bench) -> None:
    bench.create(job(parallelism=3, completions=None))
    bench.run()
    pods = bench.active()
    assert len(pods) == 3
    bench.finish(pods[0])
    bench.run()
    assert len(bench.active()) == 2  # one says that it is done: nobody new comes
    assert bench.said("Complete") == ""
    bench.finish(pods[1], "Failed")
    bench.run(30)
    assert len(bench.active()) == 1
    bench.finish(pods[2])
    bench.run()
    assert bench.said("Complete") == "True CompletionsReached"
    assert bench.counts() == (0, 2, 1)


def test_a_finished_job_goes_when_its_time_to_live_is_over(bench: Bench) -> None:
    bench.create(job(ttl_seconds_after_finished=60))
    bench.run()
    bench.finish(bench.active()[0])
    bench.run(50)
    assert bench.pi.metadata.deletion_timestamp is None
    bench.run(15)
    gone = [effect for _, effect in bench.sent if isinstance(effect, Delete) and effect.kind == "Job"]
    assert len(gone) == 1
    assert gone[0].propagation == "Foreground"


def test_pods_of_a_deleted_job_are_let_go(bench: Bench) -> None:
    bench.create(job(parallelism=2, completions=2))
    bench.run()
    bench.delete("Job", "pi")
    bench.run()
    assert [pod.metadata.finalizers for pod in bench.pods()] == [(), ()]


def test_an_indexed_job_does_each_index_once(bench: Bench) -> None:
    bench.create(job(completions=4, parallelism=2, completion_mode="Indexed"))
    bench.run()

    def indexes() -> list[int]:
        key = "batch.kubernetes.io/job-completion-index"
        return sorted(int(pod.metadata.annotations[key]) for pod in bench.active())

    assert indexes() == [0, 1]
    assert bench.active()[0].metadata.name.startswith("pi-0-")
    bench.finish(bench.active()[1])
    bench.run()
    assert indexes() == [0, 2]
    assert bench.pi.status.completed_indexes == "1"
    bench.finish(bench.active()[0], "Failed")
    bench.run(12)
    assert indexes() == [0, 2]
    for _ in range(3):
        for pod in bench.active():
            bench.finish(pod)
        bench.run()
    assert bench.pi.status.completed_indexes == "0-3"
    assert bench.said("Complete") == "True CompletionsReached"
    assert bench.counts() == (0, 4, 1)


def test_what_others_manage_is_left_alone(bench: Bench) -> None:
    bench.create(job(managed_by="kubernetes.io/job-controller"))
    bench.create(job("theirs", managed_by="example.com/other"))
    bench.run()
    assert [pod.metadata.labels["job-name"] for pod in bench.pods()] == ["pi"]
    assert bench.get("Job", "theirs").status == JobStatus()


@given(st.sets(st.integers(0, 60)))
def test_indexes_survive_their_text(indexes: set[int]) -> None:
    assert parsed(text_of(indexes), 61) == indexes


def test_pods_that_a_selector_names_are_adopted(bench: Bench) -> None:
    bench.create(
        Pod(
            metadata=ObjectMeta(name="bare", namespace="default", labels={"task": "x"}),
            spec=template(restart_policy="Never").spec,
        )
    )
    wanted: LabelSelector = selector(task="x")
    bench.create(
        job(
            completions=2,
            parallelism=2,
            manual_selector=True,
            selector=wanted,
            template=template(restart_policy="Never", task="x"),
        )
    )
    bench.run()
    assert len(bench.pods()) == 2
    bare = bench.get("Pod", "bare")
    assert bare.metadata.owner_references[0].name == "pi"
    assert FINALIZER in bare.metadata.finalizers


def test_a_large_job_is_counted_through_the_status_in_portions() -> None:
    bench = Bench()
    bench.create(job(completions=1300, parallelism=1300))
    bench.run(3)
    assert len(bench.active()) == 1300
    for pod in bench.active():
        bench.finish(pod)
    most = 0

    def look(kind: Any, change: str, obj: Any, *_: Any) -> None:
        nonlocal most
        if kind.kind == "Job":
            held = obj.status.uncounted_terminated_pods
            most = max(most, 0 if held is None else len(held.succeeded) + len(held.failed))

    bench.server.listeners.append(look)
    bench.run(3)
    assert bench.counts() == (0, 1300, 0)
    assert most == 500
    assert bench.said("Complete") == "True CompletionsReached"


@settings(max_examples=examples(80), deadline=None)
@given(
    completions=st.integers(1, 8),
    parallelism=st.integers(1, 5),
    story=st.lists(st.tuples(st.sampled_from(["ok", "ok", "fail", "kill", "restart", "wait"]), st.integers(0, 7)),
                   max_size=30),
    latency_ns=st.sampled_from([1_000_000, 9_000_000]),
    mode=st.sampled_from(["NonIndexed", "Indexed"]),
)  # fmt: skip
def test_never_more_than_parallelism_and_every_pod_counted_once(
    completions: int, parallelism: int, story: list[tuple[str, int]], latency_ns: int, mode: str
) -> None:
    bench = Bench(latency_ns=latency_ns)
    made: set[str] = set()
    succeeded: set[str] = set()
    failed: set[str] = set()

    def look(kind: Any, change: str, obj: Any, *_: Any) -> None:
        if kind.kind == "Pod":
            made.add(obj.metadata.uid)
            assert len(bench.active()) <= parallelism

    bench.server.listeners.append(look)
    bench.create(job(completions=completions, parallelism=parallelism, backoff_limit=100, completion_mode=mode))
    for what, number in story:
        bench.run(number * 0.004 if what == "wait" else 0.2)
        pods = bench.active()
        pod = pods[number % len(pods)] if pods else None
        match what:
            case "ok" if pod:
                bench.finish(pod)
                succeeded.add(pod.metadata.uid)
            case "fail" if pod:
                bench.finish(pod, "Failed")
                failed.add(pod.metadata.uid)
            case "kill" if pod:
                bench.delete("Pod", pod.metadata.name)
                failed.add(pod.metadata.uid)
            case "restart":
                bench.start(bench.controller)
    for _ in range(40):
        bench.run(400)
        for pod in bench.active():
            bench.finish(pod)
            succeeded.add(pod.metadata.uid)
    assert bench.said("Complete") == "True CompletionsReached"
    assert bench.counts() == (0, len(succeeded), len(failed))
    assert len(succeeded) == completions
    assert made == succeeded | failed
    creations = [effect for _, effect in bench.sent if isinstance(effect, Create)]
    assert len(creations) == len(made)
    assert all(FINALIZER not in pod.metadata.finalizers for pod in bench.pods())


@pytest.mark.parametrize("labels", [{"app": "pi"}, {}])
def test_a_pod_that_no_job_owns_any_more_is_let_go(bench: Bench, labels: dict[str, str]) -> None:
    """Seed 2858 of podyard simulate: its Job was deleted with Orphan, nobody took the finalizer away, and the pod
    stayed Terminating once its node was lost. Source: job_controller.go updatePod, syncOrphanPod (1.32)."""
    bench.create(job())
    bench.run()
    (pod,) = bench.pods()
    assert FINALIZER in pod.metadata.finalizers
    bench.do(Update(replace(pod, metadata=replace(pod.metadata, owner_references=(), labels=labels))))
    bench.delete("Job", "pi")
    bench.run()
    (pod,) = bench.pods()
    assert FINALIZER not in pod.metadata.finalizers


def test_failures_count_once_wherever_they_are_held() -> None:
    """In status.failed, in uncountedTerminatedPods with the pod still there, in it with the pod gone, and nowhere yet.
    Source: kubernetes 1.32 pkg/controller/job/job_controller.go syncJob, newFailedPodInfo and getStatus."""
    pods = JobPods()
    for uid in ("held", "new", "newer"):
        meta = ObjectMeta(name=uid, namespace="default", uid=uid, finalizers=(FINALIZER,))
        pods.put(f"default/{uid}", Pod(metadata=meta, status=PodStatus(phase="Failed")))
    held = UncountedTerminatedPods(failed=("held", "gone"))
    for limit, ends in ((6, False), (5, False), (4, True)):  # 1 + 1 + 1 + 2 have failed
        of = replace(
            job(backoff_limit=limit, completions=9), status=JobStatus(failed=1, uncounted_terminated_pods=held)
        )
        found = judge(0, of, pods)
        assert (found.failed, found.counted_failed) == (5, 2)
        assert (found.condition is not None) is ends
