"""What clients may send: bounded bodies, known fields, values of the right type; a refusal names the field."""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.bodies import parsed
from harness.apiserver.http.patches import patched
from harness.model.status import ApiError
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

PODS = "/api/v1/namespaces/default/pods"
MERGE = {"Content-Type": "application/merge-patch+json"}
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as made:
        yield made


def pod(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


# -- bounded -----------------------------------------------------------------------------------------------------------

BRACKETS = b"[" * 3_000 + b"]" * 3_000
DEEP = b'{"a":' * 3_000 + b"1" + b"}" * 3_000
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n + 1, n + 1, *[n] * 9) for n in range(ord("a"), ord("m"))
)


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b" " * (3 * 1024 * 1024 + 1), {}, 413),
        (BRACKETS, {}, 400),
        (DEEP, {}, 400),
        (b"[" * 3_000_000, {}, 400),
        (b"[" * 3_000, YAML, 400),
        (DEEP, YAML, 400),
        (BOMB, YAML, 413),
        (b"a: &a [*a]", YAML, 400),
        (b'{"a": 1' * 1000, {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"\xff\xfe", YAML, 400),
        (b'{"metadata": NaN}', {}, 400),
        (b"1" * 5_000, {}, 400),
        (b"a: " + b"1" * 5_000, YAML, 400),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_no_body_is_too_much(cluster: Live, method: str, body: bytes, headers: dict[str, str], code: int) -> None:
    cluster.request("POST", PODS, pod("there"))
    path = PODS if method == "POST" else f"{PODS}/there"
    if method == "PATCH" and not headers:
        headers = MERGE
    begun = time.process_time()
    found, status = cluster.request(method, path, body, headers=headers)
    assert (found, status["kind"]) == (code, "Status")
    assert time.process_time() - begun < 2, "a body this small keeps nobody busy"


def test_a_patch_that_copies_itself_over_and_over_is_stopped() -> None:
    """Each copy doubles the object: thirty of them are a gigabyte. Source: apiserver's JSONPatchMaxCopyBytes."""
    patch = [{"op": "copy", "from": "", "path": f"/{index}"} for index in range(60)]
    with pytest.raises(ApiError) as refused:
        patched("application/json-patch+json", pod("a"), patch, "Pod")
    assert refused.value.code == 413


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "copy", "path": "/a"},
        {"op": "move", "from": 7, "path": "/a"},
        {"op": "add", "path": "/spec/containers/²", "value": 1},
        {"op": "add", "path": "/spec/containers/" + "1" * 5000, "value": 1},
        {"op": "remove", "path": "/spec/containers/-1"},
        {"op": "replace", "path": "a", "value": 1},
        {"op": ["add"], "path": "/a"},
    ],
)
def test_an_operation_that_is_none_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        patched("application/json-patch+json", pod("a"), [operation], "Pod")
    assert refused.value.code in (400, 422)


# -- unknown fields ----------------------------------------------------------------------------------------------------

TYPO = pod("typo", replicas=3, nodeSelectr={"a": "b"})
TYPO["spec"]["containers"][0]["imge"] = "x"
UNKNOWN = ["spec.containers[0].imge", "spec.replicas", "spec.nodeSelectr"]


def test_strict_refuses_every_unknown_field_by_its_path(cluster: Live) -> None:
    code, status = cluster.request("POST", PODS + "?fieldValidation=Strict", TYPO)
    assert code == 400
    for path in UNKNOWN:
        assert f'unknown field "{path}"' in status["message"]
    assert "strict decoding error" in status["message"]
    assert cluster.request("GET", PODS + "/typo")[0] == 404


@pytest.mark.parametrize("mode", ["", "?fieldValidation=Warn", "?fieldValidation=Ignore"])
def test_unknown_fields_are_pruned_and_warned_of(cluster: Live, mode: str) -> None:
    body = {**TYPO, "metadata": {"name": f"pruned{len(mode)}"}}
    with cluster.open("POST", PODS + mode, body) as answer:
        made = json.load(answer)
        warnings = answer.headers.get_all("Warning") or []
    assert answer.status == 201
    assert "imge" not in made["spec"]["containers"][0]
    assert not {"replicas", "nodeSelectr"} & made["spec"].keys()
    expected = [] if "Ignore" in mode else [f'299 - "unknown field \\"{path}\\""' for path in UNKNOWN]
    assert sorted(warnings) == sorted(expected)


@pytest.mark.parametrize(("plural", "kind"), [("nodepools", "NodePool"), ("nodeclaims", "NodeClaim")])
def test_who_writes_what_nobody_acts_on_is_told(cluster: Live, plural: str, kind: str) -> None:
    """kubectl shows the header as a warning. Which kinds, whoever puts the cluster together says."""
    cluster.server.unheeded[kind] = f"{kind} does nothing here"
    ref = {"group": "g", "kind": "k", "name": "n"}
    spec: dict[str, Any] = {"nodeClassRef": ref, "requirements": []}
    body = {
        "apiVersion": "karpenter.sh/v1",
        "kind": kind,
        "metadata": {"name": "idle"},
        "spec": {"template": {"spec": spec}} if kind == "NodePool" else spec,
    }
    with cluster.open("POST", f"/apis/karpenter.sh/v1/{plural}", body) as answer:
        warnings = answer.headers.get_all("Warning") or []
    assert answer.status == 201
    assert warnings == [f'299 - "{kind} does nothing here"']


