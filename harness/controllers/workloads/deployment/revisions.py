"""A Deployment and its ReplicaSets: which is new, which are old, their revisions and annotations.

Source: pkg/controller/deployment/util/deployment_util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from harness.controllers.runtime.template_hash import template_hash
from harness.model.core import PodTemplateSpec
from harness.model.meta import ObjectMeta
from harness.model.whole_numbers import whole_number
from harness.model.workloads import Deployment, ReplicaSet, ReplicaSetSpec

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
TEMPLATE_HASH = "pod-template-hash"
"""Source: apps/v1 DefaultDeploymentUniqueLabelKey."""

_NOT_COPIED = (
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
)


def same_template(one: PodTemplateSpec, other: PodTemplateSpec) -> bool:
    """But for the hash. Source: EqualIgnoreHash."""
    if one.spec is not other.spec and one.spec != other.spec:
        return False
    left, right = one.metadata, other.metadata
    if _without_hash(left.labels) != _without_hash(right.labels):
        return False
    return left.annotations == right.annotations and left.finalizers == right.finalizers and left.extra == right.extra


def _without_hash(labels: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != TEMPLATE_HASH} if TEMPLATE_HASH in labels else labels


def age(replica_set: ReplicaSet) -> tuple[int, str]:
    """Oldest first. Source: ReplicaSetsByCreationTimestamp."""
    return replica_set.metadata.creation_timestamp or 0, replica_set.metadata.name


def new_of(deployment: Deployment, replica_sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """The oldest with the deployment's template. Source: FindNewReplicaSet."""
    template = deployment.spec.template
    same = [item for item in replica_sets if same_template(item.spec.template, template)]
    return min(same, key=age, default=None)


def wanted(item: Deployment | ReplicaSet) -> int:
    return item.spec.replicas or 0


def number(item: Deployment | ReplicaSet, annotation: str) -> int | None:
    return whole_number(item.metadata.annotations.get(annotation, ""))


def revision(item: ReplicaSet) -> int:
    return number(item, REVISION) or 0


def made_for(
    deployment: Deployment, owned_by: ObjectMeta, replicas: int, at_most: int, new_revision: int
) -> ReplicaSet:
    """The ReplicaSet of the deployment's template, not created yet. `owned_by`: namespace and owner references.

    `at_most`: replicas that the deployment may have, surge included.
    """
    spec = deployment.spec
    digest = template_hash(spec.template, deployment.status.collision_count or 0)
    meta = spec.template.metadata
    labels = {**meta.labels, TEMPLATE_HASH: digest}
    annotations = {**_copied(deployment), REVISION: str(new_revision)}
    return ReplicaSet(
        metadata=replace(
            owned_by,
            name=f"{deployment.metadata.name}-{digest}",
            labels=labels,
            annotations={**annotations, **size_annotations(wanted(deployment), at_most)},
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            min_ready_seconds=spec.min_ready_seconds,
            selector=replace(spec.selector, match_labels={**spec.selector.match_labels, TEMPLATE_HASH: digest}),
            template=replace(spec.template, metadata=replace(meta, labels=labels)),
        ),
    )


def _copied(deployment: Deployment) -> dict[str, str]:
    annotations = deployment.metadata.annotations
    return {key: value for key, value in annotations.items() if key not in _NOT_COPIED}


def size_annotations(desired: int, at_most: int) -> dict[str, str]:
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(at_most)}


def with_annotations(deployment: Deployment, replica_set: ReplicaSet, new_revision: int) -> ReplicaSet:
    """With those of the deployment, and the revision; the same object when it has them all. A ReplicaSet that
    becomes the new one again (a rollback) gets the next revision and remembers those it had.

    Source: SetNewReplicaSetAnnotations.
    """
    annotations = replica_set.metadata.annotations
    new = {**annotations, **_copied(deployment)}
    had = annotations.get(REVISION)
    if revision(replica_set) < new_revision:
        new[REVISION] = str(new_revision)
        if had is not None:
            history = annotations.get(REVISION_HISTORY)
            new[REVISION_HISTORY] = f"{history},{had}" if history else had
    if new == annotations:
        return replica_set
    return replace(replica_set, metadata=replace(replica_set.metadata, annotations=new))


def to_forget(old: Sequence[ReplicaSet], limit: int | None) -> list[ReplicaSet]:
    """Old revisions beyond the limit that have no pods. Source: cleanupDeployment."""
    if limit is None:
        return []
    alive = [item for item in old if item.metadata.deletion_timestamp is None]
    surplus = sorted(alive, key=lambda item: (revision(item), age(item)))[: max(len(alive) - limit, 0)]
    return [
        item
        for item in surplus
        if not item.status.replicas
        and not wanted(item)
        and (item.metadata.generation or 0) <= (item.status.observed_generation or 0)
    ]
