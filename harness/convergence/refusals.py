"""Whether a namespace's quotas have room for one more pod of a template, by a recount of what is there."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.apiserver.admission.limit_ranger import filled
from harness.apiserver.admission.quota import admitted, concerns, total
from harness.apiserver.kinds import kind_of_quota, usage_of
from harness.convergence.cluster_state import ClusterState
from harness.model.core import Pod, PodTemplateSpec
from harness.model.meta import ObjectMeta
from harness.model.policy import ResourceQuota
from harness.model.status import ApiError


def quota_refuses(state: ClusterState, namespace: str, template: PodTemplateSpec) -> bool:
    quotas = [item for item in state.listed("ResourceQuota") if item.metadata.namespace == namespace]
    if not quotas:
        return False
    ranges = [item for item in state.listed("LimitRange") if item.metadata.namespace == namespace]
    meta = ObjectMeta(name="one-more", namespace=namespace, labels=template.metadata.labels)
    pod = Pod(metadata=meta, spec=filled(template.spec, ranges).spec)
    try:
        admitted([_recounted(state, quota) for quota in quotas], pod, "pods", lambda obj: usage_of(obj, state.now))
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
