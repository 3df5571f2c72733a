"""What `kubectl get` prints: a kind's columns and an object's cells; a kind without columns shows name and age.

Source: pkg/printers/internalversion/printers.go. Cells are made from an object's JSON, so that kinds which no type
models have them, too.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds import RULES
from harness.apiserver.registry.table_cells import Moment
from harness.model.wire import Json

_TYPES = {"Restarts": "string", "Value": "integer", "Data": "integer", "Count": "integer", "MinPods": "string"}


def columns(kind: str) -> list[Json]:
    """metav1.TableColumnDefinition of each."""
    return [
        {
            "name": name.rstrip("*"),
            "type": _TYPES.get(name.rstrip("*"), "string"),
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": 1 if name.endswith("*") else 0,
        }
        for name in RULES[kind].table.columns
    ]


def cells(kind: str, obj: Json, moment: Moment) -> list[Any]:
    """One a column."""
    return RULES[kind].table.cells(obj, moment)


def row(kind: str, obj: Json, moment: Moment, include: str) -> Json:
    """`include`: None, Metadata or Object, what comes with the cells."""
    out: Json = {"cells": cells(kind, obj, moment)}
    match include:
        case "None":
            pass
        case "Object":
            out["object"] = obj
        case _:
            out["object"] = partial(obj)
    return out


def partial(obj: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(meta: Json, definitions: list[Json], rows: list[Json]) -> Json:
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    }
