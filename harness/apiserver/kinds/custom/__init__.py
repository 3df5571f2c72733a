"""CustomResourceDefinition, and what makes a kind of one: schema (structural), columns, names (definitions).

Source: kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions;
staging/src/k8s.io/apiextensions-apiserver.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.custom import definitions
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.table_cells import Moment, created, name_of
from harness.model.objects import KINDS
from harness.model.wire import Json


def _cells(obj: Json, moment: Moment) -> list[Any]:
    """Source: apiextensions-apiserver pkg/registry/customresourcedefinition/tableconvertor.go."""
    return [name_of(obj), created(obj) or ""]


RULES = (
    KindRules(
        kind=KINDS["CustomResourceDefinition"],
        defaults=definitions.default,
        validate=definitions.problems,
        counts_generation=True,
        table=Table(("Name", "Created At"), _cells),
    ),
)
