"""The one table of Kubernetes' fields: what the Go types say, and what the official client says."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from harness.model import field_table
from harness.model.field_table import Field, json_fields, kind_messages
from tests.loading.derive_fields import describe, table

TABLE = Path(field_table.__file__).with_name("kubernetes_fields.txt")

OF_CLIENT = {
    "s": {"str"}, "b": {"bool"}, "i": {"int"}, "l": {"int"}, "d": {"float"}, "B": {"str", "bytes"}, "Quantity": {"str"},
    "IntOrString": {"object"}, "Time": {"datetime"}, "MicroTime": {"datetime"}, "Raw": {"object"},
    "JSONSchemaPropsOrArray": {"object"}, "JSONSchemaPropsOrBool": {"object"},
}  # fmt: skip
"""The client's types of each type of the table. Its models do not tell int32 from int64, or quantities from strings."""

SPECIAL = {"Event": "CoreV1Event"}
"""Kinds whose models are not named <version><kind>."""


def test_the_table_is_what_the_go_types_say() -> None:
    """PODYARD_KUBERNETES: git directories of kubernetes/api and kubernetes/apimachinery, with a colon between them."""
    repositories = os.environ.get("PODYARD_KUBERNETES", "").split(os.pathsep)
    if len(repositories) != 2:
        pytest.skip("PODYARD_KUBERNETES does not name the two repositories of the Go types")
    text = TABLE.read_text()
    if any(describe(repository) not in text for repository in repositories):
        pytest.skip("the table is of other commits")
    assert table(*repositories) == text


def client() -> Any:
    """Of the release that the table is of."""
    try:
        installed = version("kubernetes")
    except PackageNotFoundError:
        pytest.skip("the official client is not installed")
    if not installed.startswith("37."):
        pytest.skip(f"the table is of release 1.37, the installed client of {installed}")
    return importlib.import_module("kubernetes.client")


def model_of(models: Any, api_version: str, kind: str) -> Any:
    name = SPECIAL.get(kind) if api_version == "v1" else None
    return getattr(models, name or f"{api_version.rpartition('/')[2].capitalize()}{kind}", None)


def disagreements(models: Any, message: str, model: Any, path: str, seen: set[Any]) -> Iterator[str]:
    if (message, model) in seen:
        return
    seen.add((message, model))
    ours = json_fields(message)
    theirs = {model.attribute_map[name]: text for name, text in model.openapi_types.items()}
    yield from (f"{message}.{name}: not in the client" for name in ours.keys() - theirs)
    yield from (f"{message}.{name}: not in the table" for name in theirs.keys() - ours)
    for name in ours.keys() & theirs:
        field, text = ours[name], theirs[name]
        bare = re.sub(r"^(List\[|Dict\[str, )|\]$", "", text)
        if not same_shape(field, text):
            yield f"{message}.{name}: {field} and {text}"
        elif field.type in OF_CLIENT or field.type == "ExtraValue":
            if not bare.startswith("List[") and bare not in OF_CLIENT[field.type]:
                yield f"{message}.{name}: {field} and {text}"
        elif (below := getattr(models, bare, None)) is None:
            if bare == "object" and not json_fields(field.type):
                continue  # a message without fields
            yield f"{message}.{name}: {field} and {text}"
        else:
            yield from disagreements(models, field.type, below, f"{path}.{name}", seen)


def same_shape(field: Field, text: str) -> bool:
    return (field.repeated, field.mapped) == (text.startswith("List["), text.startswith("Dict["))


def test_the_table_agrees_with_the_official_client() -> None:
    models = client()
    seen: set[Any] = set()
    found: list[str] = []
    compared = 0
    for (api_version, kind), message in kind_messages().items():
        model = model_of(models, api_version, kind)
        if model is not None:
            compared += 1
            found += disagreements(models, message, model, kind, seen)
    assert compared > 50
    assert sorted(found) == []
