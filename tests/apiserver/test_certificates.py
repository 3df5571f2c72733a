"""Certificates of clients: asked for, approved or denied, signed by the cluster, shown instead of a token."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from harness.apiserver.http.auth import certs
from tests.apiserver.live import Live, live

pytestmark = pytest.mark.live

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CLIENT = "kubernetes.io/kube-apiserver-client"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


def request_of(key: Any, name: str, *groups: str) -> str:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def asked(name: str, request: str, **spec: Any) -> dict[str, Any]:
    spec = {"request": request, "signerName": CLIENT, "usages": ["client auth"]} | spec
    return {"metadata": {"name": name}, "spec": spec}


def decided(cluster: Live, name: str, kind: str = "Approved", **headers: str) -> tuple[int, Any]:
    body = cluster.request("GET", f"{PATH}/{name}")[1]
    condition = {"type": kind, "status": "True", "reason": "Test", "lastUpdateTime": None}
    body["status"] = {**body.get("status", {}), "conditions": [condition]}
    return cluster.request("PUT", f"{PATH}/{name}/approval", body, headers=headers)


def test_a_certificate_is_asked_for_approved_issued_and_names_its_user(cluster: Live, tmp_path: Path) -> None:
    key = certs.new_key()
    spec = {"expirationSeconds": 3600, "usages": ["digital signature", "client auth"]}
    body = asked("jane", request_of(key, "jane", "dev", "ops"), username="mallory", **spec)
    code, made = cluster.request("POST", PATH, body)
    assert (code, made["spec"]["username"]) == (201, "kubernetes-admin")
    assert "certificate" not in made["status"]
    code, approved = decided(cluster, "jane")
    assert code == 200, approved
    assert approved["status"]["conditions"][0]["lastTransitionTime"]
    issued = cluster.request("GET", f"{PATH}/jane")[1]["status"]["certificate"]
    pem = base64.b64decode(issued)
    read = x509.load_pem_x509_certificate(pem)
    assert 3500 < (read.not_valid_after_utc - read.not_valid_before_utc).total_seconds() < 4000
    (tmp_path / "jane.pem").write_bytes(pem + certs.key_text(key).encode())
    trust = ssl.create_default_context(cadata=cluster.http.authority.decode())
    trust.load_cert_chain(tmp_path / "jane.pem")

    def called(path: str, method: str = "GET", data: Any = None) -> tuple[int, Any]:
        sent = urllib.request.Request(
            cluster.http.url + path, json.dumps(data).encode() if data else None, {"Content-Type": "application/json"}
        )
        sent.method = method
        try:
            answer = urllib.request.urlopen(sent, timeout=20, context=trust)
        except HTTPError as error:
            answer = error
        with answer:
            return answer.status, json.loads(answer.read())

    review = called("/apis/authentication.k8s.io/v1/selfsubjectreviews", "POST", {"spec": {}})[1]
    assert review["status"]["userInfo"] == {"username": "jane", "groups": ["dev", "ops", "system:authenticated"]}
    code, status = called("/api/v1/namespaces/default/pods")
    assert (code, 'User "jane" cannot list resource "pods"' in status["message"]) == (403, True)


def test_what_another_authority_has_signed_is_no_credential(cluster: Live, tmp_path: Path) -> None:
    other = certs.make(certs.make_authority())
    (tmp_path / "other.pem").write_bytes(other.server + other.server_key)
    trust = ssl.create_default_context(cadata=cluster.http.authority.decode())
    trust.load_cert_chain(tmp_path / "other.pem")
    with pytest.raises(OSError, match=r"alert|closed|reset|Broken|EOF"):
        urllib.request.urlopen(cluster.http.url + "/version", timeout=20, context=trust)


def test_who_may_approve_and_what_was_decided_stays(cluster: Live) -> None:
    cluster.request("POST", PATH, asked("deny", request_of(certs.new_key(), "x")))
    bob = {"Impersonate-User": "bob"}
    assert decided(cluster, "deny", **bob)[0] == 403
    group = "certificates.k8s.io"
    rules = [{"apiGroups": [group], "resources": ["*"], "verbs": ["get", "update"]}]
    role = {"metadata": {"name": "approver"}, "rules": rules}
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    cluster.request("POST", roles, role)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}]
    binding = {"metadata": {"name": "approver"}, "roleRef": reference, "subjects": subjects}
    cluster.request("POST", f"{roles[:-5]}rolebindings", binding)
    code, status = decided(cluster, "deny", **bob)
    assert (code, f'not permitted to approve requests with signerName "{CLIENT}"' in status["message"]) == (403, True)
    rules.append({"apiGroups": [group], "resources": ["signers"], "resourceNames": ["kubernetes.io/*"], "verbs": ["approve"]})  # fmt: skip  # noqa: E501
    cluster.request("PUT", f"{roles}/approver", role)
    assert decided(cluster, "deny", "Denied", **bob)[0] == 200
    code, status = decided(cluster, "deny", "Approved", **bob)
    assert code == 422
    assert 'updates may not remove a condition of type "Denied"' in status["message"]
    code, after = cluster.request("PUT", f"{PATH}/deny/status", {"metadata": {"name": "deny"}, "status": {}})
    assert [item["type"] for item in after["status"]["conditions"]] == ["Denied"]
    assert "certificate" not in after["status"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"request": "dm0K"}, "PEM block type must be CERTIFICATE REQUEST"),
    ({"usages": []}, "spec.usages: Required value"),
    ({"usages": ["any thing"]}, 'spec.usages[0]: Unsupported value: "any thing"'),
    ({"signerName": "short"}, "must be a fully qualified domain and path"),
    ({"signerName": ""}, "spec.signerName: Required value"),
    ({"expirationSeconds": 10}, "may not specify a duration less than 600 seconds (10 minutes)"),
]


@pytest.mark.parametrize(("spec", "why"), WRONG)
def test_a_request_that_nobody_could_sign_is_refused(cluster: Live, spec: dict[str, Any], why: str) -> None:
    code, status = cluster.request("POST", PATH, asked("wrong", **{"request": request_of(certs.new_key(), "x")} | spec))
    assert (code, why in status["message"]) == (422, True), status


def test_nobody_becomes_a_master_by_a_certificate(cluster: Live) -> None:
    code, status = cluster.request("POST", PATH, asked("root", request_of(certs.new_key(), "x", "system:masters")))
    assert (code, "system:masters group is not allowed" in status["message"]) == (403, True)


def test_a_signer_takes_only_its_own_usages_and_an_unknown_one_signs_nothing(cluster: Live) -> None:
    request = request_of(certs.new_key(), "x")
    cluster.request("POST", PATH, asked("server", request, usages=["server auth"]))
    decided(cluster, "server")
    held = cluster.request("GET", f"{PATH}/server")[1]["status"]
    assert [item["type"] for item in held["conditions"]] == ["Approved", "Failed"]
    assert "certificate" not in held
    cluster.request("POST", PATH, asked("other", request, signerName="example.com/mine"))
    decided(cluster, "other")
    assert "certificate" not in cluster.request("GET", f"{PATH}/other")[1]["status"]


def test_acting_with_a_uid_and_more_that_is_known_of_a_user(cluster: Live) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"Impersonate-User": "bob", "Impersonate-Uid": "7", "Impersonate-Extra-Acme.com%2Fteam": "a"}
    info = cluster.request("POST", path, {"spec": {}}, headers=headers)[1]["status"]["userInfo"]
    assert (info["uid"], info["extra"]) == ("7", {"acme.com/team": ["a"]})
    code, status = cluster.request("POST", path, {"spec": {}}, headers={"Impersonate-Uid": "7"})
    assert (code, status["message"]) == (400, "requested a uid without impersonating a user")
