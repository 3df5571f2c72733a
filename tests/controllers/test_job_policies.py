"""Jobs that say themselves what a failure means, when enough has succeeded, and when a pod is replaced."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.workloads.job.controller import JobController
from harness.controllers.workloads.job.failure_policy import matched_rule
from harness.controllers.workloads.job.indexes import FAILURES, IGNORED_FAILURES, INDEX, parsed, text_of
from harness.controllers.workloads.job.pods import FINALIZER
from harness.controllers.workloads.job.success_policy import met_rule
from harness.engine.component import PatchStatus
from harness.model.core import ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus
from harness.model.meta import Condition, ObjectMeta, condition
from harness.model.objects import from_wire, to_wire
from harness.model.status import ApiError
from harness.model.wire import Time, decode
from harness.model.workloads import Job, JobSpec, PodFailurePolicy, SuccessPolicy, SuccessPolicyRule
from tests.controllers.published_jobs import FAILURE, SUCCESS, TEXTS, Failure, Success
from tests.controllers.rig import Rig


def ended(name: str, code: int, at: int = 0) -> ContainerStatus:
    state = ContainerState(terminated=ContainerStateTerminated(exit_code=code, finished_at=Time(at)))
    return ContainerStatus(name=name, state=state)


@pytest.mark.parametrize("row", SUCCESS.values(), ids=SUCCESS)
def test_published_success_policies(row: Success) -> None:
    rules = tuple(SuccessPolicyRule(succeeded_indexes=text, succeeded_count=count) for text, count in row.rules)
    job = Job(spec=JobSpec(completions=10, completion_mode="Indexed", success_policy=SuccessPolicy(rules=rules)))
    assert met_rule(job, parsed(row.done, 99)) == row.met


@pytest.mark.parametrize("row", FAILURE.values(), ids=FAILURE)
def test_published_failure_policies(row: Failure) -> None:
    pod = Pod(
        metadata=ObjectMeta(namespace="default", name="mypod"),
        status=PodStatus(
            phase="Failed",
            container_statuses=tuple(ended(*item) for item in row.exits),
            init_container_statuses=tuple(ended(*item) for item in row.init_exits),
            conditions=tuple(Condition(type=kind, status=status) for kind, status in row.conditions),
        ),
    )
    found = matched_rule(decode(PodFailurePolicy, {"rules": list(row.rules)}), pod)
    assert (found.action, found.counts, found.why) == (row.action, row.counts, row.why)


@pytest.mark.parametrize(("text", "indexes"), TEXTS.items())
def test_published_texts_of_indexes(text: str, indexes: tuple[int, ...]) -> None:
    assert text_of(indexes) == text
    assert parsed(text, 100) == set(indexes)


CONTAINERS = [{"name": "c", "image": "i"}]


def job(restart: str = "Never", **spec: Any) -> Job:
    template = {"metadata": {"labels": {"app": "pi"}}, "spec": {"restartPolicy": restart, "containers": CONTAINERS}}
    meta = {"name": "pi", "namespace": "default"}
    made: Job = from_wire(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template, **spec}}
    )
    return made


def indexed(**spec: Any) -> Job:
    return job(**{"completionMode": "Indexed", "completions": 3, "parallelism": 3, **spec})


class Bench(Rig):
    def __init__(self) -> None:
        self.controller = JobController()
        super().__init__(self.controller)

    @property
    def pi(self) -> Job:
        found: Job = self.get("Job", "pi")
        return found

    def active(self) -> dict[str, Pod]:
        """By index, in order; of other Jobs by a number."""
        pods = [
            pod
            for pod in self.pods()
            if pod.status.phase not in ("Succeeded", "Failed") and pod.metadata.deletion_timestamp is None
        ]
        return {pod.metadata.annotations.get(INDEX, str(at)): pod for at, pod in enumerate(pods)}

    def end(self, pod: Pod, code: int = 1, *conditions: str) -> None:
        """All its containers end; `conditions`: that it has, too."""
        pod = self.get("Pod", pod.metadata.name)
        if not pod.spec.node_name:
            pod = self.bind(pod, "n")
        held = tuple(Condition(type=kind, status="True") for kind in conditions)
        status = PodStatus(
            phase="Succeeded" if code == 0 else "Failed",
            conditions=(Condition(type="Ready", status="False", last_transition_time=Time(self.now)), *held),
            container_statuses=(ended("c", code, self.now),),
        )
        self.do(PatchStatus(replace(pod, status=status)))
        self.run()

    def said(self, kind: str) -> str:
        found = condition(self.pi.status.conditions, kind)
        return "" if found is None else f"{found.reason}: {found.message}"

    def counts(self) -> tuple[int, int, int]:
        status = self.pi.status
        return status.active or 0, status.succeeded or 0, status.failed or 0


@pytest.fixture
def bench() -> Bench:
    return Bench()


ON_42 = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
ON_DISRUPTION = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


def test_an_exit_code_fails_the_job_at_once(bench: Bench) -> None:
    bench.create(job(parallelism=2, completions=2, podFailurePolicy={"rules": [ON_42]}))
    bench.run()
    first, second = map(bench.set_ready, bench.active().values())
    bench.end(first, 42)
    text = f"Container c for pod {first.metadata.key} failed with exit code 42 matching FailJob rule at index 0"
    assert bench.said("FailureTarget") == f"PodFailurePolicy: {text}"
    assert bench.said("Failed") == ""  # the other pod is still going
    assert bench.get("Pod", second.metadata.name).metadata.deletion_timestamp is not None
    bench.end(second, 143)
    bench.kubelet_kills(second)
    bench.run()
    assert bench.said("Failed") == f"PodFailurePolicy: {text}"
    assert bench.counts() == (0, 0, 2)
    assert bench.events("PodFailurePolicy")[0].message == text


def test_disruptions_are_ignored_and_replaced(bench: Bench) -> None:
    bench.create(job(backoffLimit=0, podFailurePolicy={"rules": [ON_DISRUPTION]}))
    bench.run()
    for _ in range(3):
        (pod,) = bench.active().values()
        bench.end(pod, 137, "DisruptionTarget")
        bench.run(400)
    assert bench.counts() == (1, 0, 0)
    assert [pod.metadata.finalizers for pod in bench.pods() if pod.status.phase == "Failed"] == [()] * 3
    (pod,) = bench.active().values()
    bench.end(pod, 1)
    assert bench.said("Failed") == "BackoffLimitExceeded: Job has reached the specified backoff limit"


def test_a_pod_is_replaced_when_it_has_failed_not_while_it_is_going(bench: Bench) -> None:
    bench.create(job(podReplacementPolicy="Failed"))
    bench.run()
    (pod,) = bench.active().values()
    bench.set_ready(pod)
    bench.delete("Pod", pod.metadata.name)
    bench.run(60)
    assert not bench.active()
    assert (bench.counts(), bench.pi.status.terminating) == ((0, 0, 0), 1)
    bench.end(pod, 143)
    bench.run(11)
    assert (bench.counts(), bench.pi.status.terminating) == ((1, 0, 1), 0)


def test_the_index_of_a_going_pod_is_not_taken_again(bench: Bench) -> None:
    bench.create(indexed(podReplacementPolicy="Failed", parallelism=2))
    bench.run()
    bench.delete("Pod", bench.set_ready(bench.active()["0"]).metadata.name)
    bench.run(60)
    assert [*bench.active()] == ["1"]


def test_what_replaces_a_failed_pod_takes_its_index_and_not_that_of_one_that_is_going(bench: Bench) -> None:
    bench.create(indexed(podReplacementPolicy="Failed", parallelism=2))
    bench.run()
    going, fails = (bench.set_ready(bench.active()[index]) for index in ("0", "1"))
    bench.delete("Pod", going.metadata.name)
    bench.end(fails, 1)
    bench.run(60)
    assert [*bench.active()] == ["1"]


def test_without_a_policy_the_index_of_a_going_pod_is_taken_again_at_once(bench: Bench) -> None:
    """Source: kubernetes 1.32 pkg/apis/batch/v1/defaults.go: podReplacementPolicy TerminatingOrFailed."""
    bench.create(indexed(parallelism=2))
    bench.run()
    bench.delete("Pod", bench.set_ready(bench.active()["0"]).metadata.name)
    bench.run(60)
    assert sorted(bench.active()) == ["0", "1"]


def test_pods_know_their_index(bench: Bench) -> None:
    bench.create(indexed())
    bench.run()
    pod = to_wire(bench.active()["2"])
    assert pod["metadata"]["labels"][INDEX] == pod["metadata"]["annotations"][INDEX] == "2"
    assert pod["metadata"]["generateName"] == "pi-2-"
    assert pod["spec"]["hostname"] == "pi-2"
    (variable,) = pod["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{INDEX}']"


def test_each_index_has_its_own_limit_and_its_own_backoff(bench: Bench) -> None:
    bench.create(indexed(backoffLimitPerIndex=1))
    bench.run()
    assert bench.pi.spec.backoff_limit == 2**31 - 1
    assert [pod.metadata.annotations[FAILURES] for pod in bench.active().values()] == ["0"] * 3
    bench.end(bench.active()["0"])
    failed = next(pod for pod in bench.pods() if pod.status.phase == "Failed")
    assert FINALIZER in failed.metadata.finalizers  # it says how often its index has failed
    assert [*bench.active()] == ["1", "2"]
    bench.run(10)
    assert bench.active()["0"].metadata.annotations[FAILURES] == "1"
    assert bench.get("Pod", failed.metadata.name).metadata.finalizers == ()
    bench.end(bench.active()["0"])
    bench.run(60)
    assert (bench.pi.status.failed_indexes, bench.pi.status.completed_indexes) == ("0", "")
    assert [*bench.active()] == ["1", "2"]
    bench.end(bench.active()["1"], 0)
    bench.end(bench.active()["2"], 0)
    assert bench.said("Failed") == "FailedIndexes: Job has failed indexes"
    assert (bench.pi.status.failed_indexes, bench.pi.status.completed_indexes) == ("0", "1,2")
    assert bench.counts() == (0, 2, 2)
    assert not any(FINALIZER in pod.metadata.finalizers for pod in bench.pods())


def test_too_many_failed_indexes(bench: Bench) -> None:
    bench.create(indexed(completions=5, parallelism=5, backoffLimitPerIndex=0, maxFailedIndexes=1))
    bench.run()
    for index in ("3", "4"):
        bench.end(bench.active()[index])
    for pod in bench.pods():
        if pod.metadata.deletion_timestamp is not None:
            bench.kubelet_kills(pod)
    bench.run()
    assert bench.said("Failed").startswith("MaxFailedIndexesExceeded: Job has exceeded the specified maximal number")
    assert bench.pi.status.failed_indexes == "3,4"


def test_which_indexes_have_failed_is_written_before_the_others_are_deleted(bench: Bench) -> None:
    """Else the pods that the Job's end deletes would look like failed indexes, too."""
    bench.create(indexed(backoffLimitPerIndex=0, maxFailedIndexes=0, parallelism=2))
    bench.run()
    happened: list[str] = []

    def note(kind: Any, change: str, obj: Any, *_: Any) -> None:
        if kind.kind == "Job":
            happened.append(f"failed {obj.status.failed_indexes}")
        elif kind.kind == "Pod" and (change == "DELETED" or obj.metadata.deletion_timestamp is not None):
            happened.append(f"goes {obj.metadata.annotations[INDEX]}")

    bench.server.listeners.append(note)
    bench.end(bench.active()["0"])
    assert not bench.active()
    assert happened.index("failed 0") < happened.index("goes 1")


