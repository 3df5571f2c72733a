"""What controllers wait for, and for how long: seconds of readiness, writes that were refused, or never seen."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.objects.namespace import NamespaceController
from harness.controllers.policy.resource_quota import ResourceQuotaController
from harness.controllers.services.endpointslice.controller import EndpointSliceController
from harness.controllers.storage.persistent_volume import PersistentVolumeController
from harness.controllers.storage.provisioner import ProvisionerController
from harness.controllers.workloads.daemonset import DaemonSetController
from harness.controllers.workloads.job.pods import Backoff, finished_at
from harness.controllers.workloads.replicaset import ReplicaSetController
from harness.controllers.workloads.statefulset.controller import StatefulSetController
from harness.engine.component import MINUTE, SECOND, Create, Delete, Update
from harness.model.constants import DEFAULTS
from harness.model.core import (
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Namespace,
    Node,
    NodeStatus,
    Pod,
    PodStatus,
)
from harness.model.daemon_sets import target_of
from harness.model.meta import Condition, ObjectMeta
from harness.model.objects import from_wire
from harness.model.quantity import count_quantity, parse_quantity
from harness.model.status import ApiError, conflict, forbidden
from harness.model.volumes import ZONE
from harness.model.wire import Time
from tests.controllers.rig import Rig
from tests.controllers.test_daemonset import daemon_set
from tests.controllers.test_endpointslice import pod as served
from tests.controllers.test_endpointslice import service
from tests.controllers.test_replicaset import replica_set
from tests.controllers.test_statefulset import CLAIM, CLASS, stateful_set
from tests.experiment.test_volumes import claim, storage_class

CAPACITY = {"cpu": parse_quantity("4"), "memory": parse_quantity("8Gi"), "pods": count_quantity(50)}


def refusing(rig: Rig, effect: type, error: ApiError, times: int = 1, kind: str = "") -> list[int]:
    """The next writes of this type (and of objects of this kind) are refused; when each was tried, in seconds."""
    tried: list[int] = []

    def refuse(name: str, asked: Any) -> ApiError | None:
        about = getattr(asked, "kind", "") or type(getattr(asked, "obj", None)).__name__
        if type(asked) is not effect or (kind and about != kind):
            return None
        tried.append(rig.now // SECOND)
        return error if len(tried) <= times else None

    rig.refuse = refuse
    return tried


# -- DaemonSets --------------------------------------------------------------------------------------------------------


def daemons(**spec: Any) -> Rig:
    rig = Rig(DaemonSetController())
    for name in ("a", "b"):
        status = NodeStatus(capacity=CAPACITY, allocatable=CAPACITY)
        rig.create(Node(metadata=ObjectMeta(name=name), status=status))
    made = daemon_set()
    rig.create(replace(made, spec=replace(made.spec, **spec)))
    rig.run()
    return rig


def start(rig: Rig) -> None:
    """Each daemon pod is bound to its node, and ready."""
    for item in rig.pods():
        if item.metadata.deletion_timestamp is None and item.status.phase != "Running":
            rig.set_ready(item, node=target_of(item))


def test_a_daemon_pod_is_available_when_it_has_been_ready_for_as_long_as_asked() -> None:
    rig = daemons(min_ready_seconds=20)
    start(rig)
    rig.run(19)
    status = rig.get("DaemonSet", "agent").status
    assert (status.number_ready, status.number_available, status.number_unavailable) == (2, None, 2)
    rig.run(2)
    status = rig.get("DaemonSet", "agent").status
    assert (status.number_ready, status.number_available, status.number_unavailable) == (2, 2, None)


def test_without_min_ready_seconds_a_ready_daemon_pod_is_available_at_once() -> None:
    rig = daemons()
    start(rig)
    rig.run(0.5)
    assert rig.get("DaemonSet", "agent").status.number_available == 2


def test_a_rollout_of_daemons_waits_for_min_ready_seconds_before_the_next_node() -> None:
    rig = daemons(min_ready_seconds=30)
    start(rig)
    rig.run(60)
    newer = daemon_set(image="agent:2").spec.template
    rig.change("DaemonSet", "agent", template=newer)
    rig.run(1)
    going = [item for item in rig.pods() if item.metadata.deletion_timestamp is not None]
    assert len(going) == 1
    rig.kubelet_kills(going[0])
    rig.run(1)
    start(rig)
    rig.run(28)
    assert [item for item in rig.pods() if item.metadata.deletion_timestamp is not None] == []
    rig.run(3)
    assert len([item for item in rig.pods() if item.metadata.deletion_timestamp is not None]) == 1


@pytest.mark.parametrize("error", [forbidden("pods", "x", "no"), ApiError(500, "InternalError", "no")])
def test_a_daemon_pod_that_was_refused_is_made_soon(error: ApiError) -> None:
    rig = Rig(DaemonSetController())
    tried = refusing(rig, Create, error, kind="Pod")
    rig.create(Node(metadata=ObjectMeta(name="a"), status=NodeStatus(capacity=CAPACITY, allocatable=CAPACITY)))
    rig.create(daemon_set())
    rig.run(30)
    assert len(rig.pods()) == 1, "long before what was expected is given up"
    assert len(tried) == 2
    assert rig.events("FailedCreate") != []


def test_a_daemon_pod_whose_deletion_was_refused_is_deleted_soon() -> None:
    rig = daemons()
    start(rig)
    rig.run(1)
    tried = refusing(rig, Delete, ApiError(500, "InternalError", "no"))
    rig.change("DaemonSet", "agent", template=daemon_set(image="agent:2").spec.template)
    rig.run(30)
    assert len(tried) >= 2
    assert len([item for item in rig.pods() if item.metadata.deletion_timestamp is not None]) == 1


# -- StatefulSets ------------------------------------------------------------------------------------------------------


def test_a_pod_of_a_set_that_is_gone_when_it_is_to_be_deleted_is_no_failure() -> None:
    rig = Rig(StatefulSetController())
    rig.create(stateful_set(podManagementPolicy="Parallel", replicas=2))
    rig.run(2)
    refusing(rig, Delete, ApiError(404, "NotFound", 'pods "db-1" not found'), kind="Pod", times=2)
    rig.change("StatefulSet", "db", replicas=1)
    rig.run(30)
    assert rig.events("FailedDelete") == []


@pytest.mark.parametrize("error", [ApiError(500, "InternalError", "no"), conflict("pods", "db-1", "no")])
def test_a_pod_of_a_set_whose_deletion_was_refused_is_deleted_soon(error: ApiError) -> None:
    rig = Rig(StatefulSetController())
    rig.create(stateful_set(podManagementPolicy="Parallel", replicas=2))
    rig.run(2)
    for item in rig.pods():
        rig.set_ready(item)
    rig.run(2)
    tried = refusing(rig, Delete, error, kind="Pod")
    rig.change("StatefulSet", "db", replicas=1)
    rig.run(30)
    assert len(tried) >= 2
    assert [item.metadata.name for item in rig.pods() if item.metadata.deletion_timestamp is not None] == ["db-1"]


def test_a_pod_of_a_set_that_nobody_saw_again_is_made_anew_after_five_minutes() -> None:
    """Its creation was answered and the pod went before any watch showed it."""
    rig = Rig(StatefulSetController(), latency_ns=SECOND)
    rig.create(stateful_set(replicas=1))
    while not rig.pods():
        rig.run(0.5)
    (only,) = rig.pods()
    rig.kubelet_kills(only)
    rig.run(4 * 60)
    before = len(rig.pods())
    rig.run(2 * 60)
    assert (before, [item.metadata.name for item in rig.pods()]) in ((0, ["db-0"]), (1, ["db-0"]))


def test_a_claim_that_is_there_already_is_taken_as_it_is() -> None:
    """Somebody made it in between: a conflict, and nobody's loss."""
    rig = Rig(StatefulSetController())
    rig.create(from_wire(CLASS))
    found = {**CLAIM, "kind": "PersistentVolumeClaim", "metadata": {"name": "data-db-0", "namespace": "default"}}
    taken = ApiError(409, "AlreadyExists", 'persistentvolumeclaims "data-db-0" already exists')
    refusing(rig, Create, taken, kind="PersistentVolumeClaim")
    rig.create(stateful_set(volumeClaimTemplates=[CLAIM], replicas=1))
    rig.create(from_wire(found))
    rig.run(5)
    assert [item.metadata.name for item in rig.pods()] == ["db-0"]
    assert rig.events("FailedCreate") == []


