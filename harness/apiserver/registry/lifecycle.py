"""How an object is born, changes, is bound and goes: metadata, generation, grace, finalizers."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from harness.model.core import PodSpec
from harness.model.meta import ApiObject, Condition, ObjectMeta
from harness.model.objects import Pod
from harness.model.wire import Time

T = TypeVar("T", bound=msgspec.Struct)

replaced = msgspec.structs.replace


def without_status(obj: ApiObject) -> Any:
    if hasattr(obj, "status"):
        return replaced(obj, status=type(obj.status)())
    extra = dict(obj.extra or {})
    extra.pop("status", None)
    return replaced(obj, extra=extra)


def patched_status(current: Any, base: Any, new: ApiObject) -> Any:
    """`current` with those fields of `new` that differ from `base`; of conditions, those that differ from its own."""
    changes = {}
    for name in new.__struct_fields__:
        value, was = getattr(new, name), getattr(base, name)
        if value is was or value == was:
            continue
        if name == "conditions":
            value = tuple(item for item in value if item not in was)
        changes[name] = value
    return replaced(current, **({"conditions": ()} | changes))


def with_status(old: ApiObject, new: ApiObject) -> Any:
    """`old` with the status of `new`."""
    if hasattr(old, "status"):
        return replaced(old, status=new.status)
    extra = dict(old.extra or {})
    if "status" in (new.extra or {}):
        extra["status"] = new.extra["status"]
    return replaced(old, extra=extra)


def updated(old: ApiObject, new: ApiObject, *, counts_generation: bool) -> Any:
    """`new` with the metadata that clients cannot change kept from `old`."""
    was, meta = old.metadata, new.metadata
    changed = counts_generation and generation_part(new) != generation_part(old)
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


def generation_part(obj: ApiObject) -> Any:
    """Everything but metadata and status."""
    if hasattr(obj, "spec"):
        return obj.spec
    return {
        name: value
        for name, value in ((f, getattr(obj, f)) for f in obj.__struct_fields__)
        if name not in ("metadata", "status")
    }


def bound(pod: Pod, node: str, annotations: dict[str, str], now: int, revision: str) -> Pod:
    """Source: pkg/registry/core/pod/storage BindingREST.assignPod: nodeName, and PodScheduled becomes true."""
    meta, spec, status = pod.metadata, pod.spec, pod.status
    annotations = {**meta.annotations, **annotations} if annotations else meta.annotations
    conditions: tuple[Condition, ...] = (Condition(type="PodScheduled", status="True", last_transition_time=Time(now)),)
    if status.conditions:
        conditions = tuple(c for c in status.conditions if c.type != "PodScheduled") + conditions
    return replaced(
        pod,
        metadata=replaced(meta, resource_version=revision, annotations=annotations),
        spec=replaced(spec, node_name=node),
        status=replaced(status, conditions=conditions),
    )


def spoken_name(meta: ObjectMeta) -> str:
    """What an object is called in a refusal, also where its name is still to be made.

    Source: apiserver pkg/admission/errors.go extractResourceName (1.32). There quotas and limits are looked at after
    the name was made; here its prefix is told for these, too.
    """
    return meta.name or meta.generate_name


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
