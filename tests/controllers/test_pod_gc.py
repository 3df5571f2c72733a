"""Pods that were deleted before they had a node, and the Jobs that wait for them."""

from __future__ import annotations

from msgspec.structs import replace

from harness.controllers.nodes.pod_gc import PodGarbageCollector
from harness.controllers.workloads.job.controller import JobController
from harness.engine.component import Delete, PatchStatus, Update
from harness.model.core import Pod
from harness.model.meta import ObjectMeta
from harness.model.workloads import Job, JobSpec, PodFailurePolicy
from tests.controllers.rig import Rig, template


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