def test_a_pod_comes_in_the_same_breath_as_its_claims() -> None:
    rig = Rig(StatefulSetController())
    rig.create(from_wire(CLASS))
    rig.create(stateful_set(volumeClaimTemplates=[CLAIM], replicas=1))
    rig.run(2)
    assert [item.metadata.name for item in rig.pods()] == ["db-0"]
    made = [effect.obj for _, effect in rig.sent if isinstance(effect, Create)]
    names = [type(item).__name__ for item in made if type(item).__name__ != "Event"]
    assert names == ["ControllerRevision", "PersistentVolumeClaim", "Pod"], "each once"


# -- ReplicaSets -------------------------------------------------------------------------------------------------------


def test_expectations_hold_however_late_it_is() -> None:
    """What was created and is not seen yet is not created again, an hour after the start as at the start."""
    rig = Rig(ReplicaSetController(), latency_ns=2 * SECOND)
    rig.run(3600)
    rig.create(replica_set(1))
    rig.run(3)
    rig.change("ReplicaSet", "web", replicas=2)
    rig.run(30)
    created = [effect for _, effect in rig.sent if isinstance(effect, Create) and isinstance(effect.obj, Pod)]
    assert len(created) == 2


# -- EndpointSlices ----------------------------------------------------------------------------------------------------


