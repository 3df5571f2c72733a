"""NodePool and NodeClaim (karpenter.sh/v1).

Source: kubernetes-sigs/karpenter pkg/apis/v1 nodepool.go, nodeclaim.go: defaults and printed columns (1.14).
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, number, part
from harness.apiserver.validation.karpenter import node_claim_problems, node_pool_problems
from harness.model.karpenter import (
    CAPACITY_TYPE,
    INSTANCE_TYPE,
    WHEN_UNDERUTILIZED,
    ZONE,
    DisruptionBudget,
    NodePool,
)
from harness.model.objects import KINDS
from harness.model.wire import Json

EXPIRE_AFTER = "720h"


def _defaults(obj: NodePool) -> NodePool:
    spec = obj.spec
    disruption, template = spec.disruption, spec.template
    disruption = replaced(
        disruption,
        consolidate_after=disruption.consolidate_after or "0s",
        consolidation_policy=disruption.consolidation_policy or WHEN_UNDERUTILIZED,
        budgets=(DisruptionBudget(),) if disruption.budgets is None else disruption.budgets,
    )
    if template.spec.expire_after is None:
        template = replaced(template, spec=replaced(template.spec, expire_after=EXPIRE_AFTER))
    if disruption == spec.disruption and template is spec.template:
        return obj
    return replaced(obj, spec=replaced(spec, disruption=disruption, template=template))


def _pool_cells(obj: Json, moment: Moment) -> list[Any]:
    resources = part(obj, "status", "resources") or {}
    return [
        name_of(obj),
        part(obj, "spec", "template", "spec", "nodeClassRef", "name") or "",
        number(obj, "status", "nodes"),
        _condition(obj, "Ready"),
        moment.age(created(obj)),
        number(obj, "spec", "weight") or "",
        resources.get("cpu", ""),
        resources.get("memory", ""),
    ]


def _claim_cells(obj: Json, moment: Moment) -> list[Any]:
    labels = part(obj, "metadata", "labels") or {}
    return [
        name_of(obj),
        *(labels.get(key, "") for key in (INSTANCE_TYPE, CAPACITY_TYPE, ZONE)),
        part(obj, "status", "nodeName") or "",
        _condition(obj, "Ready"),
        moment.age(created(obj)),
        part(obj, "status", "providerID") or "",
        labels.get("karpenter.sh/nodepool", ""),
        _condition(obj, "Drifted"),
    ]


def _condition(obj: Json, kind: str) -> str:
    found = [item for item in part(obj, "status", "conditions") or [] if item.get("type") == kind]
    return str(found[0].get("status", "")) if found else ""


RULES = (
    KindRules(
        kind=KINDS["NodePool"],
        defaults=_defaults,
        validate=node_pool_problems,
        counts_generation=True,
        table=Table(("Name", "NodeClass", "Nodes", "Ready", "Age", "Weight*", "CPU*", "Memory*"), _pool_cells),
    ),
    KindRules(
        kind=KINDS["NodeClaim"],
        validate=node_claim_problems,
        counts_generation=True,
        table=Table(
            ("Name", "Type", "Capacity", "Zone", "Node", "Ready", "Age", "ID*", "NodePool*", "Drifted*"),
            _claim_cells,
        ),
    ),
)
