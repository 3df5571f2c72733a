"""How an object is born, changes, is bound and goes: metadata, generation, grace, finalizers."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from harness.model.core import NamespaceSpec, NamespaceStatus, PodSpec, PodStatus
from harness.model.meta import Condition, LabelSelector, ObjectMeta
from harness.model.objects import Kind, Pod
from harness.model.wire import Time
from harness.model.workloads import JobSpec

GENERATION = frozenset({
    "DaemonSet", "Deployment", "ReplicaSet", "Job", "PodDisruptionBudget", "EndpointSlice", "Ingress", "NetworkPolicy",
    "PriorityClass",
})  # fmt: skip
"""Kinds whose generation counts changes of what is wanted."""

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
"""Finalizers. Source: metav1.FinalizerOrphanDependents, FinalizerDeleteDependents."""

T = TypeVar("T", bound=msgspec.Struct)

replaced = msgspec.structs.replace


def on_create(kind: Kind, obj: Any, meta: ObjectMeta) -> Any:
    """A new object: no status of the client's is taken, where the server keeps one."""
    match kind.kind:
        case "Pod":
            return Pod(metadata=meta, spec=obj.spec, status=_pending(obj.spec), extra=obj.extra)
        case "Namespace":
            return replaced(
                obj,
                metadata=meta,
                spec=NamespaceSpec(finalizers=("kubernetes",)),
                status=NamespaceStatus(phase="Active"),
            )
        case "PersistentVolume" | "PersistentVolumeClaim":
            return replaced(obj, metadata=meta, status=type(obj.status)(phase="Pending"))
        case "Job":
            return replaced(without_status(obj), metadata=meta, spec=_job_spec(obj.spec, meta))
        case "Node" | "PodMetrics":  # the kubelet registers with its status
            return replaced(obj, metadata=meta)
    if kind.status:
        empty = without_status(obj)
        return replaced(empty, metadata=meta)
    return replaced(obj, metadata=meta)


CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_OLD_CONTROLLER_UID, _OLD_JOB_NAME = "controller-uid", "job-name"


def _job_spec(spec: JobSpec, meta: ObjectMeta) -> JobSpec:
    """A job selects its pods by its own uid. Source: pkg/registry/batch/job/strategy.go generateSelector."""
    if spec.manual_selector:
        return spec
    name = meta.name[:63]
    own = {CONTROLLER_UID: meta.uid, JOB_NAME: name, _OLD_CONTROLLER_UID: meta.uid, _OLD_JOB_NAME: name}
    of_template = spec.template.metadata
    selector = spec.selector or LabelSelector()
    return replaced(
        spec,
        selector=replaced(selector, match_labels={**selector.match_labels, CONTROLLER_UID: meta.uid}),
        template=replaced(spec.template, metadata=replaced(of_template, labels={**of_template.labels, **own})),
    )


def without_status(obj: Any) -> Any:
    if hasattr(obj, "status"):
        return replaced(obj, status=type(obj.status)())
    extra = dict(obj.extra or {})
    extra.pop("status", None)
    return replaced(obj, extra=extra)


def with_status(kind: Kind, old: Any, new: Any) -> Any:
    """`old` with the status of `new`."""
    if hasattr(old, "status"):
        return replaced(old, status=new.status)
    extra = dict(old.extra or {})
    if "status" in (new.extra or {}):
        extra["status"] = new.extra["status"]
    return replaced(old, extra=extra)


def updated(kind: Kind, old: Any, new: Any) -> Any:
    """`new` with what clients cannot change kept from `old`."""
    was, meta = old.metadata, new.metadata
    if kind.status:
        new = with_status(kind, new, old)
    changed = generation_part(new) != generation_part(old) if kind.kind in GENERATION else False
    return replaced(
        new,
        metadata=replaced(
            meta,
            namespace=was.namespace,
            uid=was.uid,
            resource_version=was.resource_version,
            creation_timestamp=was.creation_timestamp,
            deletion_timestamp=was.deletion_timestamp,
            deletion_grace_period_seconds=was.deletion_grace_period_seconds,
            generate_name=was.generate_name,
            generation=(was.generation or 0) + 1 if changed else was.generation,
        ),
    )


def generation_part(obj: Any) -> Any:
    """Everything but metadata and status."""
    if hasattr(obj, "spec"):
        return obj.spec
    return {
        name: value
        for name, value in ((f, getattr(obj, f)) for f in obj.__struct_fields__)
        if name not in ("metadata", "status")
    }


