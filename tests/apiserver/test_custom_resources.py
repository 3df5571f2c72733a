"""CustomResourceDefinitions, and the objects of the kinds that they define, as a client sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.kinds.custom.columns import found, parsed
from harness.apiserver.kinds.custom.structural import defaulted, problems, pruned, schema_problems
from harness.model.objects import KINDS
from tests.apiserver.live import DEADLINE_S, Live, live

pytestmark = pytest.mark.live

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}

SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "default": 2},
        "mode": {"type": "string", "enum": ["Fast", "Safe"], "default": "Safe"},
        "any": {"x-kubernetes-preserve-unknown-fields": True},
        "port": {"x-kubernetes-int-or-string": True},
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "weight": {"type": "integer", "default": 1}},
            },
        },
    },
}
STATUS = {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}}


def definition(plural: str, kind: str, group: str = "example.com", **version: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    made = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [made],
        },
    }


VERSION = definition("x", "X")["spec"]["versions"][0]


def with_schema(fields: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    return {**VERSION, "schema": {"openAPIV3Schema": schema}}


PARTS: dict[str, Any] = {
    "subresources": {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.size",
            "statusReplicasPath": ".status.size",
            "labelSelectorPath": ".status.selector",
        },
    },
    "additionalPrinterColumns": [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "First", "type": "string", "jsonPath": '.spec.items[?(@.name=="a")].weight'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    before = dict(KINDS)
    with live() as running:
        yield running
    assert before == KINDS, "what a cluster's users define ends with it"


def eventually(look: Callable[[], Any]) -> Any:
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        if value := look():
            return value
        time.sleep(0.02)
    raise AssertionError("it never came")


def condition(cluster: Live, name: str, kind: str) -> str:
    _, obj = cluster.request("GET", f"{CRDS}/{name}")
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((item["status"] for item in conditions if item["type"] == kind), "")


def define(cluster: Live, body: dict[str, Any]) -> str:
    """The path of its objects."""
    code, said = cluster.request("POST", CRDS, body)
    assert code == 201, said
    name = body["metadata"]["name"]
    eventually(lambda: condition(cluster, name, "Established") == "True")
    spec = body["spec"]
    return f"/apis/{spec['group']}/v1/namespaces/default/{spec['names']['plural']}"


def test_the_life_of_a_custom_resource(cluster: Live) -> None:
    path = define(cluster, definition("boxes", "Box", **PARTS))
    code, made = cluster.request("POST", path, {"metadata": {"name": "b"}, "spec": {"typo": 1, "any": {"x": [1]}}})
    assert code == 201, made
    assert (made["apiVersion"], made["kind"], made["metadata"]["generation"]) == ("example.com/v1", "Box", 1)
    assert made["spec"] == {"any": {"x": [1]}, "size": 2, "mode": "Safe"}  # pruned, and with its defaults
    typo = {"metadata": {"name": "c"}, "spec": {"typo": 1}}
    code, said = cluster.request("POST", f"{path}?fieldValidation=Strict", typo)
    assert (code, 'unknown field "spec.typo"' in said["message"]) == (400, True)

    code, said = cluster.request("PATCH", f"{path}/b", {"spec": {"size": 0, "mode": "x", "port": True}}, headers=MERGE)
    assert code == 422
    assert {cause["field"] for cause in said["details"]["causes"]} == {"spec.size", "spec.mode", "spec.port"}

    _, after = cluster.request("PATCH", f"{path}/b/status", {"status": {"size": 1}, "spec": {"size": 9}}, headers=MERGE)
    assert (after["spec"]["size"], after["status"], after["metadata"]["generation"]) == (2, {"size": 1}, 1)
    _, scaled = cluster.request("PATCH", f"{path}/b/scale", {"spec": {"replicas": 5}}, headers=MERGE)
    assert (scaled["spec"], scaled["status"]) == ({"replicas": 5}, {"replicas": 1, "selector": ""})
    _, now = cluster.request("GET", f"{path}/b")
    assert (now["spec"]["size"], now["metadata"]["generation"]) == (5, 2)

    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    code, said = cluster.request("PATCH", f"{path}/b", {"spec": {"size": 3}}, headers=strategic)
    assert (code, "strategic" in said["message"]) == (415, False)

    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    _, shown = cluster.request("GET", path, headers=table)
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Size", "First", "Age"]
    assert shown["rows"][0]["cells"][:3] == ["b", 5, None]

    apply = {"Content-Type": "application/apply-patch+yaml"}
    for manager, weight in (("one", 1), ("two", 2)):
        body = {
            "apiVersion": "example.com/v1",
            "kind": "Box",
            "metadata": {"name": "b"},
            "spec": {"items": [{"name": "a", "weight": weight}]},
        }
        code, said = cluster.request("PATCH", f"{path}/b?fieldManager={manager}", body, headers=apply)
    assert code == 409
    assert said["details"]["causes"][0]["field"] == '.spec.items[name="a"].weight'

    first = next(cluster.watch(f"{path}?watch=true&timeoutSeconds=1"))
    assert (first["type"], first["object"]["kind"]) == ("ADDED", "Box")
    assert cluster.request("DELETE", f"{path}/b")[1]["status"] == "Success"


def test_discovery_and_openapi_know_it_at_once(cluster: Live) -> None:
    define(cluster, definition("crates", "Crate", "stores.example.com"))
    _, groups = cluster.request("GET", "/apis")
    assert "stores.example.com" in [group["name"] for group in groups["groups"]]
    _, document = cluster.request("GET", "/openapi/v3/apis/stores.example.com/v1")
    schema = document["components"]["schemas"]["com.example.stores.v1.Crate"]
    assert schema["properties"]["spec"]["properties"]["size"]["minimum"] == 1
    assert schema["x-kubernetes-group-version-kind"][0]["kind"] == "Crate"


def test_two_groups_may_have_kinds_of_one_name_and_one_group_may_not(cluster: Live) -> None:
    ours = define(cluster, definition("jobs", "Job", "batch.example.com"))
    code, made = cluster.request("POST", ours, {"metadata": {"name": "j"}, "spec": {"size": 3}})
    assert (code, made["kind"], made["apiVersion"]) == (201, "Job", "batch.example.com/v1")
    assert cluster.request("GET", "/apis/batch/v1/namespaces/default/jobs/j")[0] == 404
    again = definition("tasks", "Job", "batch.example.com")
    cluster.request("POST", CRDS, again)
    assert eventually(lambda: condition(cluster, "tasks.batch.example.com", "NamesAccepted")) == "False"


def test_a_definition_goes_with_its_objects_and_a_namespace_with_those_in_it(cluster: Live) -> None:
    path = define(cluster, definition("lids", "Lid"))
    cluster.request("POST", path, {"metadata": {"name": "one"}, "spec": {}})
    _, owner = cluster.request("GET", f"{path}/one")
    owned = {
        "metadata": {
            "name": "of-one",
            "ownerReferences": [
                {"apiVersion": "example.com/v1", "kind": "Lid", "name": "one", "uid": owner["metadata"]["uid"]}
            ],
        }
    }
    maps = "/api/v1/namespaces/default/configmaps"
    cluster.request("POST", maps, owned)
    cluster.request("DELETE", f"{CRDS}/lids.example.com")
    eventually(lambda: cluster.request("GET", f"{CRDS}/lids.example.com")[0] == 404)
    assert cluster.request("GET", f"{path}/one")[0] == 404
    eventually(lambda: cluster.request("GET", f"{maps}/of-one")[0] == 404)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scope": "Galaxy"}, "spec.scope: Unsupported value"),
        ({"group": "nodots"}, "should be a domain with at least one dot"),
        ({"versions": []}, "must have exactly one version marked as storage version"),
        ({"conversion": {"strategy": "Webhook"}}, "spec.conversion.strategy: Unsupported value"),
        ({"versions": [{"name": "v1", "served": True, "storage": True}]}, "schemas are required"),
        ({"versions": [{**VERSION, "name": "a/b"}]}, "spec.versions[0].name: Invalid value"),
        ({"versions": [VERSION, {**VERSION, "storage": False}]}, "must contain unique version names"),
        ({"versions": [with_schema({"a": {"type": "array", "items": [{"type": "string"}]}})]}, "must be an object"),
        ({"versions": [with_schema({"a": {"type": "string", "allOf": [{"pattern": "("}]}})]}, "allOf[0].pattern"),
    ],
)
def test_definitions_that_are_refused(cluster: Live, change: dict[str, Any], told: str) -> None:
    body = definition("bads", "Bad")
    body["spec"] |= change
    code, said = cluster.request("POST", CRDS, body)
    assert code == 422, said
    assert told in said["message"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"versions": ["x"]}, "spec.versions[0]"),
        ({"versions": 7}, "spec.versions"),
        ({"names": [1]}, "spec.names"),
        ({"versions": [{**VERSION, "schema": 5}]}, "spec.versions[0].schema"),
        ({"versions": [{**VERSION, "subresources": {"scale": []}}]}, "spec.versions[0].subresources.scale"),
        ({"versions": [{**VERSION, "additionalPrinterColumns": [1]}]}, "spec.versions[0].additionalPrinterColumns[0]"),
        ({"versions": [with_schema({"a": "string"})]}, "properties.spec.properties.a"),
        ({"versions": [with_schema({"a": {"type": ["string"]}})]}, "properties.spec.properties.a.type"),
        ({"conversion": "None"}, "spec.conversion"),
        (
            {"versions": [with_schema({"a": {"type": "array", "items": {"type": "object", "properties": "x"}}})]},
            "properties.a.items.properties",
        ),
        (
            {"versions": [with_schema({"a": {"type": "object", "additionalProperties": {"required": 1}}})]},
            "properties.a.additionalProperties.required",
        ),
    ],
)
def test_a_definition_of_other_types_is_refused_by_its_field(cluster: Live, change: dict[str, Any], field: str) -> None:
    """It ended in a 500 and a traceback: nothing knew the types of its fields."""
    body = definition("bads", "Bad")
    body["spec"] |= change
    for method, path in (("POST", CRDS), ("PATCH", f"{CRDS}/bads.example.com?fieldManager=f")):
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        full = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", **body}
        code, said = cluster.request(method, path, full, headers={"Content-Type": kind})
        assert code == 400, said
        assert f"{field}: expected" in said["message"]


def test_schemas_that_are_not_structural() -> None:
    assert schema_problems({"type": "object", "properties": {"a": {}}}, "s")[0].field == "s.properties[a].type"
    assert schema_problems({"type": "string"}, "s")[0].message.endswith("must be object at the root")
    rules = {"type": "object", "x-kubernetes-validations": [{"rule": "true"}]}
    assert "CEL" in schema_problems(rules, "s")[0].message


NAMES = st.sampled_from(["size", "mode", "items", "name", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=10,
)


@given(JSON)
def test_pruning_and_defaults_settle(value: Any) -> None:
    """Once more changes nothing, and nothing unknown is left."""
    once = defaulted(pruned(value, SPEC, [], root=False), SPEC)
    left: list[str] = []
    assert defaulted(pruned(once, SPEC, left, root=False), SPEC) == once
    assert left == []
    problems(once, SPEC)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".a.b", [1]),
        ("{.a.b}", [1]),
        (".list[1].n", [2]),
        (".list[*].n", [1, 2]),
        ('.list[?(@.k=="y")].n', [2]),
        (".nothing.here", []),
        ("['a']['b']", [1]),
    ],
)
def test_simple_json_paths(path: str, value: list[Any]) -> None:
    steps = parsed(path)
    assert steps is not None
    assert found({"a": {"b": 1}, "list": [{"k": "x", "n": 1}, {"k": "y", "n": 2}]}, steps) == value
    assert parsed(".a[") is None
