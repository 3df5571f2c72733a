"""Somebody patches an object: what the patch may be, what comes of it, and that it is made again after a conflict."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from harness.engine.component import ADDED, Outcome, Start, Timer, Update, WakeAt, Watch
from harness.experiment.run import Home, Run
from harness.faults.timeline import Timeline, parse
from harness.model.core import Node
from harness.model.errors import UserError
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.scheduling.registry import load
from tests.experiment.scenarios import SERVICE, loaded

CORDON = {"kind": "Node", "name": "n-0", "patch": {"spec": {"unschedulable": True}}}


def played(*patches: dict[str, Any]) -> Any:
    faults = [{"at": f"{20 + index}s", "objectChange": patch} for index, patch in enumerate(patches)]
    run = Run(loaded(duration="3m", workload=[SERVICE], faults=faults), load("greedy")(), 1, Home())
    run.play()
    result = run.result("greedy")
    assert not any(result.wrong())
    return run.cluster.server


def test_nodes_are_cordoned_and_workloads_changed() -> None:
    paused = {"kind": "Deployment", "name": "web", "patch": {"spec": {"replicas": 2, "paused": True}}}
    server = played(CORDON, paused, {"kind": "Service", "name": "web", "patch": {"metadata": {"labels": {"a": "b"}}}})
    assert server.get("Node", "", "n-0").spec.unschedulable is True
    assert server.get("Node", "", "n-1").spec.unschedulable is None
    deployment = server.get("Deployment", "default", "web")
    assert (deployment.spec.replicas, deployment.spec.paused) == (2, True)
    assert deployment.status.ready_replicas == 2
    assert server.get("Service", "default", "web").metadata.labels["a"] == "b"


def test_a_null_takes_a_field_away() -> None:
    server = played(CORDON, {**CORDON, "patch": {"spec": {"unschedulable": None}}})
    assert not server.get("Node", "", "n-0").spec.unschedulable


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kind": "Nod", "name": "n-0", "patch": {}}, "is no kind of object"),
        ({"kind": "Node", "name": "n-0", "patch": {"spec": {"unschedulble": True}}}, "did you mean"),
        ({"kind": "Node", "name": "n-0", "patch": {"spec": {"unschedulable": "yes"}}}, "wrong type"),
        ({"kind": "Node", "name": "n-77", "patch": {"spec": {"unschedulable": True}}}, "can hit nothing"),
    ],
)
def test_what_is_wrong_with_a_patch_is_told_before_the_run(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        played(fields)


def test_after_a_conflict_it_is_made_of_the_newest_version() -> None:
    timeline = Timeline(parse([{"at": "1s", "objectChange": CORDON}]), Random(1))
    node = Node(metadata=ObjectMeta(name="n-0", uid="u", resource_version="5"))
    (wake,) = timeline.step(1, [Start(), Watch(ADDED, node)])
    assert isinstance(wake, WakeAt)
    change = next(effect for effect in timeline.step(wake.at, [Timer(wake.token)]) if isinstance(effect, Update))
    assert change.obj.metadata.resource_version == "5"
    newer = replace(node, metadata=replace(node.metadata, resource_version="6", labels={"seen": "yes"}))
    lost = Outcome(change, None, ApiError(409, "Conflict", "modified"))
    (again,) = timeline.step(wake.at + 1, [lost, Watch("MODIFIED", newer)])
    assert isinstance(again, WakeAt)
    (second,) = timeline.step(again.at, [Timer(again.token)])
    assert isinstance(second, Update)
    assert second.obj.metadata.resource_version == "6"
    assert second.obj.metadata.labels == {"seen": "yes"}
    assert second.obj.spec.unschedulable is True


def test_what_has_no_namespace_is_found_too() -> None:
    """Seed 9023: it was looked for as default/NAME."""
    quick = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "quick"},
             "provisioner": "podyard.dev/disk"}  # fmt: skip
    change = {"kind": "StorageClass", "name": "quick", "patch": {"metadata": {"labels": {"a": "b"}}}}
    deletion = {"kind": "StorageClass", "name": "slow"}
    slow = {**quick, "metadata": {"name": "slow"}}
    faults = [{"at": "20s", "objectChange": change}, {"at": "21s", "objectDeletion": deletion}]
    given = loaded(duration="1m", workload=[SERVICE, {"objects": [quick, slow]}], faults=faults)
    run = Run(given, load("greedy")(), 1, Home())
    run.play()
    held = run.cluster.server.objects("StorageClass")
    assert held["quick"].metadata.labels == {"a": "b"}
    assert "slow" not in held


POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "alone", "namespace": "default"},
       "spec": {"containers": [{"name": "c", "image": "i"}]}}  # fmt: skip


def _notices(*faults: dict[str, Any], objects: tuple[dict[str, Any], ...] = ()) -> tuple[Any, list[str]]:
    given = loaded(duration="3m", workload=[SERVICE, {"objects": list(objects)}], faults=list(faults))
    run = Run(given, load("greedy")(), 1, Home())
    run.play()
    return run.cluster.server, run.result("greedy").notices


def test_what_is_being_deleted_can_be_patched() -> None:
    """As by somebody who takes a finalizer away; it was passed over, and the object stayed for good."""
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": ["example.com/held"]}}
    one = {"kind": "ConfigMap", "name": "c"}
    free = {"at": "40s", "objectChange": {**one, "patch": {"metadata": {"finalizers": None}}}}
    server, _ = _notices({"at": "20s", "objectDeletion": one}, free, objects=(held,))
    assert "default/c" not in server.objects("ConfigMap")


def test_a_pod_is_changed_by_its_name() -> None:
    """The check before the run knew pods by their labels alone, and refused every name."""
    change = {"kind": "Pod", "name": "alone", "patch": {"metadata": {"labels": {"a": "b"}}}}
    server, notices = _notices({"at": "20s", "objectChange": change}, objects=(POD,))
    assert server.get("Pod", "default", "alone").metadata.labels == {"a": "b"}
    assert notices == []


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"objectDeletion": {"kind": "Pod", "name": "no-such"}}, 'pods "no-such" not found'),
        ({"objectChange": {"kind": "Deployment", "name": "web", "patch": {"spec": {"replicas": -5}}}}, "spec.replicas"),
        ({"deploymentChange": {"name": "web", "replicas": 2**31}}, "spec.replicas: Invalid value: 2147483648"),
        ({"objectChange": {"kind": "Pod", "name": "no-such", "patch": {}}}, "hit nothing"),
    ],
)
def test_what_the_api_server_refuses_is_told(fault: dict[str, Any], told: str) -> None:
    """A write that failed for good was no word to anybody."""
    server, (notice,) = _notices({"at": "20s", **fault})
    assert told in notice
    assert "at 20 s" in notice
    assert server.get("Deployment", "default", "web").spec.replicas == SERVICE["service"]["replicas"]


def test_a_misspelt_name_is_told_before_the_run() -> None:
    with pytest.raises(UserError, match="no Deployment default/wob") as told:
        _notices({"at": "20s", "objectDeletion": {"kind": "Deployment", "name": "wob"}})
    assert told.value.hint == "did you mean 'default/web'?"
