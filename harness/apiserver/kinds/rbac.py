"""Role, ClusterRole, RoleBinding, ClusterRoleBinding. Source: pkg/apis/rbac: validation and v1/defaults.go."""

from __future__ import annotations

from typing import Any

from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import required, unsupported, wrong
from harness.model.meta import LabelSelector
from harness.model.objects import KINDS, Unstructured
from harness.model.status import Cause
from harness.model.wire import DecodeError, Json, decode

_RBAC = "rbac.authorization.k8s.io"


def _binding_fields(extra: Json) -> Json:
    out = dict(extra)
    if isinstance(out.get("roleRef"), dict):
        out["roleRef"] = {**out["roleRef"], "apiGroup": out["roleRef"].get("apiGroup") or _RBAC}
    if isinstance(out.get("subjects"), list):
        out["subjects"] = [_subject(item) if isinstance(item, dict) else item for item in out["subjects"]]
    return out


def _subject(subject: Json) -> Json:
    if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
        return {**subject, "apiGroup": _RBAC}
    return subject


def _default_binding(obj: Unstructured) -> Unstructured:
    before = obj.extra or {}
    after = _binding_fields(before)
    return obj if after == before else replaced(obj, extra=after)


def _binding_problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    found: list[Cause] = []
    reference: Json = (new.extra or {}).get("roleRef") or {}
    if reference.get("kind") not in ("Role", "ClusterRole"):
        found.append(unsupported("roleRef.kind", reference.get("kind", ""), ("Role", "ClusterRole")))
    if not reference.get("name"):
        found.append(required("roleRef.name"))
    for index, subject in enumerate((new.extra or {}).get("subjects") or []):
        if subject.get("kind") not in ("User", "Group", "ServiceAccount"):
            known = ("Group", "ServiceAccount", "User")
            found.append(unsupported(f"subjects[{index}].kind", subject.get("kind", ""), known))
        if not subject.get("name"):
            found.append(required(f"subjects[{index}].name"))
    if old is not None and reference != ((old.extra or {}).get("roleRef") or {}):
        found.append(wrong("roleRef", reference, "cannot change roleRef"))
    return found


def _role_problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    found: list[Cause] = []
    for index, rule in enumerate((new.extra or {}).get("rules") or []):
        at = f"rules[{index}]"
        if not rule.get("verbs"):
            found.append(required(f"{at}.verbs", "verbs must contain at least one value"))
        if not rule.get("nonResourceURLs"):
            if not rule.get("apiGroups"):
                found.append(required(f"{at}.apiGroups", "resource rules must supply at least one api group"))
            if not rule.get("resources"):
                found.append(required(f"{at}.resources", "resource rules must supply at least one resource"))
    return found


def _cluster_role_problems(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    found = _role_problems(new, old)
    aggregation = (new.extra or {}).get("aggregationRule")
    if aggregation is not None:
        at = "aggregationRule.clusterRoleSelectors"
        selectors = aggregation.get("clusterRoleSelectors") or []
        if not selectors:
            found.append(required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        for index, item in enumerate(selectors):
            found += _selector_problems(item, f"{at}[{index}]")
    return found


def _selector_problems(item: Json, at: str) -> list[Cause]:
    try:
        selector = decode(LabelSelector, item, path=at)
    except DecodeError as error:
        kind = "FieldValueRequired" if error.message == "Required value" else "FieldValueInvalid"
        return [Cause(error.path, kind, error.message)]
    return names.selector_problems(selector, at)


def _role_cells(obj: Json, moment: Moment) -> list[Any]:
    """Roles show the date itself."""
    return [name_of(obj), created(obj) or ""]


def _binding_cells(obj: Json, moment: Moment) -> list[Any]:
    role = obj.get("roleRef") or {}
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or []:
        where = f"{subject['namespace']}/" if subject.get("namespace") else ""
        by_kind.setdefault(subject.get("kind", ""), []).append(where + subject.get("name", ""))
    return [
        name_of(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        moment.age(created(obj)),
        ", ".join(by_kind["User"]),
        ", ".join(by_kind["Group"]),
        ", ".join(by_kind["ServiceAccount"]),
    ]


def _rules(name: str, **others: Any) -> KindRules:
    """Names of these kinds are path segments."""
    return KindRules(kind=KINDS[name], name_problem=names.path_segment_problem, **others)


_ROLE_TABLE = Table(("Name", "Created At"), _role_cells)
_BINDING_TABLE = Table(("Name", "Role", "Age", "Users*", "Groups*", "ServiceAccounts*"), _binding_cells)

RULES = (
    _rules("Role", validate=_role_problems, table=_ROLE_TABLE),
    _rules("ClusterRole", validate=_cluster_role_problems, table=_ROLE_TABLE),
    _rules("RoleBinding", defaults=_default_binding, validate=_binding_problems, table=_BINDING_TABLE),
    _rules("ClusterRoleBinding", defaults=_default_binding, validate=_binding_problems, table=_BINDING_TABLE),
)
