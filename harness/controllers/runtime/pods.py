"""What controllers ask of a pod: whose it is, whether it counts, whether it is ready, and since when."""

from __future__ import annotations

from harness.model.core import Pod
from harness.model.cron_jobs import CronJob
from harness.model.meta import ApiObject, ObjectMeta, OwnerReference
from harness.model.workloads import DaemonSet, Deployment, Job, ReplicaSet, ReplicationController, StatefulSet

POD_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""Pod annotation: cheaper ones go first. Source: core/v1 PodDeletionCost."""


def controller_of(obj: ApiObject, kind: str) -> OwnerReference | None:
    """The owner that controls `obj`, when it is of `kind`."""
    owners = obj.metadata.owner_references
    if not owners:
        return None
    owner = owners[0] if owners[0].controller else obj.metadata.controller()
    return owner if owner is not None and owner.kind == kind else None


def owner_reference(
    owner: ReplicaSet | ReplicationController | Deployment | DaemonSet | StatefulSet | Job | CronJob | Pod,
    api_version: str,
    kind: str,
) -> OwnerReference:
    """Source: metav1.NewControllerRef."""
    meta = owner.metadata
    return OwnerReference(
        api_version=api_version, kind=kind, name=meta.name, uid=meta.uid, controller=True, block_owner_deletion=True
    )


def is_active(pod: Pod) -> bool:
    """Neither ended nor going. Source: controller.IsPodActive."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ("Succeeded", "Failed")


def node_names(pod: Pod) -> tuple[str, ...]:
    """An index of an informer: the node that a pod is bound to, if there is one."""
    return (pod.spec.node_name,) if pod.spec.node_name else ()


def ready_since(pod: Pod) -> int | None:
    """The instant at which it became ready, None when it is not."""
    for item in pod.status.conditions:
        if item.type == "Ready":
            return (item.last_transition_time or 0) if item.status == "True" else None
    return None


def new_pod(owner: ReplicaSet | Job, prefix: str, reference: OwnerReference, labels: dict[str, str]) -> Pod:
    """A pod of the owner's template, its name left to the server: one value serves for all that are created.

    Spec and labels are the template's own, shared by all its pods. Source: controller.GetPodFromTemplate.
    """
    meta, template = owner.metadata, owner.spec.template
    return Pod(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            generate_name=prefix,
            labels=labels,
            annotations=template.metadata.annotations,
            owner_references=(reference,),
            finalizers=template.metadata.finalizers,
        ),
        spec=template.spec,
    )
