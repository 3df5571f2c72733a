"""The verbs on resources, each run on the driver's thread: one call in, one answer out, through the one door."""

from __future__ import annotations

import base64
import json
from typing import Any

from harness.apiserver.http import options, subresources
from harness.apiserver.http.auth import certificate_requests, rbac
from harness.apiserver.http.bodies import checked
from harness.apiserver.http.call import Answer, Call, Objects, One, status_success
from harness.apiserver.http.managed_fields import tracking
from harness.apiserver.http.patches import APPLY
from harness.apiserver.http.selectors import Selector, parse
from harness.apiserver.kinds import RULES
from harness.apiserver.server import ApiServer
from harness.apiserver.watch_cache import prefix_of
from harness.model.status import ApiError, Cause, bad_request, gone, not_allowed, not_found
from harness.model.whole_numbers import whole_number
from harness.model.wire import Json
from harness.store.interface import Compacted, FutureRevision, StoreEntry

Result = Answer | Objects | One


def perform(server: ApiServer, call: Call) -> Result:
    """Authorise and do. Raises ApiError."""
    rbac.check(server, call.user, call.action())
    check_allowed(call)
    if call.target.subresource:
        return subresources.perform(server, call)
    match call.verb:
        case "get":
            return One(_get(server, call), server.now)
        case "list":
            return _list(server, call)
        case "create":
            return _create(server, call)
        case "update":
            return _update(server, call)
        case "patch":
            return _patch(server, call)
        case "delete":
            return _delete(server, call)
        case "deletecollection":
            return _delete_collection(server, call)
        case _:
            raise not_allowed()


def check_allowed(call: Call) -> None:
    """Raises ApiError MethodNotAllowed: of what is made when somebody asks there is nothing to write or to watch."""
    if call.resource.read_only and call.verb not in ("get", "list"):
        raise not_allowed(call.resource.read_only)


def reads_memory(call: Call) -> bool:
    """It is answered from the newest objects in memory: neither the store nor anything that a view makes is needed."""
    if call.target.subresource or call.verb not in ("get", "list") or call.resource.read_only:
        return False
    return not any(name in call.query for name in ("limit", "continue", "resourceVersionMatch"))


def _get(server: ApiServer, call: Call) -> Any:
    target = call.target
    kind = target.resource.kind
    view = server.views.get(kind.kind)
    if view is None:
        return server.get(kind.kind, target.namespace, target.name)
    for obj in view():
        if (obj.metadata.namespace, obj.metadata.name) == (target.namespace, target.name):
            return obj
    # metrics-server says what is missing: the pod or the node, of which there are no metrics therefore.
    raise not_found(kind.plural, target.name, "" if kind.group == "metrics.k8s.io" else kind.group)


def _create(server: ApiServer, call: Call) -> One:
    obj = call.typed(call.body)
    _warn(call, obj)
    rbac.check_escalation(server, call.user, call.resource.kind.kind, obj)
    if call.resource.kind.kind == certificate_requests.KIND:
        obj = certificate_requests.requested(call.user, obj)
    finish = tracking.tracked(server, call)
    completed = RULES[call.resource.kind.kind].from_client
    if completed is not None:
        obj = completed(obj)
    return One(server.create(obj, dry_run=call.dry_run, finish=finish), server.now, 201)


def _warn(call: Call, obj: Any) -> None:
    """Of what is kept and not heeded."""
    told = RULES[call.resource.kind.kind].warnings
    if told is not None:
        call.warnings.extend(told(obj))


def _update(server: ApiServer, call: Call) -> One:
    obj = call.typed(call.body, name=call.target.name)
    _warn(call, obj)
    rbac.check_escalation(server, call.user, call.resource.kind.kind, obj)
    return One(server.update(obj, dry_run=call.dry_run, finish=tracking.tracked(server, call)), server.now)