def streets(batch_s: int = 0, latency_ns: int = 5_000_000) -> Rig:
    controller = EndpointSliceController()
    controller.constants = dataclasses.replace(controller.constants, endpointslice_batch_period_ns=batch_s * SECOND)
    return Rig(controller, latency_ns=latency_ns)


def test_changes_of_a_batch_period_are_written_together_at_its_end() -> None:
    rig = streets(batch_s=10)
    rig.create(service())
    rig.run(15)
    before = len(rig.sent)
    for index in range(4):
        rig.set_ready(rig.create(served(f"p{index}")))
        rig.run(2)
    assert len(rig.sent) == before, "nothing within ten seconds of the first"
    rig.run(5)
    assert len(rig.sent) == before + 1
    assert len(rig.server.listed("EndpointSlice")[0].endpoints) == 4


def test_a_slice_that_was_refused_is_told_and_written_soon() -> None:
    rig = streets()
    tried = refusing(rig, Create, ApiError(500, "InternalError", "no"), times=1, kind="EndpointSlice")
    rig.create(service())
    rig.set_ready(rig.create(served("a")))
    rig.run(30)
    assert len(tried) >= 2
    assert [item.target_ref.name for item in rig.server.listed("EndpointSlice")[0].endpoints] == ["a"]
    (told,) = rig.events("FailedToUpdateEndpointSlices")
    assert "default/web" in told.message


def test_no_slice_is_tried_again_in_a_namespace_that_goes() -> None:
    rig = streets()
    error = ApiError(403, "Forbidden", "unable to create new content in namespace x because it is being terminated")
    tried = refusing(rig, Create, error, times=99, kind="EndpointSlice")
    rig.create(service())
    rig.run(120)
    assert len(tried) == 1
    assert rig.events("FailedToUpdateEndpointSlices") == []


def test_a_slice_that_nobody_saw_again_is_made_anew_after_five_minutes() -> None:
    rig = streets(latency_ns=SECOND)
    rig.create(service())
    while not rig.server.listed("EndpointSlice"):
        rig.run(0.5)
    (only,) = rig.server.listed("EndpointSlice")
    rig.do(Delete("EndpointSlice", "default", only.metadata.name))
    rig.run(6 * 60)
    assert len(rig.server.listed("EndpointSlice")) == 1


def test_a_named_port_is_of_the_same_name_and_protocol() -> None:
    rig = streets()
    rig.create(from_wire({
        "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 53, "targetPort": "dns", "protocol": "UDP"}]},
    }))  # fmt: skip
    first = [{"name": "metrics", "containerPort": 9, "protocol": "UDP"}, {"name": "dns", "containerPort": 53}]
    second = [{"name": "dns", "containerPort": 5353, "protocol": "UDP"}]
    containers = [{"name": name, "image": "i", "ports": ports} for name, ports in (("c", first), ("d", second))]
    body = {"kind": "Pod", "metadata": {"name": "a", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"containers": containers}}  # fmt: skip
    rig.set_ready(rig.create(from_wire(body)))
    rig.run(1)
    (only,) = rig.server.listed("EndpointSlice")
    assert [(port.port, port.protocol) for port in only.ports] == [(5353, "UDP")]


# -- quotas, namespaces, volumes ---------------------------------------------------------------------------------------


def test_of_two_quotas_the_other_goes_on_when_one_is_deleted() -> None:
    rig = Rig(ResourceQuotaController())
    for name, hard in (("one", {"pods": 5}), ("two", {"pods": 9})):
        rig.create(from_wire({"kind": "ResourceQuota", "metadata": {"name": name, "namespace": "default"},
                              "spec": {"hard": hard}}))  # fmt: skip
    rig.run(1)
    rig.delete("ResourceQuota", "one")
    rig.run(1)
    rig.create(served("a"))
    made = rig.create(served("b"))
    rig.run(1)
    assert rig.get("ResourceQuota", "two").status.used["pods"].value == 2
    rig.do(Delete("Pod", "default", made.metadata.name, grace_s=0))
    rig.run(1)
    assert rig.get("ResourceQuota", "two").status.used["pods"].value == 1


