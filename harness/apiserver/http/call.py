"""A request on its way in, an answer on its way out: what passes between the HTTP thread and the driver's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from harness.apiserver.http import options, pod_specs
from harness.apiserver.http.auth.rbac import Action, User
from harness.apiserver.http.patches import APPLY, patched
from harness.apiserver.http.resources import Resource, Target
from harness.apiserver.http.selectors import parse
from harness.apiserver.kinds import RULES
from harness.apiserver.kinds.custom import structural
from harness.apiserver.registry.identity_memo import IdentityMemo
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.validation.causes import unsupported
from harness.model.core import Pod, PodSpec
from harness.model.field_types import check_fields, check_metadata
from harness.model.meta import ApiObject
from harness.model.objects import Unstructured, from_wire, to_wire
from harness.model.status import ApiError, Cause, bad_request, invalid
from harness.model.wire import DecodeError, Json


class Call(msgspec.Struct, frozen=True):
    """`body`: parsed JSON, None without one. `epoch_unix_ns`: instant 0 of the cluster on the wall clock."""

    user: User
    verb: str  # get list watch create update patch delete deletecollection
    target: Target
    query: Mapping[str, str]
    body: Any
    content_type: str
    epoch_unix_ns: int
    duplicates: list[str] = []
    """Paths of the fields that the body has more than once."""
    warnings: list[str] = []
    """What the client is told besides the answer."""
    agent: str = ""
    """The client's User-Agent."""

    @property
    def resource(self) -> Resource:
        return self.target.resource

    @property
    def dry_run(self) -> bool:
        """Raises ApiError Invalid for a value that does not exist."""
        value = self.query.get("dryRun", "")
        if value and value != "All":
            options.refuse(options.OF_VERB[self.verb], options.dry_run_causes([value]))
        return value == "All"

    @property
    def field_validation(self) -> str:
        """Ignore, Warn or Strict. Raises ApiError Invalid. Source: metav1.CreateOptions, FieldValidationDirective."""
        value = self.query.get("fieldValidation", "") or "Warn"
        if value not in ("Ignore", "Warn", "Strict"):
            known = ("Ignore", "Strict", "Warn")
            options.refuse(options.OF_VERB[self.verb], [unsupported("fieldValidation", value, known)])
        return value

    def action(self, verb: str = "", *, name: str | None = None) -> Action:
        target = self.target
        if name is None and not target.name and self.verb in ("list", "watch", "deletecollection"):
            # Source: apiserver pkg/endpoints/request/requestinfo.go: a list of the one of a name is of that name.
            name = parse(target.resource.kind, "", self.query.get("fieldSelector", "")).name
        return Action(
            verb or self.verb,
            target.resource.group,
            target.resource.plural,
            target.subresource,
            target.namespace if target.resource.plural != "namespaces" else target.name,
            target.name if name is None else name,
        )

    def wire(self, obj: ApiObject) -> Json:
        return outward(self.resource, obj, self.epoch_unix_ns)

    def patched(self, before: Json) -> Json:
        """`before` with the patch that the body is. Raises ApiError."""
        strategic = self.resource.schema is None
        return patched(self.content_type, before, self.body, self.resource.kind.kind, strategic=strategic)

    def typed(self, data: Any, *, name: str = "", before: Json | None = None) -> Any:
        """The object in a request body, with what the URL says filled in and without unknown fields. Raises ApiError.

        `before`: the object that `data` is a patched copy of; unknown fields that it has are not the client's.
        """
        if self.verb == "create" and before is None:
            spec = pod_specs.found(self.resource, data)
            if spec is not None:
                body = {name: item for name, item in data.items() if name != "spec"}
                pod = inward(self.resource, self.checked(body, name=name), self.epoch_unix_ns)
                return replaced(pod, spec=spec)
        body = self.checked(data, name=name, before=before)
        obj = inward(self.resource, body, self.epoch_unix_ns)
        if self.verb == "create" and isinstance(data, dict) and body.get("spec") is data.get("spec"):
            pod_specs.keep(self.resource, data, obj)
        return obj

    def checked(self, data: Any, *, name: str = "", before: Json | None = None) -> Json:
        """The JSON of `typed`. Raises ApiError."""
        validation = self.field_validation  # one that does not exist is refused, whatever the body is
        body = addressed(self.target, data, name)
        kind = self.resource.kind
        if self.resource.schema is not None:
            return self._checked_custom(body, self.resource.schema, before, validation)
        body, findings = check_fields(kind, self.resource.api_version, body)
        if findings.wrong:
            path, message = findings.wrong[0]
            raise _not_handled(self.resource, f"{path}: {message}")
        unknown = findings.unknown
        if unknown and before is not None:
            known = set(check_fields(kind, self.resource.api_version, before)[1].unknown)
            unknown = [path for path in unknown if path not in known]
        self._warn_of_unknown(unknown, validation)
        return body

    def _warn_of_unknown(self, unknown: list[str], validation: str) -> None:
        """Raises ApiError BadRequest where the client wants none."""
        told = [f'unknown field "{path}"' for path in unknown] + [f'duplicate field "{p}"' for p in self.duplicates]
        if told:
            match validation:
                case "Strict":
                    raise _not_handled(self.resource, f"strict decoding error: {', '.join(told)}")
                case "Warn":
                    self.warnings.extend(told)

    def _checked_custom(self, body: Json, schema: Json, before: Json | None, validation: str) -> Json:
        """Pruned, defaulted and valid by its definition's schema. Raises ApiError BadRequest, Invalid."""
        kind = self.resource.kind
        unknown: list[str] = []
        out: Json = structural.pruned(body, schema, unknown)
        _, findings = check_metadata(body.get("metadata") or {})
        if findings.wrong:
            path, message = findings.wrong[0]
            raise _not_handled(self.resource, f"metadata.{path}: {message}")
        self._warn_of_unknown(unknown, validation)
        if self.content_type == APPLY and before is None:
            return out  # what is applied is what is said; defaults come when it is laid over what is there
        out = structural.defaulted(out, schema)
        causes = structural.problems(out, schema)
        if causes:
            name = str(out.get("metadata", {}).get("name") or "")
            raise invalid(kind.wire, name, tuple(causes), kind.group)
        return out


