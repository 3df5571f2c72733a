"""Questions about oneself and others: SelfSubjectAccessReview and its kin. Created, answered, kept nowhere.

Source: kubernetes.io/docs/reference/kubernetes-api/authorization-resources, authentication-resources.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.apiserver.http.auth import rbac
from harness.apiserver.http.auth.rbac import Action, User
from harness.apiserver.http.auth.tokens import AUDIENCES
from harness.apiserver.http.bodies import checked
from harness.apiserver.http.discovery import LOCAL, REVIEWS
from harness.apiserver.server import ApiServer
from harness.model.status import ApiError, bad_request
from harness.model.wire import Json

Whose = Callable[[ApiServer, str, tuple[str, ...]], tuple[User, tuple[str, ...]]]
"""(whose a token is, for which of the given audiences); raises ApiError Unauthorized."""


def review_of(path: str) -> tuple[str, str, str] | None:
    """(group-version, plural, namespace) of a path that is a review; None for any other."""
    parts = [part for part in path.split("/") if part]
    namespace = ""
    if len(parts) == 6 and parts[3] == "namespaces" and parts[5] == LOCAL:
        namespace, parts = parts[4], [*parts[:3], LOCAL]
    if len(parts) != 4 or parts[0] != "apis" or (parts[3] == LOCAL) is not bool(namespace):
        return None
    api_version = f"{parts[1]}/{parts[2]}"
    return (api_version, parts[3], namespace) if parts[3] in REVIEWS.get(api_version, {}) else None


def perform(
    server: ApiServer, user: User, whose: Whose, api_version: str, plural: str, namespace: str, body: Any
) -> Json:
    """The review with its status. `whose`: reads tokens. Raises ApiError Forbidden, BadRequest."""
    rbac.check(server, user, Action("create", api_version.partition("/")[0], plural, "", namespace))
    kind = REVIEWS[api_version][plural]
    data = dict(checked(api_version, kind, body))
    if data.setdefault("kind", kind) != kind:
        raise bad_request(f"expected a {kind}, found a {data['kind']}")
    spec = data.get("spec") or {}
    match plural:
        case "selfsubjectaccessreviews":
            status = _access(server, user, spec)
        case "subjectaccessreviews" | "localsubjectaccessreviews":
            if namespace and (spec.get("resourceAttributes") or {}).get("namespace") != namespace:
                # Source: pkg/registry/authorization/localsubjectaccessreview/rest.go (Kubernetes 1.32).
                raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
            other = User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "")
            status = _access(server, other, spec)
        case "selfsubjectrulesreviews":
            status = _rules(server, user, spec.get("namespace") or "default")
        case "selfsubjectreviews":
            status = {"userInfo": _info(user)}
        case "tokenreviews":
            status = _token(server, whose, spec)
        case _:
            raise bad_request(f"{plural} are not answered here")
    return {**data, "apiVersion": api_version, "kind": kind, "metadata": data.get("metadata") or {}, "status": status}


def _token(server: ApiServer, whose: Whose, spec: Json) -> Json:
    """Source: pkg/registry/authentication/tokenreview/storage.go, Create (Kubernetes 1.32)."""
    token = spec.get("token") or ""
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    asked = tuple(spec.get("audiences") or AUDIENCES)
    try:
        user, audiences = whose(server, token, asked)
    except ApiError:
        return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _info(user), "audiences": list(audiences)}


def _info(user: User) -> Json:
    out: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        out["uid"] = user.uid
    if user.extra:
        out["extra"] = {key: list(values) for key, values in user.extra}
    return out


def _access(server: ApiServer, user: User, spec: Json) -> Json:
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if path is not None and about is None:
        action = Action(path.get("verb") or "", url=path.get("path") or "")
    elif about is None or path is not None:
        raise bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")
    else:
        fields = {name: about.get(name) or "" for name in ("verb", "group", "resource", "subresource", "namespace")}
        action = Action(**fields, name=about.get("name") or "")
    return {"allowed": rbac.allowed(server, user, action)}


def _rules(server: ApiServer, user: User, namespace: str) -> Json:
    rules = list(rbac.rules_for(server, user, namespace))
    return {
        "resourceRules": [rule for rule in rules if rule.get("resources")],
        "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
        "incomplete": False,
    }
