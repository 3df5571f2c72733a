"""Protobuf bodies as kubectl sends them, and as nobody should."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.apiserver.http import protobuf_answers
from harness.apiserver.http.protobuf import MAGIC, decode
from harness.model.field_table import kind_messages, messages
from harness.model.field_types import check_fields
from harness.model.objects import KINDS
from harness.model.status import ApiError
from tests.apiserver.any_json import AnyJson


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(field: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + text(1, text(1, version) + text(2, kind)) + text(2, raw) + text(3, "") + text(4, "")


def test_a_deployment_as_kubectl_sends_it() -> None:
    meta = text(1, "web") + text(3, "") + number(7, 0) + text(8, b"") + text(11, text(1, "app") + text(2, ""))
    requests = text(2, text(1, "cpu") + text(2, text(1, "100m")))
    probe = text(1, text(2, text(1, "/") + text(2, number(1, 1) + number(2, 0) + text(3, "http")))) + number(2, 0)
    container = text(1, "c") + text(2, "i") + text(8, requests) + text(10, probe) + number(16, 0)
    volume = text(1, "v") + text(2, text(2, b""))
    pod = text(1, volume) + text(2, container) + number(11, 0) + number(4, 0)
    template = text(1, b"") + text(2, pod)
    strategy = text(1, "") + text(2, text(1, number(1, 0) + number(2, 3)) + text(2, number(1, 1) + text(3, "25%")))
    spec = number(1, 0) + text(2, text(1, text(1, "app") + text(2, "web"))) + text(3, template) + text(4, strategy)
    spec += number(5, 0) + number(7, 0)
    made = decode(envelope("apps/v1", "Deployment", text(1, meta) + text(2, spec)))
    assert made == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": ""}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {},
                "spec": {
                    "volumes": [{"name": "v", "emptyDir": {}}],
                    "containers": [
                        {
                            "name": "c",
                            "image": "i",
                            "resources": {"requests": {"cpu": "100m"}},
                            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}},
                        }
                    ],
                    "terminationGracePeriodSeconds": 0,
                },
            },
            "strategy": {"rollingUpdate": {"maxUnavailable": 3, "maxSurge": "25%"}},
        },
    }


def test_times_bytes_and_negative_numbers() -> None:
    secret = text(1, text(1, "s") + text(8, number(1, 1_735_689_600))) + text(2, text(1, "k") + text(2, b"\x00\xff"))
    made = decode(envelope("v1", "Secret", secret))
    assert made["metadata"]["creationTimestamp"] == "2025-01-01T00:00:00Z"
    assert made["data"] == {"k": "AP8="}
    low = decode(envelope("scheduling.k8s.io/v1", "PriorityClass", number(2, -5)))
    assert low["value"] == -5


def test_what_comes_later_is_passed_over() -> None:
    made = decode(envelope("v1", "Namespace", text(1, text(1, "n")) + text(99, "new") + number(98, 1)))
    assert made["metadata"] == {"name": "n"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", 400),
        (envelope("v1", "Unicorn", b""), 415),
        (envelope("v1", "Namespace", b"\x0a\xff"), 400),
        (envelope("v1", "Namespace", b"\x0b"), 400),
        (envelope("v1", "Namespace", number(1, 5)), 400),
        (envelope("v1", "Namespace", text(1, text(1, b"\xff\xfe"))), 400),
        (envelope("v1", "Namespace", text(1, text(1, "n")))[:-9], 400),
    ],
)
def test_damaged_and_unknown_bodies_are_refused(body: bytes, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        decode(body)
    assert refused.value.code == code


@given(st.sampled_from([("v1", "Pod"), ("apps/v1", "Deployment"), ("v1", "Secret")]), st.binary(max_size=200))
def test_no_bytes_do_harm(kind: tuple[str, str], raw: bytes) -> None:
    for body in (MAGIC + raw, envelope(*kind, raw)):
        assert outcome(body) in (200, 400, 415)


def outcome(body: bytes) -> int:
    try:
        decode(body)
    except ApiError as refused:
        return refused.code
    return 200


def test_the_table_is_whole() -> None:
    own = {"Quantity", "IntOrString", "Time", "MicroTime", "Raw", "s", "b", "i", "l", "d", "B", "ExtraValue"}
    own |= {"JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool"}
    for name, fields in messages().items():
        numbers = [field.number for field in fields if field.number]
        assert len({field.name for field in fields}) == len(fields), name
        assert len(set(numbers)) == len(numbers), name
        for field in fields:
            assert field.type in own or field.type in messages(), (name, field)
    assert set(kind_messages().values()) <= set(messages())


KNOWN = sorted(name for name, kind in KINDS.items() if protobuf_answers.is_known(kind.api_version, name))


@given(st.sampled_from(KNOWN), st.randoms(use_true_random=False))
def test_what_is_answered_reads_as_what_it_was(name: str, rng: random.Random) -> None:
    """Of any object that the schema allows: only zeros that nobody said are missing."""
    kind = KINDS[name]
    value, findings = check_fields(kind, kind.api_version, AnyJson(rng, 0).object(kind, "x"))
    if findings.wrong:
        return
    once = decode(protobuf_answers.encode(value))
    assert decode(protobuf_answers.encode(once)) == once
    assert lost(value, once) == []


def lost(value: Any, found: Any, path: str = "") -> list[str]:
    """Paths of what was said and is not in `found`; empty values and zeros aside."""
    if isinstance(value, dict) and isinstance(found, dict):
        return [out for key, item in value.items() for out in lost(item, found.get(key), f"{path}.{key}")]
    if isinstance(value, list) and isinstance(found, list) and len(value) == len(found):
        return [out for index, item in enumerate(value) for out in lost(item, found[index], f"{path}[{index}]")]
    if isinstance(found, str):
        found = found.replace(".000000Z", "Z")  # MicroTime
    same = value == found or str(value) == found or (not value and not found)
    return [] if same else [f"{path}: {value!r} {found!r}"]


def test_a_zero_that_was_said_is_kept() -> None:
    said: dict[tuple[str, str], dict[str, Any]] = {
        ("v1", "PersistentVolumeClaim"): {"spec": {"storageClassName": "", "accessModes": ["ReadWriteOnce"]}},
        ("storage.k8s.io/v1", "CSINode"): {"spec": {"drivers": [{"name": "d", "allocatable": {"count": 0}}]}},
        ("storage.k8s.io/v1", "CSIDriver"): {"spec": {"attachRequired": False}},
        ("apps/v1", "StatefulSet"): {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}},
        ("v1", "Pod"): {"status": {"containerStatuses": [{"name": "c", "started": False}]}},
    }
    for (version, kind), body in said.items():
        value = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **body}
        assert decode(protobuf_answers.encode(value)) == value
