"""A session of kube-scheduler 1.34.1 with `podyard up --scheduler none`: protobuf in, and out as well."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")
pytest.importorskip("google.protobuf", reason="protobuf is not installed")

from tests.e2e.kube_scheduler import (
    ACCEPT,
    LISTED,
    PROTOBUF,
    Wire,
    amounts,
    condition,
    frames,
    messages,
    milli,
    opened,
    sealed,
)
from tests.e2e.test_up import eventually, podyard_up

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("up")]

PENDING = "fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
"""kube-scheduler's informer of pods."""

PODS = "/api/v1/namespaces/default/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("up") / "config"
    with podyard_up(path, "--nodes", "2", "--cpu", "2", "--scheduler", "none"):
        yield path


@pytest.fixture
def wire(config: Path) -> Wire:
    return Wire(config, PROTOBUF)


def pod(name: str, cpu: str, **spec: Any) -> bytes:
    container = {"name": "c", "image": "busybox", "resources": {"requests": {"cpu": cpu}}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}}
    return json.dumps(body).encode()


def create(wire: Wire, path: str, body: bytes | dict[str, Any]) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return opened(wire.send("POST", path, data, "application/json", 201))


def unbound(wire: Wire) -> list[Any]:
    found = opened(wire.send("GET", f"/api/v1/pods?{PENDING}&limit=500&resourceVersion=0")).items
    return [item for item in found if not item.spec.nodeName and item.spec.schedulerName == "default-scheduler"]


def bind(wire: Wire, item: Any, node: str, expect: int = 201) -> bytes:
    meta = messages()["ObjectMeta"](name=item.metadata.name, namespace=item.metadata.namespace, uid=item.metadata.uid)
    target = messages()["ObjectReference"](kind="Node", name=node)
    body = sealed("v1", "Binding", messages()["Binding"](metadata=meta, target=target))
    return wire.send("POST", f"{PODS}/{item.metadata.name}/binding", body, expect=expect)


@pytest.mark.parametrize("kind", sorted(LISTED))
def test_every_informer_lists_and_watches(config: Path, wire: Wire, kind: str) -> None:
    query = f"{PENDING}&" if kind == "Pod" else ""
    listed = opened(wire.send("GET", f"{LISTED[kind]}?{query}limit=500&resourceVersion=0"))
    revision = listed.metadata.resourceVersion
    assert int(revision) > 0
    bookmarked = "allowWatchBookmarks=true&timeoutSeconds=330&watch=true"
    with wire.open("GET", f"{LISTED[kind]}?{query}{bookmarked}&resourceVersion={revision}") as watch:
        assert (watch.status, watch.headers["Content-Type"]) == (200, f"{PROTOBUF};stream=watch")
    # As kube-scheduler itself asks, JSON is answered: it is read as well, and made faster.
    code, content_type, body = Wire(config, ACCEPT).call("GET", f"{LISTED[kind]}?limit=500&resourceVersion=0")
    assert (code, content_type, json.loads(body)["kind"]) == (200, "application/json", f"{kind}List")


def test_a_watch_list_ends_its_initial_events_with_a_bookmark(wire: Wire) -> None:
    query = "allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&watch=true"
    with wire.open("GET", f"{LISTED['Node']}?{query}") as answer:
        seen = []
        for change, raw in frames(answer):
            found = opened(raw)
            seen.append((change, found.metadata.name))
            if change == "BOOKMARK":
                assert ("k8s.io/initial-events-end", "true") in [(p.key, p.value) for p in found.metadata.annotations]
                break
    assert seen == [("ADDED", "node-0"), ("ADDED", "node-1"), ("BOOKMARK", "")]