class Answer(msgspec.Struct, frozen=True):
    """One object, a Status or any JSON."""

    body: Json
    code: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Objects(msgspec.Struct, frozen=True):
    """A page of a collection, still typed: turning thousands into JSON is not the driver's work."""

    objects: list[Any]
    revision: int
    now: int
    next_token: str = ""
    remaining: int | None = None


class One(msgspec.Struct, frozen=True):
    """One typed object."""

    obj: ApiObject
    now: int
    code: int = 200


def outward(resource: Resource, obj: ApiObject, epoch_unix_ns: int) -> Json:
    """The JSON of an object in the version of `resource`."""
    data = to_wire(obj, epoch_unix_ns=epoch_unix_ns, whole=True)
    data.setdefault("metadata", {})
    if resource.kind.status and not resource.kind.wire_name and data.get("status") is None:
        data["status"] = {}
    complete = RULES[resource.kind.kind].complete_wire
    if complete is not None:
        complete(data)
    return data if resource.outward is None else resource.outward(data)


_spec_json: IdentityMemo[Json] = IdentityMemo()

_made: dict[int, tuple[Any, str, Json]] = {}
"""By id: an object, a version and its JSON, until it is asked for."""
_MOST_MADE = 256


def keep_shown(resource: Resource, obj: ApiObject, data: Json) -> None:
    """`data` is what `shown` would say of `obj`, which is about to be asked: who writes it needs it, and the answer."""
    if len(_made) >= _MOST_MADE:
        _made.clear()
    _made[id(obj)] = (obj, resource.api_version, data)


_NO_SPEC = PodSpec()


def shown(resource: Resource, obj: ApiObject, epoch_unix_ns: int) -> Json:
    """`outward` for who changes nothing in it: pods that share a spec share its JSON."""
    made = _made.pop(id(obj), None)
    if made is not None and made[0] is obj and made[1] == resource.api_version:
        return made[2]
    if type(obj) is not Pod or resource.outward is not None:
        return outward(resource, obj, epoch_unix_ns)
    known = _spec_json.get(obj.spec)
    if known is None:
        data = outward(resource, obj, epoch_unix_ns)
        _spec_json.put(obj.spec, data["spec"])
        return data
    data = outward(resource, replaced(obj, spec=_NO_SPEC), epoch_unix_ns)
    data["spec"] = known
    return data


def addressed(target: Target, data: Any, name: str) -> Json:
    """An object's JSON with what the URL says. Raises ApiError BadRequest: another kind, another namespace or name."""
    resource, kind = target.resource, target.resource.kind
    if not isinstance(data, dict):
        raise bad_request(f"the body of the request is no {kind.wire} object")
    body = dict(data)
    found = (body.setdefault("apiVersion", resource.api_version), body.setdefault("kind", kind.wire))
    if found != (resource.api_version, kind.wire):
        raise bad_request(
            f"the API version in the data ({found[0]}, kind {found[1]}) does not match the expected API version "
            f"({resource.api_version}, kind {kind.wire})"
        )
    meta = body.get("metadata")
    if meta is not None and not isinstance(meta, dict):
        raise _not_handled(resource, "metadata: expected an object")
    meta = dict(meta or {})
    if kind.namespaced:
        if target.namespace and (meta.get("namespace") or target.namespace) != target.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        meta["namespace"] = target.namespace or meta.get("namespace")
    else:
        meta.pop("namespace", None)
    if name and (meta.get("name") or name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    if name:
        meta["name"] = name
    body["metadata"] = meta
    return body


def inward(resource: Resource, body: Json, epoch_unix_ns: int) -> Any:
    """The typed object of checked JSON. Raises ApiError BadRequest (of a wrong shape), Invalid."""
    kind = resource.kind
    if resource.inward is not None:
        body = resource.inward(body)
    try:
        obj = from_wire(body, epoch_unix_ns=epoch_unix_ns)
    except DecodeError as error:
        if error.message == "Required value":
            cause = Cause(error.path, "FieldValueRequired", "Required value")
            raise invalid(kind.wire, str(body["metadata"].get("name") or ""), (cause,), kind.group) from None
        raise _not_handled(resource, str(error)) from None
    if isinstance(obj, Unstructured):
        obj = msgspec.structs.replace(obj, extra={**(obj.extra or {}), "apiVersion": kind.api_version})
    return obj


def _not_handled(resource: Resource, why: str) -> ApiError:
    """Source: apiserver pkg/endpoints/handlers/negotiation/errors.go."""
    kind = resource.kind.wire
    return bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}')


def status_success(target: Target, name: str, uid: str) -> Json:
    """What a delete answers when the object is gone."""
    details: Json = {"name": name, "kind": target.resource.plural, "uid": uid}
    if target.resource.group:
        details["group"] = target.resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
