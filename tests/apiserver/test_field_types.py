"""The API server's check of fields, and the types here against the table of Kubernetes' fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.model.field_table import kind_messages
from harness.model.field_types import check_fields
from harness.model.objects import KINDS, Unstructured, from_wire, to_wire
from harness.model.wire import Wire
from tests.apiserver.every_field import filled

TYPED = sorted(
    name
    for name, kind in KINDS.items()
    if kind.type is not Unstructured and (kind.api_version, name) in kind_messages()
)


@pytest.mark.parametrize("kind", TYPED)
def test_every_field_that_a_type_models_is_one_of_kubernetes(kind: str) -> None:
    wire = _without_unmodelled(to_wire(filled(KINDS[kind].type)))
    _, findings = check_fields(KINDS[kind], KINDS[kind].api_version, wire)
    # Conditions of all kinds have one type here, with every field that some kind's have; startupBoost is kept as JSON.
    assert [path for path in findings.unknown if ".conditions[" not in path and ".startupBoost." not in path] == []
    # `filled` says 7 where IntOrString, and "said" where an enumeration is: types alone are judged here.
    assert findings.wrong == []


def _without_unmodelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_unmodelled(item) for name, item in value.items() if name != "unmodelled"}
    return [_without_unmodelled(item) for item in value] if isinstance(value, list) else value


def test_what_is_unknown_is_taken_out_and_nothing_else() -> None:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "x": 1}, "spec": {"containers": [], "y": None}}
    pruned, findings = check_fields(KINDS["Pod"], "v1", body)
    assert findings.unknown == ["metadata.x", "spec.y"]
    assert pruned == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}}
    assert body["metadata"] == {"name": "a", "x": 1}
    assert check_fields(KINDS["Pod"], "v1", pruned)[0] is pruned
    assert from_wire(pruned).metadata.name == "a"


def test_a_custom_resource_of_the_table_is_checked() -> None:
    data = {"kind": "PodGroup", "metadata": {"name": "g"}, "spec": {"minMember": "many", "minMembers": 2}}
    _, findings = check_fields(KINDS["PodGroup"], KINDS["PodGroup"].api_version, data)
    assert findings.unknown == ["spec.minMembers"]
    assert [path for path, _ in findings.wrong] == ["spec.minMember"]


class MoonSpec(Wire, frozen=True):
    phase: str = ""
    craters: int = 0


class Moon(Wire, frozen=True):
    spec: MoonSpec = MoonSpec()


def test_a_type_of_ones_own_is_its_schema() -> None:
    """Of a kind from outside that no table has."""
    kind = replace(KINDS["PodGroup"], kind="Moon", type=Moon)
    KINDS["Moon"] = kind
    try:
        _, findings = check_fields(kind, kind.api_version, {"spec": {"phase": 7, "craters": 3, "rings": 1}})
    finally:
        del KINDS["Moon"]
    assert findings.unknown == ["spec.rings"]
    assert [path for path, _ in findings.wrong] == ["spec.phase"]
