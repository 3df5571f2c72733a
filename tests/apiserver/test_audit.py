"""The audit log: one line for each stage of a request, as kube-apiserver's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from harness.apiserver.http.audit import AuditLog
from harness.apiserver.http.auth.rbac import User
from harness.model.errors import UserError
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

MAPS = "/api/v1/namespaces/default/configmaps"


def told(path: Path, ask: Any) -> list[dict[str, Any]]:
    log = AuditLog(path)
    with live({"eve": User("eve", ("devs",), "u1")}, log) as cluster:
        ask(cluster)
    log.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_who_asked_for_what_and_what_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    def ask(cluster: Live) -> None:
        body = {"metadata": {"name": "a"}, "data": {"secret": "not told"}}
        assert cluster.request("POST", f"{MAPS}?fieldManager=me", body)[0] == 201
        assert cluster.request("GET", f"{MAPS}/b")[0] == 404
        assert cluster.request("DELETE", MAPS, token="eve")[0] == 403
        assert cluster.request("GET", MAPS, token="nobody's")[0] == 401
        as_bob = {"Impersonate-User": "bob", "Impersonate-Group": "system:masters"}
        assert cluster.request("GET", "/version", headers=as_bob)[0] == 200

    created, missing, forbidden, unknown, version = told(path, ask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "not told" not in path.read_text()
    for event in (created, missing, forbidden, unknown, version):
        assert (event["kind"], event["apiVersion"]) == ("Event", "audit.k8s.io/v1")
        assert (event["level"], event["stage"], event["sourceIPs"]) == ("Metadata", "ResponseComplete", ["127.0.0.1"])
        assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]
    assert len({event["auditID"] for event in (created, missing, forbidden, unknown, version)}) == 5
    assert (created["verb"], created["requestURI"]) == ("create", f"{MAPS}?fieldManager=me")
    assert created["objectRef"] == {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"}
    assert created["user"]["username"] == "kubernetes-admin"
    assert created["responseStatus"]["code"] == 201
    assert created["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert (missing["verb"], missing["objectRef"]["name"]) == ("get", "b")
    assert (missing["responseStatus"]["code"], missing["responseStatus"]["reason"]) == (404, "NotFound")
    assert forbidden["verb"] == "deletecollection"
    assert forbidden["user"] == {"username": "eve", "uid": "u1", "groups": ["devs"]}
    assert forbidden["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert (unknown["responseStatus"]["code"], unknown["user"]) == (401, {})
    assert (version["verb"], version["requestURI"]) == ("get", "/version")
    assert version["impersonatedUser"]["username"] == "bob"
    assert version["user"]["username"] == "kubernetes-admin"


def test_a_watch_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    def ask(cluster: Live) -> None:
        cluster.exchange("GET", f"{MAPS}?watch=true&timeoutSeconds=1")

    begun, ended = told(tmp_path / "audit.log", ask)
    assert (begun["stage"], ended["stage"]) == ("ResponseStarted", "ResponseComplete")
    assert begun["auditID"] == ended["auditID"]
    assert begun["verb"] == ended["verb"] == "watch"


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="audit log"):
        AuditLog(tmp_path / "nowhere" / "audit.log")