def _patch(server: ApiServer, call: Call) -> One:
    if call.content_type == APPLY:
        return _apply(server, call)
    if call.query.get("force"):
        cause = Cause("force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch")
        options.refuse("PatchOptions", [cause])
    old = _get(server, call)
    before = call.wire(old)
    body = call.patched(before)
    obj = call.typed(body, name=call.target.name, before=before)
    _warn(call, obj)
    rbac.check_escalation(server, call.user, call.resource.kind.kind, obj)
    return One(server.update(obj, dry_run=call.dry_run, finish=tracking.tracked(server, call, before)), server.now)


def _apply(server: ApiServer, call: Call) -> One:
    """Server-side apply: the object is made where there is none."""
    target, kind = call.target, call.resource.kind
    key = f"{target.namespace}/{target.name}" if kind.namespaced else target.name
    old = server.objects(kind.kind).get(key)
    if old is None:
        rbac.check(server, call.user, call.action("create"))
    body, finish = tracking.apply(server, call, old)
    obj = call.typed(body, name=target.name, before={} if old is None else call.wire(old))
    _warn(call, obj)
    rbac.check_escalation(server, call.user, kind.kind, obj)
    if old is None:
        if kind.kind == certificate_requests.KIND:
            obj = certificate_requests.requested(call.user, obj)
        return One(server.create(obj, dry_run=call.dry_run, finish=finish), server.now, 201)
    return One(server.update(obj, dry_run=call.dry_run, finish=finish), server.now)


# -- delete ------------------------------------------------------------------------------------------------------------


def _delete(server: ApiServer, call: Call) -> Result:
    target = call.target
    asked = delete_options(call)
    old = _get(server, call)
    kind = target.resource.kind.kind
    last = server.delete(kind, target.namespace, target.name, **asked)
    gone = asked["dry_run"] or old.metadata.key not in server.objects(kind)
    if gone and not RULES[kind].returned_when_deleted:
        return Answer(status_success(target, target.name, old.metadata.uid))
    return One(last, server.now)


def delete_options(call: Call) -> Json:
    """Arguments of ApiServer.delete from the query, and from the body (DeleteOptions), which counts where both say
    something. Raises ApiError BadRequest, Invalid."""
    asked = _queried(call) | checked("meta.k8s.io/v1", "DeleteOptions", call.body)
    options.refuse("DeleteOptions", options.deletion_causes(asked))
    grace = asked.get("gracePeriodSeconds")
    if grace is not None:
        try:
            grace = int(grace)
        except (TypeError, ValueError):
            raise bad_request(f"gracePeriodSeconds: {grace!r} is not a number of seconds") from None
        if grace < 0:
            raise bad_request(f"gracePeriodSeconds: {grace} is less than 0")
    policy = asked.get("propagationPolicy") or ("Orphan" if asked.get("orphanDependents") else "")
    preconditions = asked.get("preconditions") or {}
    return {
        "dry_run": call.dry_run or bool(asked.get("dryRun")),
        "grace_s": grace,
        "propagation": policy,
        "uid": preconditions.get("uid") or "",
        "resource_version": preconditions.get("resourceVersion") or "",
    }


def _queried(call: Call) -> Json:
    """DeleteOptions of a query but dryRun, which `Call` reads: one that is not there is not set."""
    query = call.query
    found: Json = {}
    if "gracePeriodSeconds" in query:
        found["gracePeriodSeconds"] = query["gracePeriodSeconds"]
    if policy := query.get("propagationPolicy"):
        found["propagationPolicy"] = policy
    if "orphanDependents" in query:
        found["orphanDependents"] = options.is_true(query, "orphanDependents")
    return found


def _delete_collection(server: ApiServer, call: Call) -> Objects:
    kind = call.resource.kind
    chosen = selector(call)
    asked = {**delete_options(call), "uid": "", "resource_version": ""}
    victims = [obj for obj in server.listed(kind.kind, call.target.namespace) if chosen.matches(kind, obj)]
    for obj in victims:
        server.delete(kind.kind, obj.metadata.namespace, obj.metadata.name, **asked)
    return Objects(victims, server.revision, server.now)


