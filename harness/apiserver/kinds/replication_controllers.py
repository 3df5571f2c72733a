"""ReplicationController: a ReplicaSet whose selector is a map of labels.

Source: pkg/apis/core/v1/defaults.go SetDefaults_ReplicationController; pkg/apis/core/validation/validation.go
ValidateReplicationControllerSpec; pkg/registry/core/replicationcontroller/strategy.go; printers.go (1.32).
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.defaults.pod_spec import default_template
from harness.apiserver.kinds.rules import ORPHAN_DEPENDENTS, KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    TEMPLATE_COLUMNS,
    Moment,
    containers,
    created,
    labels,
    name_of,
    number,
    part,
)
from harness.apiserver.validation.causes import at_least, pod_count, required
from harness.apiserver.validation.templates import selected_template_problems
from harness.model.core import PodTemplateSpec
from harness.model.meta import LabelSelector
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json
from harness.model.workloads import ReplicationController

_NO_TEMPLATE = PodTemplateSpec()


def _defaults(obj: ReplicationController) -> ReplicationController:
    """Its labels and its selector are its template's labels, where it says nothing of them."""
    meta, spec = obj.metadata, obj.spec
    of_template = spec.template.metadata.labels
    if of_template and not meta.labels:
        meta = replaced(meta, labels=of_template)
    spec = replaced(
        spec,
        replicas=1 if spec.replicas is None else spec.replicas,
        selector=spec.selector or of_template,
        template=spec.template if spec.template == _NO_TEMPLATE else default_template(spec.template),
    )
    return replaced(obj, metadata=meta, spec=spec)


def _problems(new: ReplicationController, old: ReplicationController | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    at_least(found, "spec.minReadySeconds", spec.min_ready_seconds)
    pod_count(found, "spec.replicas", spec.replicas)
    if spec.template == _NO_TEMPLATE:
        if not spec.selector:
            found.append(required("spec.selector"))
        found.append(required("spec.template"))
        return found
    selector = LabelSelector(match_labels=spec.selector)
    before = None if old is None else old.spec.template
    selected_template_problems(found, selector, spec.template, before, kind="ReplicationController")
    return found


def _cells(obj: Json, moment: Moment) -> list[Any]:
    names, images = containers(obj)
    return [
        name_of(obj),
        number(obj, "spec", "replicas"),
        number(obj, "status", "replicas"),
        number(obj, "status", "readyReplicas"),
        moment.age(created(obj)),
        names,
        images,
        labels(part(obj, "spec", "selector")),
    ]


def _complete(data: Json) -> None:
    data["status"].setdefault("replicas", 0)


RULES = (
    KindRules(
        kind=KINDS["ReplicationController"],
        defaults=_defaults,
        validate=_problems,
        counts_generation=True,
        propagation=ORPHAN_DEPENDENTS,
        quota_name="replicationcontrollers",
        table=Table(("Name", "Desired", "Current", "Ready", "Age", *TEMPLATE_COLUMNS), _cells),
        fields={"status.replicas": lambda controller: str(controller.status.replicas or 0)},
        complete_wire=_complete,
    ),
)