def test_what_a_going_namespace_still_holds_is_deleted_again_after_five_seconds() -> None:
    rig = Rig(NamespaceController())
    rig.create(Namespace(metadata=ObjectMeta(name="x")))
    rig.create(from_wire({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "x", "finalizers": ["a.b/c"]}}))
    rig.run(1)
    rig.do(Delete("Namespace", "", "x"))
    rig.run(12)
    tried = [effect for _, effect in rig.sent if isinstance(effect, Delete) and effect.kind == "ConfigMap"]
    assert len(tried) >= 1
    held = rig.get("ConfigMap", "c", "x")
    rig.do(Update(replace(held, metadata=replace(held.metadata, finalizers=()))))
    rig.run(5.5)
    assert "x" not in rig.server.objects("Namespace")


def test_where_no_node_is_yet_a_volume_is_made_where_the_class_allows_first() -> None:
    rig = Rig(PersistentVolumeController(), ProvisionerController())
    allowed = [
        {"matchLabelExpressions": [{"key": ZONE, "values": ["b", "c"]}, {"key": "rack", "values": ["r2", "r3"]}]}
    ]
    for obj in (storage_class("now", mode="Immediate", allowedTopologies=allowed), claim("c", "now")):
        rig.create(from_wire(obj))
    rig.run(20)
    bound = rig.get("PersistentVolumeClaim", "c")
    affinity = rig.get("PersistentVolume", bound.spec.volume_name, "").spec.node_affinity
    found = {item.key: item.values for item in affinity.required.node_selector_terms[0].match_expressions}
    assert found == {ZONE: ("b",), "rack": ("r2",)}


# -- Jobs --------------------------------------------------------------------------------------------------------------


def ended(**about: Any) -> Pod:
    meta = ObjectMeta(name="p", uid=about.pop("uid", "u"), creation_timestamp=Time(10), **about.pop("meta", {}))
    return Pod(metadata=meta, status=PodStatus(phase=about.pop("phase", "Failed"), **about))


def test_when_a_pod_ended_is_known_from_the_best_that_there_is() -> None:
    """Source: backoff_utils.go getFinishedTime: the last container's end, else when it was no longer ready, else the
    deletion less its grace, else when it was made."""
    ready = (Condition(type="PodScheduled", status="True", last_transition_time=Time(7)),
             Condition(type="Ready", status="False", last_transition_time=Time(40)))  # fmt: skip
    containers = tuple(
        ContainerStatus(
            name=str(at), state=ContainerState(terminated=ContainerStateTerminated(exit_code=1, finished_at=Time(at)))
        )
        for at in (60, 90, 30)
    )
    deleted = {"deletion_timestamp": Time(100 * SECOND), "deletion_grace_period_seconds": 30}
    assert finished_at(ended()) == 10
    assert finished_at(ended(meta=deleted)) == 70 * SECOND
    assert finished_at(ended(meta={"deletion_timestamp": Time(100)})) == 100
    assert finished_at(ended(conditions=ready, meta=deleted)) == 40
    assert finished_at(ended(conditions=ready, meta=deleted, container_statuses=containers)) == 90


def test_the_backoff_of_a_job_begins_with_its_last_failure_and_ends_with_a_success() -> None:
    backoff = Backoff()
    assert backoff.until(DEFAULTS) == 0
    at = {"conditions": (Condition(type="Ready", status="False", last_transition_time=Time(100 * SECOND)),)}
    late = {"conditions": (Condition(type="Ready", status="False", last_transition_time=Time(200 * SECOND)),)}
    backoff.see([ended(uid="a", **at)])
    assert backoff.until(DEFAULTS) == 110 * SECOND
    backoff.see([ended(uid="a", **at)])
    assert backoff.until(DEFAULTS) == 110 * SECOND, "each pod once"
    backoff.see([ended(uid="c", **late), ended(uid="b", **at)])
    assert backoff.until(DEFAULTS) == 240 * SECOND, "three in a row: 10 s doubled twice, from the last"
    backoff.see([ended(uid="d", phase="Succeeded", **late)])
    assert backoff.until(DEFAULTS) == 0
    for number in range(9):
        backoff.see([ended(uid=f"e{number}", **late)])
    assert backoff.until(DEFAULTS) == 200 * SECOND + 10 * MINUTE, "ten minutes at most"