# -- list --------------------------------------------------------------------------------------------------------------


def selector(call: Call) -> Selector:
    query = call.query
    chosen = parse(call.resource.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    if call.target.name:  # a watch on one object's path
        chosen = Selector(chosen.labels, (*chosen.fields, ("metadata.name", True, call.target.name)))
    return chosen


def number(call: Call, name: str) -> int:
    """A whole number from the query, 0 when absent. Raises ApiError BadRequest."""
    text = call.query.get(name, "")
    if not text:
        return 0
    found = whole_number(text)
    if found is None:
        raise bad_request(f'invalid value for {name}: "{text[:80]}" is not a number')
    return found


def _list(server: ApiServer, call: Call) -> Objects:
    kind, namespace = call.resource.kind, call.target.namespace
    chosen, limit = selector(call), number(call, "limit")
    token = call.query.get("continue", "")
    options.refuse("ListOptions", options.list_causes(call.query, watch=False))
    wanted, match = number(call, "resourceVersion"), call.query.get("resourceVersionMatch", "")
    if wanted > server.revision:
        raise too_new(wanted, server.revision)
    if token:
        revision, start = _opened(token)
    else:
        revision, start = (wanted if match == "Exact" else 0), ""
    view = server.views.get(kind.kind)
    if view is not None:
        found_here = [obj for obj in view() if not namespace or obj.metadata.namespace == namespace]
        return Objects([obj for obj in found_here if chosen.matches(kind, obj)], server.revision, server.now)
    if not limit and not revision:
        name = chosen.name
        if name is not None and (namespace or not kind.namespaced):
            found = server.objects(kind.kind).get(f"{namespace}/{name}" if namespace else name)
            objects = [] if found is None else [found]
        else:
            objects = server.listed(kind.kind, namespace)
        if not chosen.empty:
            objects = [obj for obj in objects if chosen.matches(kind, obj)]
        return Objects(objects, server.revision, server.now)
    return _page(server, call, chosen, limit, revision, start)


def _page(server: ApiServer, call: Call, chosen: Selector, limit: int, revision: int, start: str) -> Objects:
    """All pages of one list show one revision. Raises ApiError Expired when that has been compacted."""
    kind, namespace = call.resource.kind, call.target.namespace
    root = prefix_of(kind)
    prefix = f"{root}{namespace}/" if namespace else root
    shown = revision or server.revision
    objects: list[Any] = []
    after, more = start, False
    try:
        while True:
            step = max(limit - len(objects), 64) + 1 if limit else 0
            entries: list[StoreEntry] = server.store.range(prefix, revision=revision, start_after=after, limit=step)
            for entry in entries:
                if limit and len(objects) == limit:
                    more = True
                    break
                after = entry.key
                if chosen.matches(kind, entry.value):
                    objects.append(entry.value)
            if more or not step or len(entries) < step:
                break
        remaining = None
        if more and chosen.empty:
            remaining = len(server.store.range(prefix, revision=revision, start_after=after))
    except Compacted:
        raise gone(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list "
            "without the continue parameter."
        ) from None
    except FutureRevision:
        raise too_new(revision, server.revision) from None
    token = _sealed(shown, after) if more else ""
    return Objects(objects, shown, server.now, token, remaining)


def too_new(wanted: int, current: int) -> ApiError:
    """Source: apiserver pkg/storage/errors.go NewTooLargeResourceVersionError."""
    return ApiError(504, "Timeout", f"Too large resource version: {wanted}, current: {current}", retry_after_s=1)


def _sealed(revision: int, after: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": after})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(token: str) -> tuple[int, str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(found["rv"]), str(found["start"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise bad_request(f"continue key is not valid: {token!r}") from None
