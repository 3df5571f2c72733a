"""Secrets of a type have what their type says. Source of the rules: pkg/apis/core/validation ValidateSecret."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from harness.model.objects import from_wire
from harness.model.status import ApiError
from tests.controllers.test_statefulset import Story


def secret(kind: str, **data: str) -> Any:
    meta = {"name": "s", "namespace": "default"}
    encoded = {key.replace("_", "."): base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return from_wire({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": kind, "data": encoded})


GOOD = [
    ("Opaque", {}),
    ("example.com/own", {}),
    ("kubernetes.io/tls", {"tls_crt": "", "tls_key": ""}),
    ("kubernetes.io/dockerconfigjson", {"_dockerconfigjson": '{"auths":{}}'}),
    ("kubernetes.io/basic-auth", {"password": "p"}),
    ("kubernetes.io/ssh-auth", {"ssh-privatekey": "k"}),
]
BAD = [
    ("kubernetes.io/tls", {"tls_crt": ""}, r"data\[tls.key\]: Required value"),
    ("kubernetes.io/dockerconfigjson", {}, r"data\[.dockerconfigjson\]: Required value"),
    ("kubernetes.io/dockerconfigjson", {"_dockerconfigjson": "{"}, "redacted"),
    ("kubernetes.io/basic-auth", {}, r"data\[username\]: Required value"),
    ("kubernetes.io/ssh-auth", {}, r"data\[ssh-privatekey\]: Required value"),
    ("kubernetes.io/service-account-token", {}, r"kubernetes.io/service-account.name"),
]


@pytest.mark.parametrize(("kind", "data"), GOOD)
def test_what_is_complete_is_taken(kind: str, data: dict[str, str]) -> None:
    assert Story(0).server.create(secret(kind, **data)).extra["type"] == kind


@pytest.mark.parametrize(("kind", "data", "why"), BAD)
def test_what_lacks_a_key_is_refused_by_its_name(kind: str, data: dict[str, str], why: str) -> None:
    with pytest.raises(ApiError, match=why):
        Story(0).server.create(secret(kind, **data))