def test_leader_election(wire: Wire) -> None:
    code, _, body = wire.call("GET", f"{LEASES}/kube-scheduler?timeout=5s")
    assert (code, opened(body).reason) == (404, "NotFound")
    make = messages()
    now = make["Time"](seconds=int(time.time()), nanos=123_456_000)
    spec = make["LeaseSpec"](holderIdentity="a_1", leaseDurationSeconds=15, acquireTime=now, renewTime=now)
    spec.leaseTransitions = 0
    meta = make["ObjectMeta"](name="kube-scheduler", namespace="kube-system")
    lease = make["Lease"](metadata=meta, spec=spec)
    created = opened(wire.send("POST", LEASES, sealed("coordination.k8s.io/v1", "Lease", lease), expect=201))
    assert (created.spec.holderIdentity, created.spec.renewTime.nanos) == ("a_1", 123_456_000)
    assert created.spec.HasField("leaseTransitions")  # a zero that was said
    created.spec.renewTime.seconds += 2
    body = sealed("coordination.k8s.io/v1", "Lease", created)
    renewed = opened(wire.send("PUT", f"{LEASES}/kube-scheduler?timeout=5s", body))
    assert renewed.spec.renewTime.seconds == now.seconds + 2
    code, _, body = wire.call("PUT", f"{LEASES}/kube-scheduler?timeout=5s", body)
    assert (code, opened(body).reason) == (409, "Conflict")  # somebody has written since