def test_a_field_given_twice_is_told(cluster: Live) -> None:
    body = b'{"kind":"Pod","metadata":{"name":"twice"},"spec":{"containers":[{"name":"c","image":"a","image":"b"}]}}'
    code, status = cluster.request("POST", PODS + "?fieldValidation=Strict", body)
    assert (code, 'duplicate field "spec.containers[0].image"' in status["message"]) == (400, True)
    code, made = cluster.request("POST", PODS, body)
    assert (code, made["spec"]["containers"][0]["image"]) == (201, "b")


@pytest.mark.parametrize("typos", [{"typo": 1}, {}], ids=["unknown field", "nothing unknown"])
def test_field_validation_has_three_values(cluster: Live, typos: dict[str, int]) -> None:
    code, status = cluster.request("POST", PODS + "?fieldValidation=Loose", pod("loose", **typos))
    assert (code, status["details"]["causes"][0]["field"]) == (422, "fieldValidation")


@pytest.mark.parametrize("headers", [MERGE, {"Content-Type": "application/strategic-merge-patch+json"}])
def test_a_patch_obeys_field_validation(cluster: Live, headers: dict[str, str]) -> None:
    cluster.request("POST", PODS, pod("patched"))
    patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}}
    code, status = cluster.request("PATCH", f"{PODS}/patched?fieldValidation=Strict", patch, headers=headers)
    assert (code, 'unknown field "spec.replicas"' in status["message"]) == (400, True)
    code, made = cluster.request("PATCH", f"{PODS}/patched", patch, headers=headers)
    assert (code, made["metadata"]["labels"], "replicas" in made["spec"]) == (200, {"a": "b"}, False)


@pytest.mark.parametrize(
    ("path", "kind", "body", "unknown"),
    [
        ("/api/v1/nodes", "Node", {"spec": {"unschedulabel": True}}, "spec.unschedulabel"),
        ("/apis/apps/v1/namespaces/default/daemonsets", "DaemonSet", {"spec": {"replicas": 1}}, "spec.replicas"),
        ("/api/v1/namespaces/default/secrets", "Secret", {"strngData": {}}, "strngData"),
        (
            "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/default/podgroups",
            "PodGroup",
            {"spec": {"minMembers": 2}},
            "spec.minMembers",
        ),
        (
            "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            {"spec": {"metrics": []}},
            "spec.metrics",
        ),
    ],
)
def test_every_kind_has_a_schema(cluster: Live, path: str, kind: str, body: dict[str, Any], unknown: str) -> None:
    code, status = cluster.request(
        "POST", f"{path}?fieldValidation=Strict", {"kind": kind, "metadata": {"name": "x"}, **body}
    )
    assert (code, f'unknown field "{unknown}"' in status["message"]) == (400, True), status


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"volumes": ["v"]}, "spec.volumes[0]"),
        ({"volumes": "v"}, "spec.volumes"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": "c"}]}, "spec.volumes[0].persistentVolumeClaim"),
        ({"hostNetwork": "yes"}, "spec.hostNetwork"),
        ({"terminationGracePeriodSeconds": "30"}, "spec.terminationGracePeriodSeconds"),
        ({"terminationGracePeriodSeconds": 1 << 63}, "spec.terminationGracePeriodSeconds"),
        ({"tolerations": [{"tolerationSeconds": 1.5}]}, "spec.tolerations[0].tolerationSeconds"),
        ({"nodeSelector": {"a": 1}}, "spec.nodeSelector.a"),
        ({"overhead": {"cpu": "1e999999999"}}, "spec.overhead.cpu"),
        ({"containers": {"name": "c"}}, "spec.containers"),
    ],
)
def test_a_wrong_type_is_refused_with_its_path(cluster: Live, spec: dict[str, Any], field: str) -> None:
    code, status = cluster.request("POST", PODS, pod("wrong", **spec))
    assert (code, f" {field}: expected" in status["message"]) == (400, True), status


def test_a_pod_group_of_many_is_refused(cluster: Live) -> None:
    """minMember "many" once ended the whole cluster: the scheduler read it as a number."""
    path = "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/default/podgroups"
    code, status = cluster.request("POST", path, {"metadata": {"name": "g"}, "spec": {"minMember": "many"}})
    assert (code, "spec.minMember: expected an integer" in status["message"]) == (400, True), status