def test_an_exit_code_fails_an_index_and_an_ignored_failure_is_counted_apart(bench: Bench) -> None:
    fail = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}}
    bench.create(indexed(backoffLimitPerIndex=3, podFailurePolicy={"rules": [fail, ON_DISRUPTION]}))
    bench.run()
    bench.end(bench.active()["1"], 7)
    bench.end(bench.active()["2"], 1, "DisruptionTarget")
    bench.run(15)
    assert bench.pi.status.failed_indexes == "1"
    again = bench.active()["2"].metadata.annotations
    assert (again[FAILURES], again[IGNORED_FAILURES]) == ("0", "1")
    assert bench.counts() == (2, 0, 1)


def test_a_success_policy_ends_the_others_uncounted(bench: Bench) -> None:
    rules = [{"succeededIndexes": "0-1", "succeededCount": 1}]
    bench.create(indexed(successPolicy={"rules": rules}))
    bench.run()
    going = [bench.set_ready(bench.active()[index]) for index in ("0", "2")]
    bench.end(bench.active()["1"], 0)
    assert bench.said("SuccessCriteriaMet") == "SuccessPolicy: Matched rules at index 0"
    assert bench.said("Complete") == ""
    assert bench.pi.status.terminating == 2
    for pod in going:
        bench.kubelet_kills(pod)
    bench.run()
    assert bench.said("Complete") == "SuccessPolicy: Matched rules at index 0"
    assert bench.counts() == (0, 1, 0)


