"""Namespace. Source: pkg/registry/core/namespace/strategy.go, pkg/apis/core/v1/defaults.go SetDefaults_Namespace."""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.fields import attribute
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, part
from harness.apiserver.validation import names
from harness.model.core import Namespace, NamespaceSpec, NamespaceStatus
from harness.model.meta import ObjectMeta
from harness.model.objects import KINDS
from harness.model.status import forbidden as refused
from harness.model.wire import Json

NAMESPACE_LABEL = "kubernetes.io/metadata.name"

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
"""Source: apiserver pkg/server/plugins.go / plugin/namespace/lifecycle NewLifecycle."""


def _defaults(obj: Namespace) -> Namespace:
    """Every namespace can be selected by its name. Source: pkg/apis/core/v1/defaults.go SetDefaults_Namespace."""
    meta = obj.metadata
    if not meta.name or meta.labels.get(NAMESPACE_LABEL) == meta.name:
        return obj
    return replaced(obj, metadata=replaced(meta, labels={**meta.labels, NAMESPACE_LABEL: meta.name}))


def _on_create(namespace: Namespace, meta: ObjectMeta) -> Namespace:
    spec, status = NamespaceSpec(finalizers=("kubernetes",)), NamespaceStatus(phase="Active")
    return replaced(namespace, metadata=meta, spec=spec, status=status)


def _on_delete(namespace: Namespace) -> Namespace:
    """It stays until its controller has emptied it and taken the finalizer away. Raises ApiError Forbidden."""
    if namespace.metadata.name in IMMORTAL:
        raise refused("namespaces", namespace.metadata.name, "this namespace may not be deleted")
    if not namespace.spec.finalizers:
        return namespace
    return replaced(namespace, status=replaced(namespace.status, phase="Terminating"))


def _is_held(namespace: Namespace) -> bool:
    return bool(namespace.spec.finalizers)


def _cells(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), part(obj, "status", "phase") or "", moment.age(created(obj))]


RULES = (
    KindRules(
        kind=KINDS["Namespace"],
        defaults=_defaults,
        name_problem=names.label_problem,
        on_create=_on_create,
        on_delete=_on_delete,
        is_held=_is_held,
        table=Table(("Name", "Status", "Age"), _cells),
        fields={"status.phase": attribute("status", "phase")},
        subresources=("finalize",),
    ),
)