def mark_deleting(kind: Kind, old: Any, now: int, grace_s: int | None, propagation: str) -> Any:
    """`old` with deletion asked for. A pod that runs gets its grace; what has finalizers waits for them."""
    meta = old.metadata
    finalizers = meta.finalizers
    if propagation == "Foreground" and FOREGROUND not in finalizers:
        finalizers = (*finalizers, FOREGROUND)
    if propagation == "Orphan" and ORPHAN not in finalizers:
        finalizers = (*finalizers, ORPHAN)
    grace = 0
    if kind.kind == "Pod":
        grace = pod_grace_s(old, grace_s)
    if meta.deletion_timestamp is not None:
        # Asked again: grace may only become shorter.
        grace = min(grace, meta.deletion_grace_period_seconds or 0)
        since = meta.deletion_timestamp - (meta.deletion_grace_period_seconds or 0) * 10**9
    else:
        since = now
    new = replaced(
        old,
        metadata=replaced(
            meta,
            finalizers=finalizers,
            deletion_timestamp=Time(since + grace * 10**9),
            deletion_grace_period_seconds=grace,
        ),
    )
    if kind.kind == "Namespace" and new.spec.finalizers:
        new = replaced(new, status=replaced(new.status, phase="Terminating"))
    return new


def pod_grace_s(pod: Pod, asked: int | None) -> int:
    """Source: pkg/registry/core/pod/strategy.go CheckGracefulDelete: none for what is bound nowhere or has ended."""
    grace = asked
    if grace is None:
        grace = 30 if pod.spec.termination_grace_period_seconds is None else pod.spec.termination_grace_period_seconds
    if not pod.spec.node_name or pod.status.phase in ("Succeeded", "Failed"):
        return 0
    return max(grace, 0)


def is_deletable(kind: Kind, obj: Any) -> bool:
    """Nothing holds it any more: deletion was asked for, no finalizer and no grace are left."""
    meta = obj.metadata
    if meta.deletion_timestamp is None or meta.finalizers:
        return False
    if kind.kind == "Namespace" and obj.spec.finalizers:
        return False
    return not (kind.kind == "Pod" and meta.deletion_grace_period_seconds)


def bound(pod: Pod, node: str, annotations: dict[str, str], now: int, revision: str) -> Pod:
    """Source: pkg/registry/core/pod/storage BindingREST.assignPod: nodeName, and PodScheduled becomes true."""
    meta, spec, status = pod.metadata, pod.spec, pod.status
    annotations = {**meta.annotations, **annotations} if annotations else meta.annotations
    conditions: tuple[Condition, ...] = (Condition(type="PodScheduled", status="True", last_transition_time=Time(now)),)
    if status.conditions:
        conditions = tuple(c for c in status.conditions if c.type != "PodScheduled") + conditions
    return Pod(
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            generate_name=meta.generate_name,
            uid=meta.uid,
            resource_version=revision,
            generation=meta.generation,
            creation_timestamp=meta.creation_timestamp,
            labels=meta.labels,
            annotations=annotations,
            owner_references=meta.owner_references,
            finalizers=meta.finalizers,
            extra=meta.extra,
        ),
        spec=PodSpec(
            containers=spec.containers,
            init_containers=spec.init_containers,
            node_name=node,
            node_selector=spec.node_selector,
            affinity=spec.affinity,
            tolerations=spec.tolerations,
            topology_spread_constraints=spec.topology_spread_constraints,
            scheduler_name=spec.scheduler_name,
            scheduling_gates=spec.scheduling_gates,
            priority=spec.priority,
            priority_class_name=spec.priority_class_name,
            preemption_policy=spec.preemption_policy,
            overhead=spec.overhead,
            restart_policy=spec.restart_policy,
            termination_grace_period_seconds=spec.termination_grace_period_seconds,
            active_deadline_seconds=spec.active_deadline_seconds,
            service_account_name=spec.service_account_name,
            extra=spec.extra,
        ),
        status=PodStatus(
            phase=status.phase,
            conditions=conditions,
            reason=status.reason,
            message=status.message,
            qos_class=status.qos_class,
            extra=status.extra,
        ),
        extra=pod.extra,
    )


def qos_class(spec: PodSpec) -> str:
    """Source: pkg/apis/core/v1/helper/qos ComputePodQOS, cpu and memory."""
    guaranteed = bool(spec.containers)
    anything = False
    for container in (*spec.init_containers, *spec.containers):
        requests, limits = container.resources.requests, container.resources.limits
        for resource in ("cpu", "memory"):
            request, limit = requests.get(resource), limits.get(resource)
            if (request is not None and request.milli) or (limit is not None and limit.milli):
                anything = True
            if limit is None or not limit.milli or (request is not None and request.milli != limit.milli):
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


_first_status: dict[int, tuple[PodSpec, PodStatus]] = {}  # by identity: pods of one template share their spec


def _pending(spec: PodSpec) -> PodStatus:
    known = _first_status.get(id(spec))
    if known is not None and known[0] is spec:
        return known[1]
    if len(_first_status) >= 4096:
        _first_status.clear()
    status = _PENDING_BY_QOS[qos_class(spec)]
    _first_status[id(spec)] = (spec, status)
    return status


_PENDING_BY_QOS = {qos: PodStatus(phase="Pending", qos_class=qos) for qos in ("Guaranteed", "Burstable", "BestEffort")}
