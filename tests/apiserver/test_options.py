"""Options of a write, a deletion or a list that are wrong: 422, before anything is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.options import is_true
from tests.apiserver.live import Live, live

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
MAP = {"metadata": {"name": "x"}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", f"{MAPS}?dryRun=Some", MAP, 'dryRun: Unsupported value: ["Some"]: supported values: "All"'),
        ("DELETE", MAPS, {"dryRun": ["Some"]}, 'dryRun: Unsupported value: ["Some"]: supported values: "All"'),
        ("POST", f"{MAPS}?fieldManager={'m' * 129}", MAP, "fieldManager: Too long: may not be more than 128 bytes"),
        ("POST", f"{MAPS}?fieldManager=a%07", MAP, "invalid character U+0007 (at position 1)"),
        (
            "DELETE",
            f"{MAPS}/ghost?propagationPolicy=Maybe",
            None,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Maybe": '
            'supported values: "Foreground", "Background", "Orphan", "nil"',
        ),
        ("DELETE", f"{MAPS}/ghost", {"propagationPolicy": "foreground"}, 'Unsupported value: "foreground"'),
        ("DELETE", MAPS, {"propagationPolicy": "foreground"}, 'Unsupported value: "foreground"'),
        ("DELETE", f"{MAPS}/ghost?propagationPolicy=Maybe", {"gracePeriodSeconds": 0}, 'Unsupported value: "Maybe"'),
        (
            "POST",
            f"{PODS}/ghost/eviction",
            {"deleteOptions": {"dryRun": ["Some"]}},
            'dryRun: Unsupported value: ["Some"]: supported values: "All"',
        ),
        (
            "DELETE",
            f"{MAPS}/ghost",
            {"propagationPolicy": "Orphan", "orphanDependents": False},
            "orphanDependents and deletionPropagation cannot be both set",
        ),
        (
            "DELETE",
            f"{MAPS}/ghost?propagationPolicy=Orphan&orphanDependents=false",
            None,
            "orphanDependents and deletionPropagation cannot be both set",
        ),
        ("GET", f"{PODS}?resourceVersion=0&resourceVersionMatch=Exact", None, "forbidden for resourceVersion"),
        ("GET", f"{PODS}?resourceVersionMatch=NotOlderThan", None, "forbidden unless resourceVersion is provided"),
        ("GET", f"{PODS}?resourceVersion=1&resourceVersionMatch=Newer", None, 'Unsupported value: "Newer"'),
        ("GET", f"{PODS}?sendInitialEvents=true", None, "sendInitialEvents is forbidden for list"),
        ("GET", f"{PODS}?watch=true&sendInitialEvents=true", None, "requires setting resourceVersionMatch"),
        ("GET", f"{PODS}?watch=true&resourceVersionMatch=NotOlderThan", None, "unless sendInitialEvents is provided"),
    ],
)
def test_a_wrong_option_is_refused_by_name(cluster: Live, method: str, path: str, body: Any, told: str) -> None:
    code, status = cluster.request(method, path, body)
    assert (code, status["reason"], status["details"]["group"]) == (422, "Invalid", "meta.k8s.io")
    assert told in status["message"]
    assert cluster.request("GET", f"{MAPS}/x")[0] == 404


def test_a_deletion_that_says_dry_run_twice_deletes_nothing(cluster: Live) -> None:
    cluster.request("POST", MAPS, {"metadata": {"name": "kept"}})
    assert cluster.request("DELETE", f"{MAPS}/kept", {"dryRun": ["All", "All"]})[0] == 200
    assert cluster.request("DELETE", MAPS, {"dryRun": ["All", "All"]})[0] == 200
    assert cluster.request("GET", f"{MAPS}/kept")[0] == 200


def test_dependents_are_orphaned_where_the_query_says_so(cluster: Live) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    cluster.request("POST", path, {"metadata": {"name": "d"}, "spec": spec})
    code, left = cluster.request("DELETE", f"{path}/d?orphanDependents=True")
    assert (code, left["metadata"]["finalizers"]) == (200, ["orphan"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", False), ("x=0", False), ("x=False", False), ("x=1", True), ("x=true", True), ("x=True", True), ("x=", True)],
)
def test_booleans_of_a_query(query: str, expected: bool) -> None:
    assert is_true(dict(parse_qsl(query, keep_blank_values=True)), "x") is expected
