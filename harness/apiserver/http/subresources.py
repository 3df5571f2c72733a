"""Parts of objects with a door of their own: status, scale, binding, eviction, finalize."""

from __future__ import annotations

from typing import Any

from harness.apiserver.http import options
from harness.apiserver.http.auth import certificate_requests
from harness.apiserver.http.bodies import checked
from harness.apiserver.http.call import Answer, Call, Objects, One
from harness.apiserver.http.managed_fields import tracking
from harness.apiserver.http.patches import APPLY, patched
from harness.apiserver.kinds import RULES
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import part
from harness.apiserver.server import ApiServer
from harness.model.meta import ApiObject, LabelSelector
from harness.model.objects import kind_of
from harness.model.status import MODIFIED_MEANWHILE, ApiError, Cause, bad_request, conflict, invalid, not_allowed
from harness.model.wire import Json, time_text

Result = Answer | Objects | One


def perform(server: ApiServer, call: Call) -> Result:
    """Raises ApiError."""
    match call.target.subresource:
        case "status" | "finalize" | "ephemeralcontainers" | "approval" as door:
            return _part(server, call, door)
        case "scale":
            return _scale(server, call)
        case "binding":
            return _bind(server, call)
        case "eviction":
            return _evict(server, call)
        case other:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource {other}")


def _object(server: ApiServer, call: Call) -> Any:
    target = call.target
    return server.get(target.resource.kind.kind, target.namespace, target.name)


def _part(server: ApiServer, call: Call, door: str) -> One:
    old = _object(server, call)
    before: Json | None = None
    finish = None if call.verb == "get" else tracking.tracked(server, call)
    match call.verb:
        case "get":
            return One(old, server.now)
        case "update":
            body = call.body
        case "patch":
            before = call.wire(old)
            if call.content_type == APPLY:
                body, finish = tracking.apply(server, call, old)
            else:
                body = call.patched(before)
        case _:
            raise not_allowed()
    obj = call.typed(body, name=call.target.name, before=before)
    if call.resource.kind.kind == certificate_requests.KIND:
        write = certificate_requests.approved if door == "approval" else certificate_requests.signed
        meta = obj.metadata
        obj, door = write(server, call.user, old, obj, call.epoch_unix_ns), "status"
        obj = replaced(obj, metadata=replaced(obj.metadata, resource_version=meta.resource_version, uid=meta.uid))
    return One(server.update(obj, door, dry_run=call.dry_run, finish=finish), server.now)


# -- scale -------------------------------------------------------------------------------------------------------------


def _scale(server: ApiServer, call: Call) -> Answer:
    old = _object(server, call)
    scale = scale_of(old, call.epoch_unix_ns)
    match call.verb:
        case "get":
            return Answer(scale)
        case "update":
            wanted = call.body
        case "patch":
            wanted = patched(call.content_type, scale, call.body, "Scale")
        case _:
            raise not_allowed()
    wanted = checked("autoscaling/v1", "Scale", wanted)
    replicas = (wanted.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        cause = Cause(
            "spec.replicas",
            "FieldValueInvalid",
            f"Invalid value: {replicas}: must be greater than or equal to 0",
        )
        raise invalid("Scale", call.target.name, (cause,), "autoscaling")
    version = (wanted.get("metadata") or {}).get("resourceVersion", "")
    if version and version != old.metadata.resource_version:
        raise conflict(call.resource.plural, call.target.name, MODIFIED_MEANWHILE, call.resource.group)
    new = server.update(_scaled(old, replicas), dry_run=call.dry_run, finish=tracking.tracked(server, call))
    return Answer(scale_of(new, call.epoch_unix_ns))


def _scaled(obj: ApiObject, replicas: int) -> Any:
    paths = RULES[kind_of(obj)].scale_paths
    if paths is None:
        return replaced(obj, spec=replaced(obj.spec, replicas=replicas))
    body = dict(obj.extra or {})
    at = body
    for step in paths.replicas[:-1]:
        below = at.get(step)
        at[step] = dict(below) if isinstance(below, dict) else {}
        at = at[step]
    at[paths.replicas[-1]] = replicas
    return replaced(obj, extra=body)


def scale_of(obj: ApiObject, epoch_unix_ns: int) -> Json:
    """autoscaling/v1 Scale of something with replicas and a selector."""
    meta = obj.metadata
    paths = RULES[kind_of(obj)].scale_paths
    if paths is None:
        replicas, current, selector = obj.spec.replicas, obj.status.replicas, selector_text(obj.spec.selector)
    else:
        body = obj.extra or {}
        replicas, current = part(body, *paths.replicas), part(body, *paths.status_replicas)
        selector = str(part(body, *paths.selector) or "") if paths.selector else ""
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "creationTimestamp": time_text(meta.creation_timestamp or 0, epoch_unix_ns),
        },
        "spec": {"replicas": replicas or 0},
        "status": {"replicas": current or 0, "selector": selector},
    }


def selector_text(selector: LabelSelector | dict[str, str] | None) -> str:
    """As in a query string. Source: metav1.FormatLabelSelector."""
    if selector is None:
        return "<none>"
    if isinstance(selector, dict):
        selector = LabelSelector(match_labels=selector)
    parts = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for item in selector.match_expressions:
        match item.operator:
            case "In" | "NotIn" as operator:
                parts.append(f"{item.key} {operator.lower()} ({','.join(sorted(item.values))})")
            case "Exists":
                parts.append(item.key)
            case _:
                parts.append(f"!{item.key}")
    return ",".join(parts)


# -- pods --------------------------------------------------------------------------------------------------------------


def _succeeded(code: int = 201) -> Answer:
    return Answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}, code)


def _bind(server: ApiServer, call: Call) -> Answer:
    if call.verb != "create":
        raise not_allowed()
    body = checked("v1", "Binding", call.body)
    meta, target = body.get("metadata") or {}, body.get("target") or {}
    name = call.target.name or meta.get("name") or ""
    if not name:
        raise bad_request("name is required: the binding's metadata.name is the pod's")
    if target.get("kind") not in (None, "", "Node"):
        cause = Cause("target.kind", "FieldValueNotSupported", f'Unsupported value: "{target["kind"]}": "Node"')
        raise invalid("Binding", name, (cause,))
    if not target.get("name"):
        raise invalid("Binding", name, (Cause("target.name", "FieldValueRequired", "Required value"),))
    if not call.dry_run:
        annotations = meta.get("annotations") or {}
        server.bind(call.target.namespace, name, meta.get("uid") or "", target["name"], annotations)
    return _succeeded()


def _evict(server: ApiServer, call: Call) -> Answer:
    if call.verb != "create":
        raise not_allowed()
    body = checked("policy/v1", "Eviction", call.body)
    named = (body.get("metadata") or {}).get("name")
    if named and named != call.target.name:
        raise bad_request(f"name in URL does not match name in Eviction object: {named}")
    asked = body.get("deleteOptions") or {}
    options.refuse("DeleteOptions", options.deletion_causes(asked))
    server.evict(
        call.target.namespace,
        call.target.name,
        uid=(asked.get("preconditions") or {}).get("uid") or "",
        grace_s=asked.get("gracePeriodSeconds"),
        reason="EvictionByEvictionAPI",
        message="Eviction API: evicting",
        dry_run=call.dry_run or bool(asked.get("dryRun")),
    )
    return _succeeded()