def test_whom_the_server_trusts(config: Path, wire: Wire) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps"
    named = "fieldSelector=metadata.name%3Dextension-apiserver-authentication&limit=500&resourceVersion=0"
    code, _, body = Wire.call(wire, "GET", f"{path}?{named}")
    assert code == 200
    assert b"BEGIN CERTIFICATE" in body
    held = json.loads(Wire(config, ACCEPT).send("GET", f"{path}/extension-apiserver-authentication"))["data"]
    assert held["requestheader-client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")
    assert held["requestheader-client-ca-file"] != held["client-ca-file"]  # who signs users signs no proxy
    make = messages()
    spec = make["SubjectAccessReviewSpec"](user="system:kube-scheduler")
    for verb, resource, allowed in (("delete", "pods", True), ("delete", "nodes", False)):
        spec.resourceAttributes.CopyFrom(make["ResourceAttributes"](verb=verb, resource=resource))
        body = sealed("authorization.k8s.io/v1", "SubjectAccessReview", make["SubjectAccessReview"](spec=spec))
        answer = opened(wire.send("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body, expect=201))
        assert answer.status.allowed is allowed, (verb, resource)


def test_pods_are_bound_explained_and_preempted(config: Path, wire: Wire) -> None:
    """Two fill two nodes, the third is told why, and a fourth of higher priority takes the place of the first."""
    other = Wire(config, ACCEPT)
    first, second, third = (create(wire, PODS, pod(f"p{index}", "1500m")) for index in range(3))
    revision = opened(wire.send("GET", f"{LISTED['Pod']}?limit=500")).metadata.resourceVersion
    nodes = opened(wire.send("GET", f"{LISTED['Node']}?limit=500&resourceVersion=0")).items
    free = {node.metadata.name: milli(amounts(node.status.allocatable)["cpu"]) for node in nodes}
    assert free == {"node-0": 2000, "node-1": 2000}
    todo = unbound(wire)
    assert sorted(item.metadata.name for item in todo) == ["p0", "p1", "p2"]
    assert milli(amounts(todo[0].spec.containers[0].resources.requests)["cpu"]) == 1500
    for item, node in ((first, "node-0"), (second, "node-1")):
        assert opened(bind(wire, item, node)).status == "Success"
        event(wire, item, "Scheduled", "Binding", f"Successfully assigned default/{item.metadata.name} to {node}")
    assert opened(bind(wire, first, "node-1", expect=409)).reason == "Conflict"
    why = "0/2 nodes are available: 2 Insufficient cpu."
    merge = "application/strategic-merge-patch+json"
    told = opened(wire.send("PATCH", f"{PODS}/p2/status", condition("Unschedulable", why), merge))
    assert [(c.type, c.reason, c.message) for c in told.status.conditions] == [("PodScheduled", "Unschedulable", why)]
    event(wire, third, "FailedScheduling", "Scheduling", why)

    def running(name: str) -> bool:
        return bool(opened(wire.send("GET", f"{PODS}/{name}")).status.phase == "Running")

    eventually(lambda: running("p0") and running("p1"), "the bound pods run")
    fourth = create(wire, PODS, pod("p3", "1500m", priorityClassName="system-node-critical"))
    nominated = condition("Unschedulable", why, nominated="node-0")
    assert opened(wire.send("PATCH", f"{PODS}/p3/status", nominated, merge)).status.nominatedNodeName == "node-0"
    options = messages()["DeleteOptions"](preconditions=messages()["Preconditions"](uid=first.metadata.uid))
    wire.send("DELETE", f"{PODS}/p0", sealed("v1", "DeleteOptions", options))
    eventually(lambda: wire.call("GET", f"{PODS}/p0")[0] == 404, "the victim goes")
    bind(wire, fourth, "node-0")
    eventually(lambda: running("p3"), "the one that preempted runs")
    watched = (
        f"{LISTED['Pod']}?{PENDING}&allowWatchBookmarks=true&resourceVersion={revision}&timeoutSeconds=1&watch=true"
    )
    with wire.open("GET", watched) as answer:
        story = [(change, opened(raw)) for change, raw in frames(answer)]
    assert ("DELETED", "p0") in [(change, item.metadata.name) for change, item in story]
    assert {item.spec.nodeName for _, item in story if item.metadata.name == "p1"} == {"node-1"}
    # What the scheduler told is the only word on it: Podyard's own has none here.
    listed = json.loads(other.send("GET", "/apis/events.k8s.io/v1/namespaces/default/events"))["items"]
    assert [found["regarding"]["name"] for found in listed if found["reason"] == "Scheduled"] == ["p0", "p1"]


def event(wire: Wire, item: Any, reason: str, action: str, note: str) -> None:
    """events.k8s.io/v1, as client-go's recorder of events sends it."""
    make, meta = messages(), item.metadata
    made = make["Event"](
        metadata=make["ObjectMeta"](name=f"{meta.name}.{reason.lower()}", namespace=meta.namespace),
        eventTime=make["Time"](seconds=int(time.time()), nanos=1000),
        reportingController="default-scheduler",
        reportingInstance="default-scheduler-host",
        action=action,
        reason=reason,
        regarding=make["ObjectReference"](
            kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid, apiVersion="v1"
        ),
        note=note,
        type="Normal" if reason == "Scheduled" else "Warning",
    )
    path = f"/apis/events.k8s.io/v1/namespaces/{meta.namespace}/events"
    created = opened(wire.send("POST", path, sealed("events.k8s.io/v1", "Event", made), expect=201))
    assert (created.note, created.regarding.name, created.eventTime.nanos) == (note, meta.name, 1000)


def test_a_claim_of_devices_is_allocated(wire: Wire) -> None:
    """DynamicResources: the scheduler writes what a claim got and for whom, under the claim's status."""
    claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
    device = {
        "name": "gpu",
        "exactly": {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1},
    }
    body = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [device]}}}
    claim = create(wire, claims, body)
    assert claim.spec.devices.requests[0].exactly.deviceClassName == "gpu.example.com"
    make = messages()
    got = make["DeviceRequestAllocationResult"](request="gpu", driver="gpu.example.com", pool="node-0", device="gpu-0")
    claim.status.allocation.devices.results.append(got)
    claim.status.reservedFor.append(make["ConsumerReference"](resource="pods", name="p1", uid="u"))
    body_ = sealed("resource.k8s.io/v1", "ResourceClaim", claim)
    wire.send("PUT", f"{claims}/c/status", body_)
    found = opened(wire.send("GET", f"{claims}/c"))
    assert found.status.allocation.devices.results[0].device == "gpu-0"
    assert found.status.reservedFor[0].name == "p1"


def test_a_claim_of_storage_is_updated_whole(wire: Wire) -> None:
    """VolumeBinding annotates a claim: every field that it had is still there, an empty class too."""
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    claim = create(wire, claims, {"metadata": {"name": "data", "labels": {"a": "b"}}, "spec": spec})
    claim.metadata.annotations.add(key="volume.kubernetes.io/selected-node", value="node-0")
    wire.send("PUT", f"{claims}/data", sealed("v1", "PersistentVolumeClaim", claim))
    found = opened(wire.send("GET", f"{claims}/data"))
    assert found.spec.HasField("storageClassName")
    assert found.spec.storageClassName == ""
    assert amounts(found.spec.resources.requests) == {"storage": "1Gi"}
    assert [(pair.key, pair.value) for pair in found.metadata.labels] == [("a", "b")]


def test_what_has_no_form_in_protobuf_is_told(wire: Wire) -> None:
    code, _, body = wire.call("GET", "/apis/metrics.k8s.io/v1beta1/nodes")
    assert code == 406
    assert opened(body).reason == "NotAcceptable"
