"""The versions of a StatefulSet's template, each kept in a ControllerRevision.

Source: pkg/controller/history/controller_history.go; statefulset/stateful_set_utils.go newRevision (master).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence

from harness.controllers.runtime.pods import owner_reference
from harness.controllers.runtime.template_hash import template_hash
from harness.model.core import PodTemplateSpec
from harness.model.meta import ObjectMeta
from harness.model.wire import decode, encode
from harness.model.workloads import ControllerRevision, StatefulSet

HASH = "controller.kubernetes.io/hash"
"""Label of a ControllerRevision. Source: history.ControllerRevisionHashLabel."""


def data_of(template: PodTemplateSpec) -> dict[str, object]:
    """The patch that brings the template back. Source: getPatch."""
    return {"spec": {"template": {**encode(template), "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    """Source: ApplyRevision."""
    kept = {**revision.data["spec"]["template"]}
    kept.pop("$patch", None)
    return decode(PodTemplateSpec, kept)


def by_age(revision: ControllerRevision) -> tuple[int, int, str]:
    """Source: byRevision."""
    return revision.revision, revision.metadata.creation_timestamp or 0, revision.metadata.name


def new_revision(
    stateful_set: StatefulSet, number: int, collisions: int, taken: Container[str]
) -> tuple[ControllerRevision, int]:
    """(a revision of the template as it is, how many names were found taken so far). A name that another has is passed
    over, also where the other holds the same data, which Kubernetes would share."""
    meta, template = stateful_set.metadata, stateful_set.spec.template
    hashed = template_hash(template, collisions)
    while f"{meta.namespace}/{meta.name}-{hashed}" in taken:
        collisions += 1
        hashed = template_hash(template, collisions)
    made = ControllerRevision(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            name=f"{meta.name}-{hashed}",
            labels={**template.metadata.labels, HASH: hashed},
            annotations=meta.annotations,
            owner_references=(owner_reference(stateful_set, "apps/v1", "StatefulSet"),),
        ),
        data=data_of(template),
        revision=number,
    )
    return made, collisions


def to_forget(
    revisions: Sequence[ControllerRevision], live: Collection[str], limit: int | None
) -> list[ControllerRevision]:
    """The oldest of those that nobody uses, beyond `limit` (10 by default). Source: truncateHistory."""
    unused = [item for item in revisions if item.metadata.name not in live]
    return unused[: max(len(unused) - (10 if limit is None else limit), 0)]
