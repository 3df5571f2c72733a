"""Server-side apply and metadata.managedFields, as a client sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.managed_fields.sets import difference, fields_of, of_fields_v1, to_fields_v1
from harness.apiserver.http.managed_fields.structure import ANY
from harness.apiserver.http.managed_fields.tracking import structure_of
from harness.apiserver.http.resources import resources
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

PATH = "/apis/apps/v1/namespaces/default/deployments"
APPLY = {"Content-Type": "application/apply-patch+yaml"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


def web(name: str, image: str = "nginx:1", replicas: int | None = 2, **container: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "web", "image": image, **container}]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def apply(cluster: Live, body: dict[str, Any], manager: str = "one", **query: str) -> tuple[int, Any]:
    asked = "&".join(f"{name}={value}" for name, value in {"fieldManager": manager, **query}.items())
    return cluster.request("PATCH", f"{PATH}/{body['metadata']['name']}?{asked}", body, headers=APPLY)


def managers(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(item["manager"], item["operation"]): item["fieldsV1"] for item in obj["metadata"]["managedFields"]}


def test_applying_makes_the_object_and_owns_what_it_says(cluster: Live) -> None:
    code, made = apply(cluster, web("made", ports=[{"containerPort": 80}]))
    assert code == 201
    spec = managers(made)["one", "Apply"]["f:spec"]
    assert spec["f:replicas"] == {}
    assert spec["f:selector"] == {}
    assert spec["f:template"]["f:spec"]["f:containers"]['k:{"name":"web"}'] == {
        ".": {},
        "f:name": {},
        "f:image": {},
        # What tells ports apart is their number and their protocol, which has a default.
        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
    }
    assert "f:strategy" not in spec  # a default is nobody's
    code, again = apply(cluster, web("made", ports=[{"containerPort": 80}]))
    assert (code, again["metadata"]["resourceVersion"]) == (200, made["metadata"]["resourceVersion"])


def test_a_field_of_another_manager_is_a_conflict_until_it_is_forced(cluster: Live) -> None:
    apply(cluster, web("contested"))
    code, said = apply(cluster, web("contested", image="nginx:2", replicas=5), "two")
    assert (code, said["reason"]) == (409, "Conflict")
    assert said["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"},
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "one"',
            "field": '.spec.template.spec.containers[name="web"].image',
        },
    ]
    code, taken = apply(cluster, web("contested", image="nginx:2", replicas=5), "two", force="true")
    assert (code, taken["spec"]["replicas"]) == (200, 5)
    assert "f:replicas" not in managers(taken)["one", "Apply"]["f:spec"]
    assert apply(cluster, web("contested"), "one")[0] == 409  # now it is the first who would take


def test_who_wants_the_same_value_shares_the_field(cluster: Live) -> None:
    apply(cluster, web("shared"))
    code, both = apply(cluster, web("shared"), "two")
    assert code == 200
    assert all("f:replicas" in managers(both)[name, "Apply"]["f:spec"] for name in ("one", "two"))
    # One gives it up: it stays for the other. The last one gives it up: the default returns.
    assert apply(cluster, web("shared", replicas=None))[1]["spec"]["replicas"] == 2
    assert apply(cluster, web("shared", replicas=None), "two")[1]["spec"]["replicas"] == 1


def test_what_is_applied_no_longer_goes_and_what_others_added_stays(cluster: Live) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    apply(cluster, web("lists", env=env, command=["x", "y"]))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "C", "value": "3"}]}]}}}}
    headers = {"Content-Type": "application/strategic-merge-patch+json", "User-Agent": "hand/1.0"}
    _, patched = cluster.request("PATCH", f"{PATH}/lists", patch, headers=headers)
    assert ("hand", "Update") in managers(patched)
    _, now = apply(cluster, web("lists", env=[{"name": "B", "value": "2"}]))
    container = now["spec"]["template"]["spec"]["containers"][0]
    assert [item["name"] for item in container["env"]] == ["C", "B"] or [i["name"] for i in container["env"]] == [
        "B",
        "C",
    ]
    assert "command" not in container


def test_an_update_takes_what_it_changes(cluster: Live) -> None:
    apply(cluster, web("updated"))
    scale = {"spec": {"replicas": 7}}
    merge = {"Content-Type": "application/merge-patch+json", "User-Agent": "kubectl/v1.32"}
    cluster.request("PATCH", f"{PATH}/updated/scale", scale, headers=merge)
    code, said = apply(cluster, web("updated"))
    assert code == 409
    assert said["details"]["causes"][0]["message"].startswith(
        'conflict with "kubectl" with subresource "scale" using apps/v1 at '
    )
    # Who does not say replicas has no quarrel, and does not reset them.
    code, now = apply(cluster, web("updated", image="nginx:3", replicas=None))
    assert (code, now["spec"]["replicas"]) == (200, 7)


def test_what_a_component_changes_is_its_own(cluster: Live) -> None:
    """A HorizontalPodAutoscaler scales; applying the old number again would undo it without a word."""
    from harness.apiserver.registry.lifecycle import replaced

    apply(cluster, web("scaled"))

    def scale(server: Any) -> None:
        old = server.get("Deployment", "default", "scaled")
        server.update(replaced(old, spec=replaced(old.spec, replicas=9)))

    cluster.driver_queue.submit(scale).result(20)
    code, said = apply(cluster, web("scaled"))
    assert code == 409
    assert "kube-controller-manager" in said["message"]


def test_managed_fields_can_be_cleared_and_are_no_part_of_what_is_applied(cluster: Live) -> None:
    apply(cluster, web("cleared"))
    merge = {"Content-Type": "application/merge-patch+json"}
    _, now = cluster.request("PATCH", f"{PATH}/cleared", {"metadata": {"managedFields": []}}, headers=merge)
    assert "managedFields" not in now["metadata"]
    # What nobody manages belongs to whoever was there before the first apply.
    code, said = apply(cluster, web("cleared", replicas=3))
    assert code == 409
    assert '"before-first-apply"' in said["message"]
    body = web("cleared")
    body["metadata"]["managedFields"] = [{"manager": "x"}]
    assert apply(cluster, body)[1]["message"] == "metadata.managedFields must be nil"


def test_what_apply_refuses(cluster: Live) -> None:
    code, said = cluster.request("PATCH", f"{PATH}/x", web("x"), headers=APPLY)
    assert code == 422
    assert "fieldManager: Required value" in said["message"]
    code, said = apply(cluster, web("typo", imag="x"), fieldValidation="Strict")
    assert code == 400
    assert 'unknown field "spec.template.spec.containers[0].imag"' in said["message"]
    assert apply(cluster, web("dry"), dryRun="All")[0] == 201
    assert cluster.request("GET", f"{PATH}/dry")[0] == 404
    stale = web("stale")
    apply(cluster, stale)
    stale["metadata"]["resourceVersion"] = "1"
    assert apply(cluster, stale)[0] == 409


def test_every_kind_has_a_schema_that_apply_can_read() -> None:
    for of_version in resources().values():
        for resource in of_version.values():
            structure_of(resource).field("metadata").field("labels").field("a")


JSON = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), JSON, max_size=4))
def test_a_set_of_fields_survives_its_form_on_the_wire(value: Any) -> None:
    fields = fields_of(value, ANY)
    assert of_fields_v1(to_fields_v1(frozenset(fields))) == fields
    assert difference(value, value, ANY).written == set()
