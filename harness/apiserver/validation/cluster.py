"""What is wrong with nodes, classes, configuration, leases, events and bindings.

Source: pkg/apis/{core,scheduling,coordination,rbac}/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import (
    at_least,
    duplicate,
    forbidden,
    immutable,
    required,
    too_long,
    unsupported,
    wrong,
)
from harness.apiserver.validation.pods import EFFECTS
from harness.model.core import ConfigMap, Event, Node
from harness.model.objects import Unstructured
from harness.model.status import Cause
from harness.model.workloads import Lease, PriorityClass

HIGHEST_USER_PRIORITY = 1_000_000_000
"""Source: pkg/apis/scheduling/types.go HighestUserDefinablePriority."""

CONFIG_LIMIT = 1024 * 1024
"""Bytes of a ConfigMap's or Secret's data. Source: core/v1 MaxSecretSize."""


def node(new: Node, old: Node | None) -> list[Cause]:
    found: list[Cause] = []
    if old is not None and new.spec is old.spec:
        return found
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(new.spec.taints):
        at = f"spec.taints[{index}]"
        if why := names.qualified_problem(taint.key):
            found.append(wrong(f"{at}.key", taint.key, why))
        if why := names.label_value_problem(taint.value):
            found.append(wrong(f"{at}.value", taint.value, why))
        if not taint.effect:
            found.append(required(f"{at}.effect"))
        elif taint.effect not in EFFECTS:
            found.append(unsupported(f"{at}.effect", taint.effect, EFFECTS))
        if (taint.key, taint.effect) in seen:
            found.append(duplicate(at, f"{taint.key}:{taint.effect}"))
        seen.add((taint.key, taint.effect))
    if old is not None:
        if old.spec.pod_cidr and new.spec.pod_cidr != old.spec.pod_cidr:
            found.append(forbidden("spec.podCIDR", 'node updates may not change podCIDR except from "" to valid'))
        if old.spec.provider_id and new.spec.provider_id != old.spec.provider_id:
            why = 'node updates may not change providerID except from "" to valid'
            found.append(forbidden("spec.providerID", why))
    return found


def priority_class(new: PriorityClass, old: PriorityClass | None) -> list[Cause]:
    found: list[Cause] = []
    if new.metadata.name.startswith("system-"):
        why = "priority class names with 'system-' prefix are reserved for system use only"
        found.append(forbidden("metadata.name", why))
    elif new.value > HIGHEST_USER_PRIORITY:
        why = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        found.append(forbidden("value", why))
    if new.preemption_policy not in (None, "PreemptLowerPriority", "Never"):
        found.append(unsupported("preemptionPolicy", new.preemption_policy, ("Never", "PreemptLowerPriority")))
    if old is not None:
        if new.value != old.value:
            found.append(forbidden("value", "may not be changed in an update."))
        if new.preemption_policy != old.preemption_policy:
            found.append(immutable("preemptionPolicy", new.preemption_policy))
    return found


def config_map(new: ConfigMap, old: ConfigMap | None) -> list[Cause]:
    found: list[Cause] = []
    extra = new.extra or {}
    binary = extra.get("binaryData") or {}
    size = 0
    for field, data in (("data", new.data), ("binaryData", binary)):
        for key, value in data.items():
            size += len(str(value))
            if why := names.config_key_problem(key):
                found.append(wrong(f"{field}[{key}]", key, why))
    both = sorted(set(new.data) & set(binary))
    found += [wrong(f"data[{key}]", key, "duplicate of key present in binaryData") for key in both]
    if size > CONFIG_LIMIT:
        found.append(too_long("", CONFIG_LIMIT))
    if old is not None and (old.extra or {}).get("immutable"):
        if not extra.get("immutable"):
            found.append(forbidden("immutable", "field is immutable when `immutable` is set"))
        if new.data != old.data:
            found.append(forbidden("data", "field is immutable when `immutable` is set"))
        if binary != ((old.extra or {}).get("binaryData") or {}):
            found.append(forbidden("binaryData", "field is immutable when `immutable` is set"))
    return found


def secret(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    extra = new.extra or {}
    found = [
        wrong(f"data[{key}]", key, why) for key in extra.get("data") or {} if (why := names.config_key_problem(key))
    ]
    if old is not None:
        was = old.extra or {}
        if (extra.get("type") or "Opaque") != (was.get("type") or "Opaque"):
            found.append(immutable("type", extra.get("type")))
        if was.get("immutable") and extra.get("data") != was.get("data"):
            found.append(forbidden("data", "field is immutable when `immutable` is set"))
    return found


def lease(new: Lease, old: Lease | None) -> list[Cause]:
    found: list[Cause] = []
    spec = new.spec
    if spec.lease_duration_seconds is not None and spec.lease_duration_seconds <= 0:
        found.append(wrong("spec.leaseDurationSeconds", spec.lease_duration_seconds, "must be greater than 0"))
    at_least(found, "spec.leaseTransitions", spec.lease_transitions)
    return found


def event(new: Event, old: Event | None) -> list[Cause]:
    about = new.involved_object.namespace or "default"
    if new.metadata.namespace and new.metadata.namespace != about:
        return [wrong("involvedObject.namespace", new.involved_object.namespace, "does not match event.namespace")]
    return []


def role_binding(new: Unstructured, old: Unstructured | None) -> list[Cause]:
    found: list[Cause] = []
    reference: dict[str, Any] = (new.extra or {}).get("roleRef") or {}
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


def role(new: Unstructured, old: Unstructured | None) -> list[Cause]:
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


Check = Callable[..., list[Cause]]

CLUSTER: dict[str, Check] = {
    "Node": node,
    "PriorityClass": priority_class,
    "ConfigMap": config_map,
    "Secret": secret,
    "Lease": lease,
    "Event": event,
    "Role": role,
    "ClusterRole": role,
    "RoleBinding": role_binding,
    "ClusterRoleBinding": role_binding,
}
