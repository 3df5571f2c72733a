"""What real clients find on the wire: empty structs, lists of addresses, ids, reasons of a blocked eviction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.server import ApiServer
from harness.model.meta import ObjectMeta
from harness.model.status import ApiError
from harness.model.workloads import PriorityClass
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

DEFAULT = "/api/v1/namespaces/default"
PODS = f"{DEFAULT}/pods"
MERGE = {"Content-Type": "application/merge-patch+json"}
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as made:
        yield made


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}


def running_pod(cluster: Live, name: str, ready: bool, **labels: str) -> dict[str, Any]:
    cluster.request("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    made = cluster.request("POST", PODS, pod(name, **labels))[1]
    cluster.request("POST", f"{PODS}/{name}/binding", {"target": {"kind": "Node", "name": "n"}})
    container = {"name": "c", "image": "nginx:1", "imageID": "", "ready": ready, "restartCount": 2}
    status = {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "hostIP": "192.168.0.1",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [container | {"state": {"running": {"startedAt": "2025-01-01T00:00:00Z"}}}],
    }
    code, made = cluster.request("PUT", f"{PODS}/{name}/status", pod(name) | {"status": status})
    assert code == 200, made
    found: dict[str, Any] = made
    return found


# -- structs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "empty"),
    [
        (f"{DEFAULT}/resourcequotas", {"metadata": {"name": "q"}}, ["spec", "status"]),
        (f"{DEFAULT}/limitranges", {"metadata": {"name": "l"}}, ["spec"]),
        (PODS, pod("bare"), ["spec.containers.0.resources"]),
        (BUDGETS, {"metadata": {"name": "bare"}}, ["spec"]),
        (
            f"{DEFAULT}/services",
            {"metadata": {"name": "bare"}, "spec": {"ports": [{"port": 80}]}},
            ["status.loadBalancer"],
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
            {"metadata": {"name": "bare"}, "spec": {"rules": [{"host": "bare.example"}]}},
            ["status.loadBalancer"],
        ),
    ],
)
def test_structs_are_there_even_when_they_are_empty(
    cluster: Live, path: str, body: dict[str, Any], empty: list[str]
) -> None:
    """Go writes a struct whatever is in it; clients with types insist on it."""
    code, made = cluster.request("POST", path, body)
    assert code == 201, made
    for where in empty:
        found: Any = made
        for step in where.split("."):
            found = found[int(step)] if step.isdigit() else found[step]
        assert found == {}, where


def test_a_status_of_null_is_an_empty_one(cluster: Live) -> None:
    made = cluster.request(
        "POST", f"{DEFAULT}/services", {"metadata": {"name": "nul"}, "spec": {"ports": [{"port": 80}]}}
    )[1]
    code, made = cluster.request("PUT", f"{DEFAULT}/services/nul/status", made | {"status": None})
    assert (code, made["status"]) == (200, {"loadBalancer": {}})


def test_a_pod_has_lists_of_addresses_and_ids(cluster: Live) -> None:
    status = running_pod(cluster, "ids", True)["status"]
    assert (status["podIPs"], status["hostIPs"]) == ([{"ip": "10.0.0.7"}], [{"ip": "192.168.0.1"}])
    (container,) = status["containerStatuses"]
    assert container["containerID"].startswith("containerd://")
    assert container["lastState"] == {}
    _, again = cluster.request("GET", f"{PODS}/ids")
    assert again["status"]["containerStatuses"][0]["containerID"] == container["containerID"]
    changed = {**again, "status": {**again["status"], "podIP": "10.0.0.8"}}
    assert cluster.request("PUT", f"{PODS}/ids/status", changed)[1]["status"]["podIPs"] == [{"ip": "10.0.0.8"}]


def test_what_is_not_there_is_told_with_details(cluster: Live) -> None:
    code, status = cluster.request("GET", f"{PODS}/ghost")
    assert (code, status["details"]) == (404, {"name": "ghost", "kind": "pods"})
    code, status = cluster.request("GET", f"{PODS}/ghost/nothing")
    assert (code, status["reason"], status["details"]) == (404, "NotFound", {})


# -- evictions ---------------------------------------------------------------------------------------------------------


def budget(cluster: Live, name: str, app: str, status: dict[str, Any], **spec: Any) -> None:
    spec = {"selector": {"matchLabels": {"app": app}}, "minAvailable": 1, **spec}
    made = cluster.request("POST", BUDGETS, {"metadata": {"name": name}, "spec": spec})[1]
    code, made = cluster.request(
        "PUT", f"{BUDGETS}/{name}/status", made | {"status": {"observedGeneration": 1, **status}}
    )
    assert code == 200, made


def evict(cluster: Live, name: str) -> tuple[int, dict[str, Any], str | None]:
    code, answer, headers = cluster.exchange("POST", f"{PODS}/{name}/eviction", {"metadata": {"name": name}})
    return code, answer, {name.lower(): value for name, value in headers.items()}.get("retry-after")


FULL = {"disruptionsAllowed": 0, "desiredHealthy": 2, "currentHealthy": 1, "expectedPods": 2}
ENOUGH = {"disruptionsAllowed": 0, "desiredHealthy": 1, "currentHealthy": 1, "expectedPods": 2}


def test_a_blocked_eviction_says_why_and_makes_nobody_wait(cluster: Live) -> None:
    """With a Retry-After the client library waits by itself, ten times over, whatever `drain --timeout` says."""
    running_pod(cluster, "held", True, app="held")
    budget(cluster, "full", "held", FULL)
    code, status, retry = evict(cluster, "held")
    assert (code, status["reason"], retry) == (429, "TooManyRequests", None)
    assert status["details"]["causes"] == [
        {"reason": "DisruptionBudget", "message": "The disruption budget full needs 2 healthy pods and has 1 currently"}
    ]
    code, changed = cluster.request("PATCH", f"{BUDGETS}/full", {"spec": {"minAvailable": 2}}, headers=MERGE)
    assert (code, changed["metadata"]["generation"]) == (200, 2), changed
    code, status, retry = evict(cluster, "held")
    assert (code, retry) == (429, "10")
    assert "is still being processed by the server" in status["details"]["causes"][0]["message"]


@pytest.mark.parametrize(
    ("policy", "counts", "code"),
    [
        (None, FULL, 429),
        (None, ENOUGH, 201),
        ("IfHealthyBudget", FULL, 429),
        ("IfHealthyBudget", ENOUGH, 201),
        ("AlwaysAllow", FULL, 201),
    ],
)
def test_a_pod_that_is_not_ready_goes_as_the_policy_says(
    cluster: Live, policy: str | None, counts: dict[str, int], code: int
) -> None:
    name = f"sick-{policy}-{counts['currentHealthy'] >= counts['desiredHealthy']}".lower()
    running_pod(cluster, name, False, app=name)
    spec = {} if policy is None else {"unhealthyPodEvictionPolicy": policy}
    budget(cluster, name, name, counts, **spec)
    assert evict(cluster, name)[0] == code


def test_a_policy_that_does_not_exist_is_refused(cluster: Live) -> None:
    body = {"metadata": {"name": "odd"}, "spec": {"unhealthyPodEvictionPolicy": "Sometimes"}}
    code, status = cluster.request("POST", BUDGETS, body)
    assert (code, status["details"]["causes"][0]["field"]) == (422, "spec.unhealthyPodEvictionPolicy")


# -- what every cluster has --------------------------------------------------------------------------------------------


def test_the_api_server_is_a_service_of_its_cluster(cluster: Live) -> None:
    service = cluster.request("GET", f"{DEFAULT}/services/kubernetes")[1]
    assert (service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]) == ("10.96.0.1", 443)
    slice_ = cluster.request("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")[1]
    address = f"https://{slice_['endpoints'][0]['addresses'][0]}:{slice_['ports'][0]['port']}"
    assert address == cluster.http.url


def test_every_namespace_has_a_default_account(cluster: Live) -> None:
    def account(namespace: str) -> str:
        return f"/api/v1/namespaces/{namespace}/serviceaccounts/default"

    for namespace in ("default", "kube-system"):
        assert cluster.request("GET", account(namespace))[0] == 200
    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": "fresh"}})
    assert cluster.request("GET", account("fresh"))[0] == 200
    assert cluster.request("DELETE", account("fresh"))[0] == 200
    assert cluster.request("GET", account("fresh"))[0] == 200, "it comes back"


def test_the_two_priority_classes_of_every_cluster(cluster: Live) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    found = {item["metadata"]["name"]: item["value"] for item in cluster.request("GET", path)[1]["items"]}
    assert found == {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
    assert cluster.request("POST", path, {"metadata": {"name": "system-mine"}, "value": 5})[0] == 422
    code, told = cluster.request("DELETE", f"{path}/system-node-critical")
    why = "this is a system priority class and cannot be deleted"
    assert (code, told["message"]) == (
        403,
        f'priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: {why}',
    )


def test_a_system_priority_class_has_its_value() -> None:
    """As a dump of another cluster has it, and in no other way."""
    server = ApiServer(MemoryStore(ObjectCodec()))
    meta = ObjectMeta(name="system-node-critical")
    with pytest.raises(ApiError, match="must be 2000001000"):
        server.create(PriorityClass(metadata=meta, value=5))
    server.create(PriorityClass(metadata=meta, value=2_000_001_000))


def test_a_dry_run_has_the_revision_that_there_is(cluster: Live) -> None:
    """kubectl diff shows nothing but what would change."""
    path = f"{DEFAULT}/configmaps"
    made = cluster.request("POST", path, {"metadata": {"name": "dry"}, "data": {"a": "1"}})[1]
    headers = {"Content-Type": "application/merge-patch+json"}
    code, tried = cluster.request("PATCH", f"{path}/dry?dryRun=All", {"data": {"a": "2"}}, headers=headers)
    assert (code, tried["data"]) == (200, {"a": "2"})
    assert tried["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert cluster.request("GET", f"{path}/dry")[1]["data"] == {"a": "1"}


def test_a_refusal_says_the_prefix_of_a_name_that_is_still_to_be_made(cluster: Live) -> None:
    """Source: apiserver pkg/admission/errors.go extractResourceName (1.32)."""
    spec = {"serviceAccountName": "nobody", "containers": [{"name": "a", "image": "b"}]}
    code, told = cluster.request("POST", f"{DEFAULT}/pods", {"metadata": {"generateName": "web-"}, "spec": spec})
    assert code == 403
    why = 'error looking up service account default/nobody: serviceaccount "nobody" not found'
    assert told["message"] == f'pods "web-" is forbidden: {why}'


def test_who_asks_for_component_statuses_is_warned(cluster: Live) -> None:
    code, _, headers = cluster.exchange("GET", "/api/v1/componentstatuses")
    assert (code, headers["warning"]) == (200, '299 - "v1 ComponentStatus is deprecated in v1.19+"')
