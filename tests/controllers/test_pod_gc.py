"""Pods that were deleted before they had a node, and the Jobs that wait for them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.controllers.nodes.pod_gc import PodGarbageCollector
from harness.controllers.workloads.job.controller import JobController
from harness.engine.component import Delete, PatchStatus, Update
from harness.model.attachments import OUT_OF_SERVICE
from harness.model.constants import parse_constants
from harness.model.core import Node, NodeSpec, NodeStatus, Pod, Taint
from harness.model.meta import Condition, ObjectMeta
from harness.model.workloads import Job, JobSpec, PodFailurePolicy
from tests.controllers.rig import Rig, template
from tests.examples import examples

MOST = 3


def test_a_pod_that_is_deleted_before_it_has_a_node_has_failed() -> None:
    """Source: gc_controller.go gcUnscheduledTerminating (1.32): with a finalizer it stays, and no kubelet ends it."""
    rig = Rig(PodGarbageCollector())
    meta = ObjectMeta(name="p", namespace="default", finalizers=("example.com/counted",))
    for made in (meta, replace(meta, name="waits")):
        rig.create(Pod(metadata=made, spec=template().spec))
    rig.do(Delete("Pod", "default", "p"))
    assert rig.get("Pod", "p").status.phase == "Pending"
    rig.run(21)
    assert rig.get("Pod", "p").status.phase == "Failed"
    assert rig.get("Pod", "waits").status.phase == "Pending"
    rig.run(120)
    assert sum(isinstance(effect, PatchStatus) for _, effect in rig.sent) == 1
    pod = rig.get("Pod", "p")
    rig.do(Update(replace(pod, metadata=replace(pod.metadata, finalizers=())), ""))
    assert sorted(rig.server.objects("Pod")) == ["default/waits"]


def test_a_job_that_replaces_what_has_failed_replaces_a_pod_that_never_had_a_node() -> None:
    rig = Rig(PodGarbageCollector(), JobController())
    spec = JobSpec(completions=1, template=template(restart_policy="Never"), pod_failure_policy=PodFailurePolicy())
    rig.create(Job(metadata=ObjectMeta(name="j", namespace="default"), spec=spec))
    rig.run(1)
    (first,) = rig.server.objects("Pod")
    rig.do(Delete("Pod", "default", first.removeprefix("default/")))
    rig.run(35)
    (second,) = rig.server.objects("Pod")
    assert second != first
    assert rig.get("Job", "j").status.failed == 1


def test_deleted_pods_of_a_node_that_is_out_of_service_go_and_no_others() -> None:
    """Source: gc_controller_test.go TestGCTerminating (1.34): the node must not be ready, and have the taint."""
    rig = Rig(PodGarbageCollector())
    taint = Taint(key=OUT_OF_SERVICE, value="nodeshutdown", effect="NoExecute")
    for name, taints, ready in (("out", (taint,), "False"), ("tainted", (taint,), "True"), ("down", (), "False")):
        condition = Condition(type="Ready", status=ready)
        rig.create(
            Node(
                metadata=ObjectMeta(name=name),
                spec=NodeSpec(taints=taints),
                status=NodeStatus(conditions=(condition,)),
            )
        )
        for pod in (f"{name}-goes", f"{name}-stays"):
            made = rig.create(Pod(metadata=ObjectMeta(name=pod, namespace="default"), spec=template().spec))
            rig.set_ready(made, node=name)
        rig.delete("Pod", f"{name}-goes")
    rig.run(21)
    left = {"default/out-stays", "default/tainted-goes", "default/tainted-stays", "default/down-goes"}
    assert set(rig.server.objects("Pod")) == left | {"default/down-stays"}
    (said,) = [effect.obj.status for _, effect in rig.sent if isinstance(effect, PatchStatus)]
    assert said.phase == "Failed"
    assert [item.type for item in said.conditions] == ["PodScheduled", "Ready"], "no DisruptionTarget"


STORY = st.lists(
    st.tuples(st.sampled_from(("create", "create", "finish", "finish", "delete", "round")), st.integers(0, 9)),
    min_size=40,
    max_size=80,
)


@settings(max_examples=examples(60), deadline=None)
@given(story=STORY)
def test_of_those_that_ended_the_newest_stay(story: list[tuple[str, int]]) -> None:
    """Made, ended, deleted, made again under the same name: what is remembered of them stays as short as they are many.

    The memory of all that ever ended grew without end; a look at all pods in each round made a log of 18,000 jobs
    take twice its time."""
    collector = PodGarbageCollector()
    collector.constants = parse_constants({"terminated-pod-gc-threshold": MOST})
    rig = Rig(collector)

    def ended() -> list[tuple[int, str]]:
        pods = rig.server.objects("Pod").values()
        return sorted(
            (pod.metadata.creation_timestamp or 0, pod.metadata.name) for pod in pods if pod.status.phase == "Succeeded"
        )

    for what, number in [*story, ("round", 0)]:
        name = f"p{number}"
        pod = rig.server.objects("Pod").get(f"default/{name}")
        if what == "round":
            newest = ended()[-MOST:]
            rig.run(21)
            assert ended() == newest
            assert len(collector._oldest) <= 2 * len(newest)
        elif pod is None and what == "create":
            rig.create(Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=template().spec))
            rig.run(1)
        elif pod is not None and what == "finish" and pod.status.phase != "Succeeded":
            rig.finish(pod)
        elif pod is not None and what == "delete":
            rig.do(Delete("Pod", "default", name, grace_s=0))
