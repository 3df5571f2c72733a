"""The table of fields: whole, agreeing with the types here and with the table that manifests are held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.model import schema
from harness.model.field_types import INLINE, Field, api_fields, check_fields
from harness.model.objects import KINDS, Unstructured, from_wire, to_wire
from tests.apiserver.every_field import filled

KINDS_OF_THE_TABLE, MESSAGES = api_fields()
LETTERS = {"s": "s", "b": "b", "i": "i", "l": "i", "B": "s", "d": "f"} | {
    "Quantity": "q", "IntOrString": "o", "Time": "t", "MicroTime": "t", "Raw": "o",
}  # fmt: skip
"""Of this table to those of the other."""


def fields(message: str) -> dict[str, Field]:
    out: dict[str, Field] = {}
    for field in MESSAGES[message].values():
        out |= fields(field.type) if field.name in INLINE else {field.name: field}
    return out


def disagreements(message: str, model: str, path: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    if (message, model) in seen:
        return
    seen.add((message, model))
    others = schema.fields_of(model)
    for name, field in fields(message).items():
        other, at = others.get(name), f"{path}.{name}"
        if other is None or (field.repeated, field.mapped) != (other.many, other.mapped):
            yield f"{at}: {field} {other}"
        elif field.type in LETTERS:
            if LETTERS[field.type] != other.kind:
                yield f"{at}: {field} {other}"
        else:
            yield from disagreements(field.type, other.kind, at, seen)


def test_the_two_tables_of_fields_agree() -> None:
    """What is in this one is in the other, with the same type; the other one is of a later release."""
    roots = {key: message for key, message in KINDS_OF_THE_TABLE.items() if schema.is_known(*key)}
    assert len(roots) > 30
    seen: set[tuple[str, str]] = set()
    found = [
        text
        for (version, kind), message in roots.items()
        for text in disagreements(message, schema._table()[0][version, kind], kind, seen)
    ]
    assert found == []


TYPED = sorted(
    name
    for name, kind in KINDS.items()
    if kind.type is not Unstructured and (kind.api_version, name) in KINDS_OF_THE_TABLE
)


@pytest.mark.parametrize("kind", TYPED)
def test_every_field_that_a_type_models_is_one_of_kubernetes(kind: str) -> None:
    wire = _without_unmodelled(to_wire(filled(KINDS[kind].type)))
    _, findings = check_fields(KINDS[kind], KINDS[kind].api_version, wire)
    # Conditions of all kinds have one type here, with every field that some kind's have.
    assert [path for path in findings.unknown if ".conditions[" not in path] == []
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


def test_a_type_of_ones_own_is_its_schema() -> None:
    data = {"kind": "PodGroup", "metadata": {"name": "g"}, "spec": {"minMember": "many", "minMembers": 2}}
    _, findings = check_fields(KINDS["PodGroup"], KINDS["PodGroup"].api_version, data)
    assert findings.unknown == ["spec.minMembers"]
    assert [path for path, _ in findings.wrong] == ["spec.minMember"]