def test_an_elastic_job_shrinks_and_forgets_what_is_beyond(bench: Bench) -> None:
    bench.create(indexed())
    bench.run()
    bench.end(bench.active()["2"], 0)
    bench.change("Job", "pi", completions=2, parallelism=2)
    bench.run()
    assert bench.pi.status.completed_indexes == ""
    bench.end(bench.active()["0"], 0)
    bench.end(bench.active()["1"], 0)
    assert bench.pi.status.completed_indexes == "0,1"
    assert bench.counts() == (0, 2, 0)
    assert bench.said("Complete").startswith("CompletionsReached")


def test_a_job_without_work_is_complete_at_once(bench: Bench) -> None:
    bench.create(job(completions=0))
    bench.run()
    assert bench.said("Complete").startswith("CompletionsReached")
    assert not bench.pods()


def test_parallelism_0_pauses(bench: Bench) -> None:
    bench.create(job(parallelism=0, completions=2))
    bench.run()
    assert not bench.pods()
    bench.change("Job", "pi", parallelism=1)
    bench.run()
    assert len(bench.active()) == 1


INDEXED = {"completionMode": "Indexed", "completions": 3}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
        ({**INDEXED, "maxFailedIndexes": 1}, "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is"),
        (
            {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4},
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ),
        ({"completionMode": "Indexed", "parallelism": 3}, "spec.completions: Required value: when completion mode"),
        (
            {**INDEXED, "parallelism": 100_001},
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000",
        ),
        (
            {"podReplacementPolicy": "Never"},
            'Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"',
        ),
        (
            {"podFailurePolicy": {"rules": []}, "podReplacementPolicy": "TerminatingOrFailed"},
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "FailJob"}]}},
            "rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ),
        (
            {"podFailurePolicy": {"rules": [{**ON_42, "action": "FailIndex"}]}},
            'rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
        ),
        (
            {"podFailurePolicy": {"rules": [{**ON_42, "onExitCodes": {"operator": "In", "values": [0, 3, 2, 2]}}]}},
            "values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            {"podFailurePolicy": {"rules": [{**ON_42, "onExitCodes": {"operator": "In", "values": [3, 2]}}]}},
            "values: Invalid value: [3,2]: must be ordered",
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [{**ON_42, "onExitCodes": {"operator": "In", "values": [2], "containerName": "x"}}]
                }
            },
            "must be one of the container or initContainer names in the pod template",
        ),
        ({**INDEXED, "successPolicy": {"rules": []}}, "at least one rules must be specified when the successPolicy"),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededCount": 4}]}},
            "must be less than or equal to 3 (the number of specified completions)",
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "2,1"}]}},
            "error parsing succeededIndexes: non-increasing order, previous: 2, current: 1",
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0-3"}]}},
            'error parsing succeededIndexes: too large index: \\"3\\"',
        ),
        ({"managedBy": "me"}, "must be a domain-prefixed path"),
    ],
)
def test_what_is_refused(bench: Bench, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError) as refused:
        bench.create(job(**spec))
    assert said.replace('\\"', '"') in refused.value.message.replace('\\"', '"')


def test_a_failure_policy_needs_pods_that_are_not_restarted(bench: Bench) -> None:
    with pytest.raises(ApiError, match='only "Never" is supported when podFailurePolicy is specified'):
        bench.create(job("OnFailure", podFailurePolicy={"rules": [ON_42]}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pod_failure_policy", PodFailurePolicy()),
        ("backoff_limit_per_index", 5),
        ("success_policy", SuccessPolicy(rules=(SuccessPolicyRule(succeeded_count=1),))),
        ("managed_by", "example.com/other"),
    ],
)
def test_policies_cannot_change(bench: Bench, field: str, value: Any) -> None:
    bench.create(indexed())
    with pytest.raises(ApiError, match="field is immutable"):
        bench.change("Job", "pi", **{field: value})