@pytest.mark.parametrize("part", ["scale", "status"])
def test_parts_have_types_too(cluster: Live, part: str) -> None:
    base = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    cluster.request("POST", base, {"kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
    for wrong in ("x", [1], {"spec": "x", "status": "x"}, {"spec": {"replicas": "x"}, "status": {"replicas": "x"}}, 7):
        assert cluster.request("PUT", f"{base}/d/{part}", json.dumps(wrong).encode())[0] == 400, wrong


def test_duplicates_are_looked_for_only_where_they_are_told() -> None:
    assert parsed(b'{"a":1,"a":2}', "") == {"a": 2}
    found: list[str] = []
    assert parsed(b'{"a":[{"b":1,"b":2}]}', "", found) == {"a": [{"b": 2}]}
    assert found == ["a[0].b"]


# -- terminal phases ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("was", ["Succeeded", "Failed"])
@pytest.mark.parametrize("phase", ["Running", "Pending", "", "Succeeded", "Failed"])
def test_a_pod_that_has_ended_stays_so(cluster: Live, was: str, phase: str) -> None:
    name = f"{was}-{phase or 'none'}".lower()
    made = cluster.request("POST", PODS, pod(name))[1]
    code, made = cluster.request("PUT", f"{PODS}/{name}/status", {**made, "status": {"phase": was}})
    assert code == 200
    code, status = cluster.request("PUT", f"{PODS}/{name}/status", {**made, "status": {"phase": phase}})
    if phase == was:
        assert code == 200
    else:
        assert (code, status["details"]["causes"][0]["field"]) == (422, "status.phase")


@pytest.mark.parametrize("text", ["²", "٣", "9" * 5_000, "-1", "1e9"])
def test_numbers_of_a_query_are_ascii_and_bounded(cluster: Live, text: str) -> None:
    """'²'.isdigit() holds, and int('²') raises."""
    quoted = urllib.parse.quote(text)
    for query in (f"limit={quoted}", f"resourceVersion={quoted}", f"labelSelector={urllib.parse.quote('a>')}{quoted}"):
        code, told = cluster.request("GET", f"{PODS}?{query}")
        assert code == 400, (query[:60], told)


@pytest.mark.parametrize("value", ['{"rv": 1e999, "start": ""}', '{"rv": [], "start": ""}', "[" * 9_000, "7"])
def test_a_continue_token_that_is_none_is_refused(cluster: Live, value: str) -> None:
    token = base64.urlsafe_b64encode(value.encode()).decode()
    assert cluster.request("GET", f"{PODS}?limit=1&continue={token}")[0] == 400


@pytest.mark.parametrize("share", ["9" * 5_000 + "%", "٣%", "1_0%", "%"])
def test_a_percentage_that_is_none_is_refused(cluster: Live, share: str) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b"},
        "spec": {"minAvailable": share, "selector": {"matchLabels": {"a": "b"}}},
    }
    code, told = cluster.request("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", budget)
    assert code == 422, told
    assert "minAvailable" in told["message"]


def test_a_node_of_any_rank_is_no_surprise(cluster: Live) -> None:
    for number, rank in enumerate(("9" * 5_000, "9" * 19, "²", "-1")):
        meta = {"name": f"n{number}", "annotations": {"podyard.dev/rank": rank}}
        assert (
            cluster.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": meta})[0] == 201
        )


# -- text --------------------------------------------------------------------------------------------------------------


def test_half_of_a_surrogate_pair_is_a_replacement_character(cluster: Live) -> None:
    """As Go decodes it. An answer that quoted it could not be encoded: 500."""
    assert parsed(rb'{"a\ud800": ["\udc00b", "\ud83d\ude00"]}', "") == {"a\ufffd": ["\ufffdb", "\U0001f600"]}
    cluster.request("POST", PODS, pod("whole"))
    body = b'{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foregrou\\ud800nd"}'
    code, status = cluster.request("DELETE", f"{PODS}/whole", body)
    assert code == 422
    assert "Foregrou\ufffdnd" in status["message"]


@pytest.mark.parametrize("names_duplicates", [False, True])
@pytest.mark.parametrize("body", [rb'{"a": "\ud800", "b": 1e999}', b'{"b": -1e999}', '{"a": 1}'.encode("utf-16")])
def test_what_only_one_decoder_reads_is_no_json(body: bytes, names_duplicates: bool) -> None:
    """The one that finds duplicate fields made 1e999 infinite, which no answer can say, and read UTF-16."""
    with pytest.raises(ApiError, match="the object provided is unrecognized"):
        parsed(body, "", [] if names_duplicates else None)


@pytest.mark.parametrize("follow", ["", "&follow=true"])
def test_a_time_that_is_none_is_told_before_a_log_begins(cluster: Live, follow: str) -> None:
    cluster.request("POST", PODS, pod("logged"))
    code, status = cluster.request("GET", f"{PODS}/logged/log?sinceTime=2026-01-0T00:00:00Z{follow}")
    assert code == 400
    assert "is not an RFC 3339 time" in status["message"]
