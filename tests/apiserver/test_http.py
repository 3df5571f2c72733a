"""The HTTPS front as a client sees it: status codes, bodies and headers."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.auth.rbac import AUTHENTICATED, User
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live(users={"bobs-token": User("bob", (AUTHENTICATED, "staff"))}) as running:
        yield running


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def config(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


DEPLOYMENT = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "d"}},
        "template": {
            "metadata": {"labels": {"app": "d"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}


# -- who ---------------------------------------------------------------------------------------------------------------


def test_without_a_good_token_nothing_is_told(cluster: Live) -> None:
    for token in ("", "wrong", "podyard.abc.def", cluster.http.token[:-1]):
        code, status, headers = cluster.exchange("GET", "/api/v1/pods", token=token)
        assert (code, status["kind"], status["reason"]) == (401, "Status", "Unauthorized")
        assert headers["www-authenticate"] == "Bearer"
        assert cluster.request("GET", "/api", token=token)[0] == 401
    assert cluster.request("GET", "/livez", token="") == (200, "ok")


def test_the_certificate_is_the_authoritys_and_nobody_elses(cluster: Live) -> None:
    request = urllib.request.Request(cluster.http.url + "/livez")
    with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context())


def test_who_is_not_allowed_is_told_what(cluster: Live) -> None:
    code, status = cluster.request("GET", PODS, token="bobs-token")
    assert (code, status["reason"]) == (403, "Forbidden")
    assert status["message"] == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    assert cluster.request("GET", "/api/v1/nodes", token="bobs-token")[1]["message"].endswith("at the cluster scope")
    assert cluster.request("POST", PODS, pod("x"), token="bobs-token")[0] == 403
    assert cluster.request("DELETE", PODS + "/x", token="bobs-token")[0] == 403
    assert cluster.request("GET", PODS + "?watch=true", token="bobs-token")[0] == 403
    assert cluster.request("GET", "/apis", token="bobs-token")[0] == 200
    assert cluster.request("GET", "/metrics", token="bobs-token")[0] == 403


ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"


def test_roles_and_bindings_say_who_may_what(cluster: Live) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["open"], "verbs": ["get"]}
    cluster.request("POST", ROLES, {"metadata": {"name": "r"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "Group", "name": "staff"}],
    }
    assert cluster.request("POST", BINDINGS, binding)[0] == 201
    for name in ("open", "closed"):
        cluster.request("POST", MAPS, config(name))
    assert cluster.request("GET", MAPS + "/open", token="bobs-token")[0] == 200
    assert cluster.request("GET", MAPS + "/closed", token="bobs-token")[0] == 403
    assert cluster.request("DELETE", MAPS + "/open", token="bobs-token")[0] == 403
    assert cluster.request("GET", "/api/v1/namespaces/kube-system/configmaps/open", token="bobs-token")[0] == 403
    cluster.request("DELETE", BINDINGS + "/r")
    assert cluster.request("GET", MAPS + "/open", token="bobs-token")[0] == 403


def test_nobody_grants_what_he_does_not_have(cluster: Live) -> None:
    everything = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["*"]}
    cluster.request("POST", ROLES, {"metadata": {"name": "roles"}, "rules": [everything]})
    binding = {
        "metadata": {"name": "roles"},
        "roleRef": {"kind": "Role", "name": "roles"},
        "subjects": [{"kind": "User", "name": "bob"}],
    }
    cluster.request("POST", BINDINGS, binding)
    own = {"metadata": {"name": "own"}, "rules": [{**everything, "verbs": ["get"]}]}
    more = {"metadata": {"name": "more"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    # bob holds roles/*, escalate included: taking the star away leaves him with what he has.
    plain = {**everything, "verbs": ["get", "create", "list"]}
    cluster.request("PATCH", ROLES + "/roles", {"rules": [plain]}, headers=MERGE)
    assert cluster.request("POST", ROLES, own, token="bobs-token")[0] == 201
    code, status = cluster.request("POST", ROLES, more, token="bobs-token")
    assert code == 403
    assert "attempting to grant RBAC permissions not currently held" in status["message"]
    for path in (BINDINGS + "/roles", ROLES + "/roles", ROLES + "/own"):
        assert cluster.request("DELETE", path)[0] == 200


def test_a_service_accounts_token_works_while_the_account_is_there(cluster: Live) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    cluster.request("POST", accounts, {"metadata": {"name": "robot"}})
    code, answer = cluster.request("POST", accounts + "/robot/token", {"spec": {"expirationSeconds": 600}})
    assert code == 201
    token = answer["status"]["token"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    _, me = cluster.request("POST", path, review, token=token)
    assert me["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    assert "system:serviceaccounts:default" in me["status"]["userInfo"]["groups"]
    forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert cluster.request("POST", path, review, token=forged)[0] == 401
    assert cluster.request("POST", accounts + "/robot/token", {"spec": {"expirationSeconds": 5}})[0] == 422
    cluster.request("DELETE", accounts + "/robot")
    assert cluster.request("POST", path, review, token=token)[0] == 401


def test_acting_as_another_needs_permission(cluster: Live) -> None:
    as_eve = {"Impersonate-User": "eve"}
    assert 'User "eve"' in cluster.request("GET", PODS, headers=as_eve)[1]["message"]
    code, status = cluster.request("GET", PODS, token="bobs-token", headers=as_eve)
    assert code == 403
    assert 'User "bob" cannot impersonate resource "users"' in status["message"]


def test_one_can_ask_what_one_may(cluster: Live) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    review = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}}
    assert cluster.request("POST", path, review)[1]["status"]["allowed"] is True
    assert cluster.request("POST", path, review, token="bobs-token")[1]["status"]["allowed"] is False


# -- objects -----------------------------------------------------------------------------------------------------------


def test_create_read_update_delete(cluster: Live) -> None:
    code, made = cluster.request("POST", MAPS, config("m", a="1"))
    assert code == 201
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
    assert cluster.request("POST", MAPS, config("m"))[1]["reason"] == "AlreadyExists"
    assert cluster.request("GET", MAPS + "/m") == (200, made)
    code, changed = cluster.request("PUT", MAPS + "/m", {**made, "data": {"a": "2"}})
    assert (code, changed["data"]) == (200, {"a": "2"})
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    code, status = cluster.request("PUT", MAPS + "/m", made)
    assert (code, status["reason"]) == (409, "Conflict")
    assert "the object has been modified" in status["message"]
    assert cluster.request("PUT", MAPS + "/m", changed) == (200, changed), "what changes nothing writes nothing"
    code, status = cluster.request("DELETE", MAPS + "/m")
    assert (code, status["status"], status["details"]["uid"]) == (200, "Success", made["metadata"]["uid"])
    code, status = cluster.request("GET", MAPS + "/m")
    assert (code, status["message"]) == (404, 'configmaps "m" not found')


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def test_every_field_comes_back_as_it_went(cluster: Live) -> None:
    body = pod("whole", app="whole")
    body["metadata"]["annotations"] = {"zero": "", "long": "x" * 1000}
    container = body["spec"]["containers"][0]
    container |= {
        "env": [{"name": "A", "value": ""}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "stdin": False,
        "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}],
        "resources": {"limits": {"cpu": "1500m", "memory": "1.5Gi", "example.com/dongle": "2"}},
        "lifecycle": {"preStop": {"httpGet": {"port": 8080, "path": "/bye"}}},
    }
    body["spec"] |= {
        "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}],
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "hostNetwork": False,
        "automountServiceAccountToken": False,
        "securityContext": {"fsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    cluster.request("POST", PODS, body)
    _, found = cluster.request("GET", PODS + "/whole")
    lost = list(missing(body, found))
    assert not lost, lost
    assert found["spec"]["containers"][0]["resources"]["limits"]["memory"] == "1536Mi"
    cluster.request("DELETE", PODS + "/whole")


def missing(asked: Any, found: Any, path: str = "") -> Iterator[str]:
    """Where `found` lacks or changes something of `asked`; quantities may come back in canonical form."""
    if isinstance(asked, dict) and isinstance(found, dict):
        for name, value in asked.items():
            if name not in found:
                yield f"{path}.{name} is gone"
            elif not path.endswith((".limits", ".requests")):
                yield from missing(value, found[name], f"{path}.{name}")
    elif isinstance(asked, list) and isinstance(found, list) and len(asked) == len(found):
        for index, (mine, theirs) in enumerate(zip(asked, found, strict=True)):
            yield from missing(mine, theirs, f"{path}[{index}]")
    elif asked != found:
        yield f"{path}: {asked!r} became {found!r}"


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason"),
    [
        ("POST", PODS, b"{", 400, "BadRequest"),
        ("POST", PODS, b"[]", 400, "BadRequest"),
        ("POST", PODS, {"kind": "Node"}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": "x"}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": {"name": "x", "namespace": "other"}}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": {"name": "x"}, "spec": {"containers": "none"}}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": {"name": "x"}, "spec": {"containers": [{}]}}, 422, "Invalid"),
        ("POST", PODS, {"metadata": {"name": "x"}, "spec": {}}, 422, "Invalid"),
        ("POST", "/api/v1/namespaces/nowhere/pods", {"metadata": {"name": "x"}}, 404, "NotFound"),
        ("PUT", PODS + "/ghost", {"metadata": {"name": "ghost"}}, 404, "NotFound"),
        ("PUT", PODS + "/ghost", {"metadata": {"name": "other"}}, 400, "BadRequest"),
        ("GET", "/api/v1/unicorns", None, 404, "NotFound"),
        ("GET", "/apis/nobody.example.com/v1", None, 404, "NotFound"),
        ("POST", PODS + "/x", {}, 405, "MethodNotAllowed"),
        ("PUT", PODS, {}, 405, "MethodNotAllowed"),
        ("GET", PODS + "?labelSelector=a+in", None, 400, "BadRequest"),
        ("GET", PODS + "?fieldSelector=spec.x%3D1", None, 400, "BadRequest"),
        ("GET", PODS + "?limit=few", None, 400, "BadRequest"),
        ("GET", PODS + "?continue=nonsense", None, 400, "BadRequest"),
        ("GET", PODS + "?resourceVersion=99999999", None, 504, "Timeout"),
        ("DELETE", PODS + "/ghost", None, 404, "NotFound"),
        ("POST", MAPS, b"x" * (3 * 1024 * 1024 + 1), 413, "RequestEntityTooLarge"),
    ],
)
def test_what_is_wrong_gets_a_status(cluster: Live, method: str, path: str, body: Any, code: int, reason: str) -> None:
    found, status = cluster.request(method, path, body)
    assert (found, status["kind"], status["reason"], status["code"]) == (code, "Status", reason, code), status


def test_unknown_media_types(cluster: Live) -> None:
    assert cluster.request("POST", PODS, pod("x"), headers={"Content-Type": "text/html"})[0] == 415
    assert cluster.request("GET", PODS, headers={"Accept": "image/png"})[0] == 406
    yaml = b"metadata: {name: from-yaml}\ndata: {a: b}\n"
    code, made = cluster.request("POST", MAPS, yaml, headers={"Content-Type": "application/yaml"})
    assert (code, made["data"]) == (201, {"a": "b"})
    cluster.request("DELETE", MAPS + "/from-yaml")


def test_patches_and_their_conflicts(cluster: Live) -> None:
    _, made = cluster.request("POST", MAPS, config("p", a="1"))
    for kind, patch, data in (
        ("merge-patch", {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
        ("strategic-merge-patch", {"data": {"a": None}}, {"b": "2"}),
        ("json-patch", [{"op": "add", "path": "/data/c", "value": "3"}], {"b": "2", "c": "3"}),
    ):
        headers = {"Content-Type": f"application/{kind}+json"}
        code, found = cluster.request("PATCH", MAPS + "/p", patch, headers=headers)
        assert (code, found["data"]) == (200, data)
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"d": "4"}}
    assert cluster.request("PATCH", MAPS + "/p", stale, headers=MERGE)[1]["reason"] == "Conflict"
    assert cluster.request("PATCH", MAPS + "/p", {"metadata": {"name": "q"}}, headers=MERGE)[0] == 400
    cluster.request("DELETE", MAPS + "/p")


def test_dry_run_changes_nothing(cluster: Live) -> None:
    _, before = cluster.request("GET", MAPS)
    code, made = cluster.request("POST", MAPS + "?dryRun=All", config("dry", a="1"))
    assert (code, made["metadata"]["name"]) == (201, "dry")
    assert cluster.request("GET", MAPS + "/dry")[0] == 404
    cluster.request("POST", MAPS, config("wet", a="1"))
    assert (
        cluster.request("PATCH", MAPS + "/wet?dryRun=All", {"data": {"a": "2"}}, headers=MERGE)[1]["data"]["a"] == "2"
    )
    assert cluster.request("DELETE", MAPS + "/wet?dryRun=All")[0] == 200
    assert cluster.request("GET", MAPS + "/wet")[1]["data"] == {"a": "1"}
    cluster.request("DELETE", MAPS + "/wet")
    _, after = cluster.request("GET", MAPS)
    assert [item["metadata"]["name"] for item in after["items"]] == [i["metadata"]["name"] for i in before["items"]]


def test_status_and_scale_have_doors_of_their_own(cluster: Live) -> None:
    _, made = cluster.request("POST", DEPLOYMENTS, {**DEPLOYMENT, "status": {"replicas": 9}})
    assert made["status"] == {}
    path = DEPLOYMENTS + "/d"
    _, found = cluster.request(
        "PUT", path + "/status", {**made, "status": {"replicas": 2}, "spec": {**made["spec"], "replicas": 8}}
    )
    assert (found["status"]["replicas"], found["spec"]["replicas"], found["metadata"]["generation"]) == (2, 2, 1)
    _, scale = cluster.request("GET", path + "/scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 2, "selector": "app=d"},
    )
    code, scale = cluster.request("PATCH", path + "/scale", {"spec": {"replicas": 5}}, headers=MERGE)
    assert (code, scale["spec"]) == (200, {"replicas": 5})
    _, found = cluster.request("GET", path)
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (5, 2)
    assert cluster.request("PATCH", path + "/scale", {"spec": {"replicas": -5}}, headers=MERGE)[0] == 422
    cluster.request("DELETE", path)


def test_binding_and_eviction(cluster: Live) -> None:
    cluster.request("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    cluster.request("POST", PODS, pod("b", app="b"))
    target = {"target": {"kind": "Node", "name": "n"}}
    assert cluster.request("POST", PODS + "/b/binding", {"target": {"name": "nowhere"}})[0] == 404
    assert cluster.request("POST", PODS + "/b/binding", target)[0] == 201
    assert cluster.request("POST", PODS + "/b/binding", target)[1]["reason"] == "Conflict"
    assert cluster.request("GET", PODS + "/b")[1]["spec"]["nodeName"] == "n"
    cluster.request("POST", PODS, pod("old-door"))
    named = {"metadata": {"name": "old-door"}, **target}
    assert cluster.request("POST", "/api/v1/namespaces/default/bindings", named)[0] == 201

    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    cluster.request("PATCH", PODS + "/b/status", status, headers=MERGE)
    budget = {"metadata": {"name": "k"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "b"}}}}
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    cluster.request("POST", budgets, budget)
    code, refused, headers = cluster.exchange("POST", PODS + "/b/eviction", {"metadata": {"name": "b"}})
    assert (code, refused["reason"]) == (429, "TooManyRequests")
    assert "violate the pod's disruption budget" in refused["message"]
    assert headers["retry-after"] == "10"
    allow = {"status": {"disruptionsAllowed": 1, "observedGeneration": 1}}
    cluster.request("PATCH", budgets + "/k/status", allow, headers=MERGE)
    assert cluster.request("POST", PODS + "/b/eviction?dryRun=All", {})[0] == 201
    assert cluster.request("GET", budgets + "/k")[1]["status"]["disruptionsAllowed"] == 1
    code, done = cluster.request("POST", PODS + "/b/eviction", {"metadata": {"name": "b"}})
    assert (code, done["status"]) == (201, "Success")
    _, going = cluster.request("GET", PODS + "/b")
    assert going["metadata"]["deletionTimestamp"]
    assert any(item["type"] == "DisruptionTarget" for item in going["status"]["conditions"])
    assert cluster.request("GET", budgets + "/k")[1]["status"]["disruptionsAllowed"] == 0
    for path in (
        PODS + "/b?gracePeriodSeconds=0",
        PODS + "/old-door?gracePeriodSeconds=0",
        budgets + "/k",
        "/api/v1/nodes/n",
    ):
        assert cluster.request("DELETE", path)[0] == 200


def test_pods_go_gracefully_and_finalizers_hold(cluster: Live) -> None:
    cluster.request("POST", MAPS, {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    code, going = cluster.request("DELETE", MAPS + "/held")
    assert (code, going["kind"]) == (200, "ConfigMap")
    assert going["metadata"]["deletionTimestamp"]
    uid = {"preconditions": {"uid": "another"}}
    assert cluster.request("DELETE", MAPS + "/held", uid)[1]["reason"] == "Conflict"
    cluster.request("PATCH", MAPS + "/held", {"metadata": {"finalizers": None}}, headers=MERGE)
    assert cluster.request("GET", MAPS + "/held")[0] == 404


def test_delete_collection_takes_what_is_selected(cluster: Live) -> None:
    for name, colour in (("r1", "red"), ("r2", "red"), ("g1", "green")):
        body = config(name)
        body["metadata"]["labels"] = {"colour": colour}
        cluster.request("POST", MAPS, body)
    code, gone = cluster.request("DELETE", MAPS + "?labelSelector=colour%3Dred")
    assert (code, [item["metadata"]["name"] for item in gone["items"]]) == (200, ["r1", "r2"])
    left = cluster.request("GET", MAPS + "?labelSelector=colour")[1]["items"]
    assert [item["metadata"]["name"] for item in left] == ["g1"]
    cluster.request("DELETE", MAPS + "/g1")


def test_pages_show_one_revision_until_it_is_compacted(cluster: Live) -> None:
    path = "/api/v1/namespaces/kube-public/configmaps"
    for index in range(6):
        cluster.request("POST", path, config(f"m{index}"))  # beside kube-root-ca.crt
    _, first = cluster.request("GET", path + "?limit=3")
    assert first["metadata"]["remainingItemCount"] == 4
    cluster.request("DELETE", path + "/m4")
    cluster.request("POST", path, config("m5a"))
    token = first["metadata"]["continue"]
    _, second = cluster.request("GET", f"{path}?limit=3&continue={token}")
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    _, third = cluster.request("GET", f"{path}?limit=3&continue={second['metadata']['continue']}")
    assert "continue" not in third["metadata"]
    seen = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert seen == ["kube-root-ca.crt", *(f"m{index}" for index in range(6))]
    cluster.driver_queue.submit(lambda server: server.compact()).result(10)
    code, status = cluster.request("GET", f"{path}?limit=3&continue={token}")
    assert (code, status["reason"]) == (410, "Expired")
    cluster.request("DELETE", path)


# -- other forms -------------------------------------------------------------------------------------------------------


def test_tables_carry_columns_cells_and_metadata(cluster: Live) -> None:
    cluster.request("POST", PODS, pod("t"))
    _, table = cluster.request("GET", PODS + "?fieldSelector=metadata.name%3Dt", headers={"Accept": TABLE})
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    columns = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    assert columns == ["Name", "Ready", "Status", "Restarts", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:3] == ["t", "0/1", "Pending"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    _, table = cluster.request("GET", PODS + "/t?includeObject=Object", headers={"Accept": TABLE})
    assert table["rows"][0]["object"]["spec"]["containers"][0]["image"] == "i"
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    _, metadata = cluster.request("GET", PODS, headers=accept)
    assert metadata["kind"] == "PartialObjectMetadataList"
    assert all(set(item) == {"kind", "apiVersion", "metadata"} for item in metadata["items"])
    cluster.request("DELETE", PODS + "/t")


def test_discovery_agrees_with_itself_and_with_what_is_served(cluster: Live) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = {}
    for root in ("/api", "/apis"):
        _, document, headers = cluster.exchange("GET", root, headers={"Accept": accept})
        assert headers["content-type"] == accept
        again = cluster.exchange("GET", root, headers={"Accept": accept, "If-None-Match": headers["etag"]})
        assert again[0] == 304
        assert "content-type" not in again[2]
        for group in document["items"]:
            for version in group["versions"]:
                name = group["metadata"].get("name", "")
                for resource in version["resources"]:
                    found[f"{name}/{version['version']}".strip("/"), resource["resource"]] = resource
    _, plain = cluster.request("GET", "/apis")
    paths = ["/api/v1"] + [f"/apis/{v['groupVersion']}" for group in plain["groups"] for v in group["versions"]]
    listed = {}
    for path in paths:
        _, document = cluster.request("GET", path + "/")  # the Python client's slash
        for resource in document["resources"]:
            if "/" not in resource["name"]:
                listed[document["groupVersion"], resource["name"]] = resource
    assert set(listed) == set(found)
    for (api_version, plural), resource in found.items():
        if "list" not in resource["verbs"]:
            continue
        root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
        code, items = cluster.request("GET", f"{root}/{plural}")
        assert (code, items["kind"]) == (200, resource["responseKind"]["kind"] + "List"), plural


def test_an_autoscaler_is_the_same_in_both_versions(cluster: Live) -> None:
    v1, v2 = (f"/apis/autoscaling/{v}/namespaces/default/horizontalpodautoscalers" for v in ("v1", "v2"))
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
        "maxReplicas": 4,
        "targetCPUUtilizationPercentage": 70,
    }
    code, made = cluster.request("POST", v1, {"metadata": {"name": "h"}, "spec": spec})
    assert (code, made["apiVersion"], made["spec"]["minReplicas"]) == (201, "autoscaling/v1", 1)
    _, other = cluster.request("GET", v2 + "/h")
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    memory = json.loads(json.dumps(cpu).replace("cpu", "memory"))
    assert other["spec"]["metrics"] == [cpu]
    cluster.request("PATCH", v2 + "/h", {"spec": {"metrics": [cpu, memory]}}, headers=MERGE)
    cluster.request("PATCH", v1 + "/h", {"spec": {"targetCPUUtilizationPercentage": 50}}, headers=MERGE)
    _, both = cluster.request("GET", v2 + "/h")
    cpu["resource"]["target"]["averageUtilization"] = 50  # type: ignore[index]
    assert both["spec"]["metrics"] == [memory, cpu], "what version 1 cannot say survives a change through it"
    assert "annotations" not in both["metadata"]
    cluster.request("DELETE", v1 + "/h")


def test_logs_are_not_invented(cluster: Live) -> None:
    cluster.request("POST", PODS, pod("l"))
    assert cluster.request("GET", PODS + "/l/log") == (200, "")  # no node, so nothing has been written
    assert cluster.request("GET", PODS + "/l/log?container=other")[0] == 400
    cluster.request("DELETE", PODS + "/l")
