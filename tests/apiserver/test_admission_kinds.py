"""Kinds about how an API server treats requests: kept where nothing hangs on them, else refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the live extra is not installed")

from tests.apiserver.live import Live, live

GROUP = "/apis/admissionregistration.k8s.io/v1"
WEBHOOKS = f"{GROUP}/validatingwebhookconfigurations"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Live]:
    with live() as running:
        yield running


def webhook(**more: Any) -> dict[str, Any]:
    service = {"name": "hook", "namespace": "default", "path": "/validate"}
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    made = {"name": "pods.hook.example.com", "clientConfig": {"service": service}, "rules": [rule]}
    return {**made, "sideEffects": "None", "admissionReviewVersions": ["v1"], **more}


def test_a_webhook_that_may_fail_is_kept_with_a_warning(cluster: Live) -> None:
    body = {"metadata": {"name": "lenient"}, "webhooks": [webhook(failurePolicy="Ignore")]}
    code, _, headers = cluster.exchange("POST", WEBHOOKS, body)
    assert code == 201
    assert "webhook pods.hook.example.com is kept and never called" in str(headers)
    made = cluster.request("GET", f"{WEBHOOKS}/lenient")[1]["webhooks"][0]
    assert (made["timeoutSeconds"], made["matchPolicy"], made["rules"][0]["scope"]) == (10, "Equivalent", "*")
    assert made["clientConfig"]["service"]["port"] == 443
    assert cluster.request("GET", WEBHOOKS, headers=TABLE)[1]["rows"][0]["cells"][:2] == ["lenient", 1]


@pytest.mark.parametrize("plural", ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"])
def test_a_webhook_that_must_answer_is_refused_by_name(cluster: Live, plural: str) -> None:
    code, status = cluster.request("POST", f"{GROUP}/{plural}", {"metadata": {"name": "w"}, "webhooks": [webhook()]})
    assert (code, status["reason"]) == (422, "Invalid")
    (cause,) = status["details"]["causes"]
    assert cause["field"] == "webhooks[0].failurePolicy"
    assert "admission webhooks are not modelled" in cause["message"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "short"}, "webhooks[0].name"),
        ({"clientConfig": {}}, "webhooks[0].clientConfig"),
        ({"sideEffects": "Some"}, "webhooks[0].sideEffects"),
        ({"admissionReviewVersions": []}, "webhooks[0].admissionReviewVersions"),
    ],
)
def test_a_wrong_webhook_is_told(cluster: Live, change: dict[str, Any], field: str) -> None:
    item = {**webhook(failurePolicy="Ignore"), **change}
    code, status = cluster.request("POST", WEBHOOKS, {"metadata": {"name": "w"}, "webhooks": [item]})
    assert (code, [cause["field"] for cause in status["details"]["causes"]]) == (422, [field])


@pytest.mark.parametrize(
    ("path", "spec", "told"),
    [
        (
            f"{GROUP}/validatingadmissionpolicybindings",
            {"policyName": "p", "validationActions": ["Deny"]},
            "admission policies are not modelled",
        ),
        (f"{FLOWS}/flowschemas", {"priorityLevelConfiguration": {"name": "x"}}, "Fairness is not modelled"),
        (f"{FLOWS}/prioritylevelconfigurations", {"type": "Limited"}, "Fairness is not modelled"),
    ],
)
def test_what_would_change_the_fate_of_requests_is_refused(cluster: Live, path: str, spec: Any, told: str) -> None:
    assert cluster.request("GET", path)[0] == 200
    code, status = cluster.request("POST", path, {"metadata": {"name": "v1.x.example.com"}, "spec": spec})
    assert (code, status["reason"]) == (422, "Invalid")
    assert told in status["message"]


def test_a_policy_without_a_binding_is_kept_with_a_warning(cluster: Live) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"validations": [{"expression": "true"}]}}
    code, _, headers = cluster.exchange("POST", f"{GROUP}/validatingadmissionpolicies", body)
    assert code == 201
    assert "never evaluated" in str(headers)


def test_every_group_that_is_served_has_an_api_service(cluster: Live) -> None:
    items = cluster.request("GET", SERVICES)[1]["items"]
    groups = cluster.request("GET", "/apis")[1]["groups"]
    served = {f"{version['version']}.{group['name']}" for group in groups for version in group["versions"]}
    assert {item["metadata"]["name"] for item in items} == served | {"v1."}
    one = cluster.request("GET", f"{SERVICES}/v1.apps")[1]
    assert (one["spec"]["group"], one["status"]["conditions"][0]["status"]) == ("apps", "True")


@pytest.mark.parametrize("name", ["v1.apps", "v1.x.example.com"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_who_writes_an_api_service_is_told_that_none_is_modelled(cluster: Live, method: str, name: str) -> None:
    """One that is there was said to be missing."""
    body = {"metadata": {"name": name}, "spec": {"group": "x.example.com", "version": "v1"}}
    path = SERVICES if method == "POST" else f"{SERVICES}/{name}"
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    code, status = cluster.request(method, path, None if method == "DELETE" else body, headers=headers)
    assert (code, status["reason"]) == (405, "MethodNotAllowed")
    assert "extension API servers are not modelled" in status["message"]


def test_a_watch_of_api_services_is_refused(cluster: Live) -> None:
    """It began with none of them, and never told of any."""
    assert cluster.request("GET", f"{SERVICES}?watch=true&timeoutSeconds=1")[0] == 405
    (found,) = cluster.request("GET", "/apis/apiregistration.k8s.io/v1")[1]["resources"]
    assert (found["name"], found["verbs"]) == ("apiservices", ["get", "list"])
