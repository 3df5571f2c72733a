"""Which manager a request writes as, and metadata.managedFields as the API server leaves it after each write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.apiserver.http import options
from harness.apiserver.http.call import Call, keep_shown, shown
from harness.apiserver.http.managed_fields import managers
from harness.apiserver.http.managed_fields.managers import APPLY, UPDATE, Manager, Write
from harness.apiserver.http.managed_fields.sets import fields_of
from harness.apiserver.http.managed_fields.structure import Structure
from harness.apiserver.http.openapi import v3_document
from harness.apiserver.http.resources import Resource, resources
from harness.apiserver.http.schemas import root_name
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.server import ApiServer, Finish
from harness.model.meta import ApiObject
from harness.model.objects import KINDS, kind_of
from harness.model.status import Cause, bad_request
from harness.model.wire import Json, time_text

CONTROL_PLANE = "kube-controller-manager"
"""Whom components of this cluster are known as."""

_structures: dict[str, tuple[Resource, Structure]] = {}


def structure_of(resource: Resource) -> Structure:
    name = root_name(resource)
    held = _structures.get(name)
    if held is None or held[0] is not resource:
        named = v3_document(resource.api_version)["components"]["schemas"]
        held = _structures[name] = (resource, Structure(named[name], named))
    return held[1]


def _write(call: Call, operation: str, now: int) -> Write:
    """Raises ApiError Invalid: a name that is none."""
    name = call.query.get("fieldManager", "")
    of_call = options.OF_VERB.get(call.verb, "UpdateOptions")
    options.refuse(of_call, options.manager_causes(name))
    if not name:
        if operation == APPLY:
            told = "Required value: is required for apply patch"
            options.refuse(of_call, [Cause("fieldManager", "FieldValueRequired", told)])
        # Source: apiserver pkg/endpoints/handlers/create.go managerOrUserAgent.
        name = call.agent.partition("/")[0][: options.LONGEST_MANAGER] or "unknown"
    at = time_text(now, call.epoch_unix_ns)
    subresource = call.target.subresource
    part = "spec" if subresource == "status" else "status" if call.resource.kind.status else ""
    manager = Manager(name, operation, call.resource.api_version, subresource, at)
    return Write(manager, structure_of(call.resource), part)


def tracked(server: ApiServer, call: Call, before: Json | None = None) -> Finish:
    """For a write that is no apply. `before`: the JSON of what is there, where somebody has made it already."""
    write = _write(call, UPDATE, server.now)
    resource, epoch = call.resource, call.epoch_unix_ns
    return lambda new, old: _finished(new, old, resource, epoch, write, before)


def _finished(
    new: ApiObject, old: ApiObject, resource: Resource, epoch: int, write: Write, before: Json | None = None
) -> Any:
    if before is None:
        before = {} if old is None else shown(resource, old, epoch)
    held = managers.read(_entries(new, old))
    data = shown(resource, new, epoch)
    entries = managers.written(managers.updated(held, write, before, data))
    done = _with_entries(new, entries)
    if old is None and entries:
        keep_shown(resource, done, {**data, "metadata": {**data["metadata"], "managedFields": entries}})
    return done


def _entries(new: ApiObject, old: ApiObject) -> Any:
    """What the client sent, or what is there when it sent none. Source: managedfields/internal/managedfields.go."""
    sent = (new.metadata.extra or {}).get("managedFields")
    if sent is None and old is not None:
        return (old.metadata.extra or {}).get("managedFields")
    return sent


def _with_entries(obj: ApiObject, entries: list[Json]) -> Any:
    meta = obj.metadata
    extra = dict(meta.extra or {})
    held = extra.pop("managedFields", None)
    if (held or None) == (entries or None) and held != []:
        return obj
    if entries:
        extra["managedFields"] = entries
    return replaced(obj, metadata=replaced(meta, extra=extra or None))


def of_components(epoch_unix_ns: int, now: Callable[[], int]) -> Finish:
    """For objects with managers that a component of the cluster updates: what it changes is its own from then on."""

    def finish(new: ApiObject, old: ApiObject) -> Any:
        kind = KINDS[kind_of(new)]
        resource = resources()[kind.api_version][kind.plural]
        at = time_text(now(), epoch_unix_ns)
        manager = Manager(CONTROL_PLANE, UPDATE, resource.api_version, "", at)
        write = Write(manager, structure_of(resource), "status" if kind.status else "")
        return _finished(new, old, resource, epoch_unix_ns, write)

    return finish


# -- apply -------------------------------------------------------------------------------------------------------------


def apply(server: ApiServer, call: Call, old: ApiObject) -> tuple[Json, Finish]:
    """The JSON of the object with the body's fields, and who manages them then. `old`: None where there is none yet.

    Raises ApiError Conflict (fields of others, without force), BadRequest, Invalid.
    """
    write = _write(call, APPLY, server.now)
    wanted = call.checked(call.body)
    if (wanted.get("metadata") or {}).get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    force = options.is_true(call.query, "force")
    if old is None:
        live: Json = {}
        held: list[Manager] = []
    else:
        live = call.wire(old)
        live["metadata"].pop("managedFields", None)
        held = managers.read((old.metadata.extra or {}).get("managedFields"))
        if not held:
            held = _unmanaged(live, write)
    new, after = managers.applied(held, write, live, wanted, force=force)
    entries = managers.written(_unchanged_times(after, held))
    return new, lambda obj, _: _with_entries(obj, entries)


def _unmanaged(live: Json, write: Write) -> list[Manager]:
    fields = write.counted(fields_of(live, write.structure))
    at = (live.get("metadata") or {}).get("creationTimestamp") or ""
    first = Manager(managers.BEFORE_FIRST_APPLY, UPDATE, write.manager.api_version, "", at, fields)
    return [first] if fields else []


def _unchanged_times(after: list[Manager], before: list[Manager]) -> list[Manager]:
    """An apply that changes nothing of its manager's fields leaves its time as it was."""
    held = {item.identity: item for item in before}
    return [
        held[item.identity] if item.identity in held and held[item.identity].fields == item.fields else item
        for item in after
    ]
