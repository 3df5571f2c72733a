"""Authorisation by roles and bindings, default deny; and the roles that every cluster has.

Source: plugin/pkg/auth/authorizer/rbac/rbac.go, pkg/apis/rbac/v1/evaluation_helpers.go, bootstrappolicy/policy.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from harness.model.meta import ApiObject, ObjectMeta
from harness.model.objects import Unstructured
from harness.model.status import ApiError
from harness.model.wire import Json

if TYPE_CHECKING:
    from harness.apiserver.server import ApiServer

MASTERS = "system:masters"
"""The group that may do everything, whatever the roles say."""

SYSTEM = "kube-system"

AUTHENTICATED, ANONYMOUS = "system:authenticated", "system:anonymous"


class User(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What else is known of him, by key."""


class Action(msgspec.Struct, frozen=True):
    """What somebody asks to do: to a resource, or to a path that is none (`url`)."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    url: str = ""

    @property
    def path(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def allowed(server: ApiServer, user: User, action: Action) -> bool:
    if MASTERS in user.groups:
        return True
    return any(rule_allows(rule, action) for rule in rules_for(server, user, action.namespace))


def check(server: ApiServer, user: User, action: Action) -> None:
    """Raises ApiError Forbidden (403), worded as kube-apiserver words it."""
    if not allowed(server, user, action):
        raise refusal(user, action)


def refusal(user: User, action: Action) -> ApiError:
    if action.url:
        return ApiError(403, "Forbidden", f'forbidden: User "{user.name}" cannot {action.verb} path "{action.url}"')
    what = f"{action.resource}.{action.group}" if action.group else action.resource
    where = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    named = f' "{action.name}"' if action.name else ""
    why = (
        f'{what}{named} is forbidden: User "{user.name}" cannot {action.verb} resource "{action.path}" in API group '
        f'"{action.group}" {where}'
    )
    return ApiError(403, "Forbidden", why, kind=action.resource, name=action.name, group=action.group)


def rules_for(server: ApiServer, user: User, namespace: str) -> Iterator[Json]:
    """Every rule that binds `user`: cluster-wide, and those of `namespace` unless it is empty."""
    cluster_roles = server.objects("ClusterRole")
    for binding in server.objects("ClusterRoleBinding").values():
        body = binding.extra or {}
        if _names(body, user, ""):
            yield from _rules(cluster_roles.get((body.get("roleRef") or {}).get("name", "")))
    if not namespace:
        return
    for key, binding in server.objects("RoleBinding").items():
        if not key.startswith(f"{namespace}/"):
            continue
        body = binding.extra or {}
        if _names(body, user, namespace):
            reference = body.get("roleRef") or {}
            name = reference.get("name", "")
            if reference.get("kind") == "ClusterRole":
                yield from _rules(cluster_roles.get(name))
            else:
                yield from _rules(server.objects("Role").get(f"{namespace}/{name}"))


def _rules(role: Any) -> list[Json]:
    return [] if role is None else (role.extra or {}).get("rules") or []


def _names(binding: Json, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or []:
        name = subject.get("name", "")
        match subject.get("kind"):
            case "User":
                if name == user.name:
                    return True
            case "Group":
                if name in user.groups:
                    return True
            case "ServiceAccount":
                where = subject.get("namespace") or namespace
                if where and user.name == f"system:serviceaccount:{where}:{name}":
                    return True
    return False


def rule_allows(rule: Json, action: Action) -> bool:
    verbs = rule.get("verbs") or []
    if action.verb not in verbs and "*" not in verbs:
        return False
    if action.url:
        return any(_url_matches(pattern, action.url) for pattern in rule.get("nonResourceURLs") or [])
    groups = rule.get("apiGroups") or []
    if action.group not in groups and "*" not in groups:
        return False
    resources = rule.get("resources") or []
    part = f"*/{action.subresource}"
    if not (action.path in resources or "*" in resources or (action.subresource and part in resources)):
        return False
    names = rule.get("resourceNames") or []
    return not names or action.name in names


def _url_matches(pattern: str, url: str) -> bool:
    return pattern in ("*", url) or (pattern.endswith("*") and url.startswith(pattern[:-1]))


def check_escalation(server: ApiServer, user: User, kind: str, obj: ApiObject) -> None:
    """Nobody grants what he does not have himself. Raises ApiError Forbidden.

    Source: pkg/registry/rbac/{role,rolebinding}/policybased/storage.go; the verbs escalate and bind lift it.
    """
    if MASTERS in user.groups or kind not in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        return
    body = obj.extra or {}
    namespace = obj.metadata.namespace
    group = "rbac.authorization.k8s.io"
    if kind in ("Role", "ClusterRole"):
        plural, granted = kind.lower() + "s", body.get("rules") or []
        lifted = Action("escalate", group, plural, "", namespace, obj.metadata.name)
    else:
        reference = body.get("roleRef") or {}
        name = reference.get("name", "")
        if reference.get("kind") == "ClusterRole":
            plural, role = "clusterroles", server.objects("ClusterRole").get(name)
        else:
            plural, role = "roles", server.objects("Role").get(f"{namespace}/{name}")
        granted = _rules(role)
        lifted = Action("bind", group, plural, "", namespace, name)
    if allowed(server, user, lifted):
        return
    aggregates = kind == "ClusterRole" and body.get("aggregationRule")
    if aggregates:
        granted = _ALL
    held = list(rules_for(server, user, namespace))
    for rule in granted:
        for action in _actions(rule, namespace):
            if not any(rule_allows(own, action) for own in held):
                why = (
                    "must have cluster-admin privileges to use the aggregationRule"
                    if aggregates
                    else f'user "{user.name}" (groups={list(user.groups)}) is attempting to grant RBAC permissions not '
                    f"currently held: {rule}"
                )
                what = f"{kind.lower()}s.{group}"
                text = f'{what} "{obj.metadata.name}" is forbidden: {why}'
                raise ApiError(403, "Forbidden", text, kind=kind.lower() + "s", name=obj.metadata.name, group=group)


def _actions(rule: Json, namespace: str) -> Iterator[Action]:
    """A rule taken apart; a star stands for itself, so that only a star covers it."""
    for verb in rule.get("verbs") or []:
        for url in rule.get("nonResourceURLs") or []:
            yield Action(verb, url=url)
        for group in rule.get("apiGroups") or []:
            for path in rule.get("resources") or []:
                resource, _, subresource = path.partition("/")
                for name in rule.get("resourceNames") or [""]:
                    yield Action(verb, group, resource, subresource, namespace, name)


def _rule(verbs: str, groups: str, resources: str) -> Json:
    return {"verbs": verbs.split(), "apiGroups": groups.split(","), "resources": resources.split()}


_ALL: list[Json] = [_rule("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}]
_READ, _WRITE = "get list watch", "create delete deletecollection patch update"
_CORE = "configmaps endpoints persistentvolumeclaims pods serviceaccounts services"
_APPS = "deployments replicasets statefulsets daemonsets"
_VIEW = [
    _rule(_READ, "", f"{_CORE} pods/log pods/status events namespaces namespaces/status resourcequotas limitranges"),
    _rule(_READ, "apps", f"{_APPS} deployments/scale deployments/status replicasets/scale replicasets/status"),
    _rule(_READ, "batch", "jobs jobs/status cronjobs cronjobs/status"),
    _rule(_READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    _rule(_READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    _rule(_READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    _rule(_READ, "discovery.k8s.io", "endpointslices"),
    _rule("get list", "metrics.k8s.io", "pods nodes"),
]
_EDIT = [
    _rule(_READ, "", "secrets"),
    _rule(_WRITE, "", f"{_CORE} secrets"),
    _rule("get", "", "pods/exec pods/attach pods/portforward"),
    _rule("create", "", "pods/eviction pods/exec pods/attach pods/portforward serviceaccounts/token"),
    _rule(_WRITE, "apps", f"{_APPS} deployments/scale replicasets/scale statefulsets/scale"),
    _rule(_WRITE, "batch", "jobs cronjobs"),
    _rule(_WRITE, "autoscaling", "horizontalpodautoscalers"),
    _rule(_WRITE, "policy", "poddisruptionbudgets"),
    _rule(_WRITE, "networking.k8s.io", "ingresses networkpolicies"),
]
_REVIEWS = "selfsubjectaccessreviews selfsubjectrulesreviews"
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"]
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]

CLUSTER_ROLES: dict[str, list[Json]] = {
    "cluster-admin": _ALL,
    "system:aggregate-to-admin": [_rule(f"{_READ} {_WRITE}", "rbac.authorization.k8s.io", "roles rolebindings")],
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-view": _VIEW,
    "system:basic-user": [
        _rule("create", "authorization.k8s.io", _REVIEWS),
        _rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
    "system:discovery": [{"verbs": ["get"], "nonResourceURLs": [*_DISCOVERY, *_PUBLIC]}],
    "system:auth-delegator": [
        _rule("create", "authentication.k8s.io", "tokenreviews"),
        _rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
    "system:service-account-issuer-discovery": [
        {"verbs": ["get"], "nonResourceURLs": ["/.well-known/openid-configuration", "/openid/v1/jwks"]}
    ],
    "system:public-info-viewer": [{"verbs": ["get"], "nonResourceURLs": _PUBLIC}],
    "system:kube-scheduler": [
        _rule("create patch update", ",events.k8s.io", "events"),
        _rule("create get list update watch", "coordination.k8s.io", "leases"),
        _rule(_READ, "", "nodes namespaces services replicationcontrollers persistentvolumeclaims persistentvolumes"),
        _rule(f"{_READ} delete", "", "pods"),
        _rule("create", "", "bindings pods/binding"),
        _rule("patch update", "", "pods/status"),
        _rule(_READ, "apps", "replicasets statefulsets"),
        _rule(_READ, "policy", "poddisruptionbudgets"),
        _rule(_READ, "storage.k8s.io", "csinodes csidrivers csistoragecapacities volumeattachments storageclasses"),
        _rule(f"{_READ} update patch", "resource.k8s.io", "resourceclaims resourceclaims/status"),
        _rule(_READ, "resource.k8s.io", "deviceclasses resourceslices"),
        _rule("create", "authentication.k8s.io", "tokenreviews"),
        _rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
    "system:volume-scheduler": [
        _rule(f"{_READ} patch update", "", "persistentvolumes persistentvolumeclaims"),
        _rule(_READ, "storage.k8s.io", "storageclasses"),
    ],
}

AGGREGATE_TO = "rbac.authorization.k8s.io/aggregate-to-"

_PARTS = "system:aggregate-to-"
"""Roles whose names begin so hold what those of AGGREGATED have of their own."""

AGGREGATED = ("admin", "edit", "view")
"""Roles for people, each with the rules of the next one; whoever serves a kind adds to them by a role with a label."""

CLUSTER_ROLE_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": (MASTERS,),
    "system:basic-user": (AUTHENTICATED,),
    "system:discovery": (AUTHENTICATED,),
    "system:service-account-issuer-discovery": ("system:serviceaccounts",),
    "system:public-info-viewer": (AUTHENTICATED, "system:unauthenticated"),
}
"""Role (and name of the binding) to groups."""

USER_BINDINGS = {name: name.replace("volume", "kube") for name in ("system:kube-scheduler", "system:volume-scheduler")}
"""Role (and name of the binding) to the user."""

READER = "extension-apiserver-authentication-reader"
"""Role of who checks the credentials of others: they read the ConfigMap that says whom this server trusts."""

_GROUP = "rbac.authorization.k8s.io"


def bootstrap(server: ApiServer) -> None:
    """Create the roles and bindings that are missing; what somebody has changed stays changed."""
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    for name, rules in CLUSTER_ROLES.items():
        part = name.removeprefix(_PARTS)
        to = {} if part == name else {AGGREGATE_TO + part: "true"}
        _ensure(server, "ClusterRole", name, {**labels, **to}, {"rules": rules})
    for above, name in zip(("", *AGGREGATED), AGGREGATED, strict=False):
        to = {AGGREGATE_TO + above: "true"} if above else {}
        selects = {"clusterRoleSelectors": [{"matchLabels": {AGGREGATE_TO + name: "true"}}]}
        _ensure(server, "ClusterRole", name, {**labels, **to}, {"aggregationRule": selects, "rules": []})
    for name, groups in CLUSTER_ROLE_BINDINGS.items():
        body = {
            "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": group} for group in groups],
        }
        _ensure(server, "ClusterRoleBinding", name, labels, body)
    for name, user in USER_BINDINGS.items():
        body = {
            "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": user}],
        }
        _ensure(server, "ClusterRoleBinding", name, labels, body)
    named = {**_rule(_READ, "", "configmaps"), "resourceNames": ["extension-apiserver-authentication"]}
    _ensure(server, "Role", READER, labels, {"rules": [named]}, SYSTEM)
    body = {
        "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": READER},
        "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": "system:kube-scheduler"}],
    }
    _ensure(server, "RoleBinding", f"system::{READER}", labels, body, SYSTEM)


def grant(server: ApiServer, user: str, rules: list[Json]) -> None:
    """A ClusterRole and its binding named as the user, with these rules whatever stood there."""
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    _ensure(server, "ClusterRole", user, labels, {"rules": rules})
    held = server.objects("ClusterRole")[user]
    if (held.extra or {}).get("rules") != rules:
        server.update(msgspec.structs.replace(held, extra={**(held.extra or {}), "rules": rules}))
    body = {
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": user}],
    }
    _ensure(server, "ClusterRoleBinding", user, labels, body)


def _ensure(server: ApiServer, kind: str, name: str, labels: dict[str, str], body: Json, namespace: str = "") -> None:
    if (f"{namespace}/{name}" if namespace else name) not in server.objects(kind):
        extra = {"apiVersion": f"{_GROUP}/v1", "kind": kind, **body}
        server.create(Unstructured(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels), extra=extra))
