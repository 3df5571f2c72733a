"""ClusterRoles that consist of others, as the controller of aggregation keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.auth.rbac import User
from harness.apiserver.http.auth.role_aggregation import aggregate
from harness.apiserver.server import ApiServer
from harness.model.meta import ObjectMeta
from harness.model.objects import Unstructured
from harness.store.codec import ObjectCodec
from harness.store.memory import MemoryStore
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
TO_VIEW = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
READ_FAULTS = {"apiGroups": ["podyard.dev"], "resources": ["faults"], "verbs": ["get", "list"]}
READ_LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live(users={"author": User("author")}) as running:
        yield running


def rules(cluster: Live, name: str) -> list[Any]:
    for _ in range(4):  # a change of `view` is one of `edit`, and then one of `admin`
        cluster.driver_queue.submit(lambda server: None).result(20)
    code, role = cluster.request("GET", f"{ROLES}/{name}")
    assert code == 200, role
    return list(role["rules"])


def create(cluster: Live, name: str, **body: Any) -> tuple[int, Any]:
    labels = body.pop("labels", {})
    return cluster.request("POST", ROLES, {"metadata": {"name": name, "labels": labels}, **body})


def test_a_role_with_a_label_adds_to_the_roles_for_people_until_it_goes(cluster: Live) -> None:
    view, edit, admin = (rules(cluster, name) for name in ("view", "edit", "admin"))
    assert [rule in edit for rule in view] == [True] * len(view)
    assert [rule in admin for rule in edit] == [True] * len(edit)
    assert len(view) < len(edit) < len(admin)
    assert create(cluster, "faults-view", labels=TO_VIEW, rules=[READ_FAULTS])[0] == 201
    for name, before in (("view", view), ("edit", edit), ("admin", admin)):
        assert READ_FAULTS in rules(cluster, name), name
        assert len(rules(cluster, name)) == len(before) + 1
    cluster.request("DELETE", f"{ROLES}/faults-view")
    assert (rules(cluster, "view"), rules(cluster, "edit"), rules(cluster, "admin")) == (view, edit, admin)


def test_what_somebody_writes_into_an_aggregated_role_is_overwritten(cluster: Live) -> None:
    selects = {"clusterRoleSelectors": [{"matchExpressions": [{"key": "part", "operator": "Exists"}]}]}
    assert create(cluster, "part", labels={"part": "1"}, rules=[READ_LEASES])[0] == 201
    assert create(cluster, "whole", aggregationRule=selects, rules=[READ_FAULTS])[0] == 201
    assert rules(cluster, "whole") == [READ_LEASES]
    patch = {"rules": [READ_FAULTS]}
    merge = {"Content-Type": "application/merge-patch+json"}
    cluster.request("PATCH", f"{ROLES}/whole", patch, headers=merge)
    assert rules(cluster, "whole") == [READ_LEASES]
    cluster.request("PATCH", f"{ROLES}/part", {"metadata": {"labels": {"part": None}}}, headers=merge)
    assert rules(cluster, "whole") == []


def test_an_aggregation_of_nothing_and_one_by_a_user_with_few_rights_are_refused(cluster: Live) -> None:
    code, answer = create(cluster, "nothing", aggregationRule={"clusterRoleSelectors": []}, rules=[])
    assert (code, answer["details"]["causes"][0]["field"]) == (422, "aggregationRule.clusterRoleSelectors")
    grant = [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create"]}]
    create(cluster, "author", rules=grant)
    binding = {
        "metadata": {"name": "author"},
        "roleRef": {"kind": "ClusterRole", "name": "author"},
        "subjects": [{"kind": "User", "name": "author"}],
    }
    cluster.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    body = {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    code, answer = cluster.request("POST", ROLES, body, token="author")
    assert code == 403, answer
    assert answer["message"].endswith("must have cluster-admin privileges to use the aggregationRule")


LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2)
DRAWN = st.dictionaries(
    st.sampled_from("pqrst"), st.tuples(LABELS, st.sampled_from(["", "a", "b"]), st.integers(0, 2)), max_size=5
)


@given(drawn=DRAWN)
def test_an_aggregated_role_has_each_rule_of_those_it_selects_once(
    drawn: dict[str, tuple[dict[str, str], str, int]],
) -> None:
    """`drawn`: (labels, the label that it selects by or "", how many rules of its own)."""
    server = ApiServer(MemoryStore(ObjectCodec()), seed=1)
    for name, (labels, selects, own) in drawn.items():
        extra: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
        extra["rules"] = [
            {"apiGroups": [""], "resources": [f"{name}{index}"], "verbs": ["get"]} for index in range(own)
        ]
        if selects:
            by = {"clusterRoleSelectors": [{"matchLabels": {selects: "1"}}]}
            extra = {**extra, "rules": [], "aggregationRule": by}
        server.create(Unstructured(metadata=ObjectMeta(name=name, labels=labels), extra=extra))
    for _ in drawn:  # a chain is as long as there are roles, at most
        aggregate(server)
    settled = server.store.revision
    aggregate(server)
    assert server.store.revision == settled
    roles = server.objects("ClusterRole")
    for name, (_, selects, _) in drawn.items():
        if selects:
            held = roles[name].extra["rules"]
            wanted = [
                rule
                for other, (labels, _, _) in drawn.items()
                if other != name and labels.get(selects) == "1"
                for rule in roles[other].extra["rules"]
            ]
            assert all(rule in held for rule in wanted)
            assert all(rule in wanted and held.count(rule) == 1 for rule in held)
