"""Reviews: questions about rights that are answered and kept nowhere."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.auth.rbac import User
from tests.apiserver.live import live

pytestmark = pytest.mark.live

GROUP = "/apis/authorization.k8s.io/v1"


def test_a_review_in_a_namespace_is_about_that_namespace() -> None:
    with live({"eve": User("eve")}) as cluster:
        path = f"{GROUP}/namespaces/default/localsubjectaccessreviews"
        about = {"namespace": "default", "verb": "get", "resource": "pods"}
        for user, groups, allowed in (("eve", [], False), ("root", ["system:masters"], True)):
            body = {"spec": {"user": user, "groups": groups, "resourceAttributes": about}}
            code, said = cluster.request("POST", path, body)
            assert (code, said["kind"], said["status"]["allowed"]) == (201, "LocalSubjectAccessReview", allowed)
        body = {"spec": {"user": "eve", "resourceAttributes": {**about, "namespace": "other"}}}
        code, said = cluster.request("POST", path, body)
        assert (code, "must match namespace" in said["message"]) == (400, True)
        body = {"spec": {"user": "eve", "resourceAttributes": about}}
        assert cluster.request("POST", path, body, token="eve")[0] == 403
        assert cluster.request("POST", f"{GROUP}/localsubjectaccessreviews", body)[0] == 404
        _, listed = cluster.request("GET", GROUP)
        scopes = {item["name"]: item["namespaced"] for item in listed["resources"]}
        assert scopes["localsubjectaccessreviews"] is True
        assert scopes["subjectaccessreviews"] is False
