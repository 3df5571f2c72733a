"""Whether the API server would refuse what a controller is to create: quotas by a recount, a missing PriorityClass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from harness.apiserver.admission.limit_ranger import filled
from harness.apiserver.admission.quota import admitted, concerns, total
from harness.apiserver.kinds import kind_of_quota, usage_of
from harness.convergence.cluster_state import ClusterState
from harness.model.core import Pod, PodTemplateSpec
from harness.model.cron_jobs import CronJob
from harness.model.meta import ObjectMeta
from harness.model.policy import ResourceQuota
from harness.model.status import ApiError
from harness.model.storage import PersistentVolumeClaim
from harness.model.workloads import Deployment, Job, ReplicaSet

JOB_TRACKING = "batch.kubernetes.io/job-tracking"


def pod_refused(state: ClusterState, namespace: str, template: PodTemplateSpec) -> bool:
    """One more pod of a template."""
    name = template.spec.priority_class_name
    if name and not name.startswith("system-") and name not in state.objects("PriorityClass"):
        return True
    ranges = [item for item in state.listed("LimitRange") if item.metadata.namespace == namespace]
    meta = ObjectMeta(name="one-more", namespace=namespace, labels=template.metadata.labels)
    return _over_quota(state, Pod(metadata=meta, spec=filled(template.spec, ranges).spec), "pods")


def next_of_index_refused(state: ClusterState, pod: Pod) -> bool:
    """A failed pod of a Job with backoffLimitPerIndex keeps its finalizer until there is another of its index, which is
    refused here. Source: pkg/controller/job job_controller.go canRemoveFinalizer (1.34)."""
    if pod.status.phase != "Failed" or JOB_TRACKING not in pod.metadata.finalizers:
        return False
    owners = {owner.uid for owner in pod.metadata.owner_references if owner.kind == "Job"}
    job: Job
    for job in state.listed("Job"):
        if job.metadata.uid in owners:
            per_index = job.spec.backoff_limit_per_index is not None
            return per_index and pod_refused(state, job.metadata.namespace, job.spec.template)
    return False


def claim_refused(state: ClusterState, claims: Iterable[PersistentVolumeClaim]) -> bool:
    """One of these claims, as a StatefulSet makes them, where it is missing."""
    there = state.objects("PersistentVolumeClaim")
    return any(
        claim.metadata.key not in there and _over_quota(state, claim, "persistentvolumeclaims") for claim in claims
    )


def replica_set_refused(state: ClusterState, deployment: Deployment) -> bool:
    """One more ReplicaSet of a Deployment: a new version of its pods may need one."""
    namespace = deployment.metadata.namespace
    return _over_quota(state, ReplicaSet(metadata=ObjectMeta(name="one-more", namespace=namespace)), "replicasets")


def job_refused(state: ClusterState, cron_job: CronJob) -> bool:
    """One more Job of a CronJob."""
    meta = ObjectMeta(name="one-more", namespace=cron_job.metadata.namespace)
    return _over_quota(state, Job(metadata=meta, spec=cron_job.spec.job_template.spec), "jobs")


def _over_quota(state: ClusterState, obj: Any, plural: str) -> bool:
    quotas = [item for item in state.listed("ResourceQuota") if item.metadata.namespace == obj.metadata.namespace]
    try:
        admitted([_recounted(state, quota) for quota in quotas], obj, plural, lambda obj: usage_of(obj, state.now))
    except ApiError:
        return True
    return False


def _recounted(state: ClusterState, quota: ResourceQuota) -> ResourceQuota:
    usages: list[Any] = [
        usage_of(obj, state.now)
        for kind in sorted({kind_of_quota(resource) for resource in quota.spec.hard})
        for obj in state.listed(kind)
        if obj.metadata.namespace == quota.metadata.namespace and concerns(quota, obj)
    ]
    status = replace(quota.status, hard=quota.spec.hard, used=total(quota.spec.hard, usages))
    return replace(quota, status=status)
