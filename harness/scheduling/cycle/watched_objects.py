"""What scheduling looks at besides nodes and pods: namespaces, volumes, and whose selectors spreading goes by."""

from __future__ import annotations

from typing import Any

from harness.model.core import Namespace, Service
from harness.model.objects import KINDS, kind_of
from harness.model.workloads import ReplicationController
from harness.scheduling.matching.owner_selectors import CONTROLLERS
from harness.scheduling.matching.pod_selectors import Requirements, requirements
from harness.scheduling.pods.pod_classes import PodClasses

WATCHES = tuple(kind for kind in ("Namespace", "Service", *sorted(CONTROLLERS)) if kind in KINDS)
"""Kinds that `observe` takes, as far as the API server knows them."""


def observe(classes: PodClasses, obj: object, *, gone: bool = False) -> bool:
    """Takes notice of one object as it is now (`gone`: deleted); False when scheduling does not look at its kind."""
    if isinstance(obj, Namespace):
        classes.tables.put_namespace(obj.metadata.name, None if gone else obj.metadata.labels)
        return True
    selectors = classes.tables.owner_selectors
    if isinstance(obj, Service):
        selectors.put_service(obj.metadata.namespace, obj.metadata.name, None if gone else obj.spec.selector)
        return True
    if classes.tables.learn_volumes(obj, gone=gone):
        return True
    kind = kind_of(obj)
    if kind in CONTROLLERS:
        meta = obj.metadata  # type: ignore[attr-defined]
        selectors.put_controller(kind, meta.namespace, meta.name, None if gone else _selector(obj))
        return True
    return False


def _selector(controller: Any) -> Requirements | None:
    if isinstance(controller, ReplicationController):  # a plain map of labels
        return tuple((key, "In", (value,)) for key, value in sorted(controller.spec.selector.items())) or None
    return requirements(controller.spec.selector)
