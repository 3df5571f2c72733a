"""The cluster itself in columns: nodes, namespaces, events and the small kinds. Source: printers.go."""

from __future__ import annotations

from typing import Any

from harness.apiserver.http.tables.cells import NONE, UNKNOWN, Json, Moment, created, name_of, number, part

_ROLE = "node-role.kubernetes.io/"


def _node(obj: Json, moment: Moment) -> list[Any]:
    held = {item["type"]: item["status"] for item in part(obj, "status", "conditions") or []}
    ready = {"True": "Ready", None: "Unknown"}.get(held.get("Ready"), "NotReady")
    state = ready + (",SchedulingDisabled" if part(obj, "spec", "unschedulable") else "")
    names = part(obj, "metadata", "labels") or {}
    roles = sorted({key[len(_ROLE) :] for key in names if key.startswith(_ROLE) and len(key) > len(_ROLE)})
    addresses = {item["type"]: item["address"] for item in reversed(part(obj, "status", "addresses") or [])}
    info = part(obj, "status", "nodeInfo") or {}
    return [
        name_of(obj),
        state,
        ",".join(roles) or NONE,
        moment.age(created(obj)),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _namespace(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), part(obj, "status", "phase") or "", moment.age(created(obj))]


def _event(obj: Json, moment: Moment) -> list[Any]:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        moment.age(last),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        moment.age(first),
        obj.get("count") or obj.get("deprecatedCount") or 1,
        name_of(obj),
    ]


def _config_map(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), moment.age(created(obj))]


def _secret(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), obj.get("type") or "Opaque", len(obj.get("data") or {}), moment.age(created(obj))]


def _service_account(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), len(obj.get("secrets") or []), moment.age(created(obj))]


def _lease(obj: Json, moment: Moment) -> list[Any]:
    return [name_of(obj), part(obj, "spec", "holderIdentity") or "", moment.age(created(obj))]


def _quota(obj: Json, moment: Moment) -> list[Any]:
    requests: list[str] = []
    limits: list[str] = []
    hard, used = part(obj, "status", "hard") or part(obj, "spec", "hard") or {}, part(obj, "status", "used") or {}
    for name in sorted(hard):
        shown = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits.") else requests).append(shown)
    return [name_of(obj), ", ".join(requests), ", ".join(limits), moment.age(created(obj))]


def _priority_class(obj: Json, moment: Moment) -> list[Any]:
    return [
        name_of(obj),
        number(obj, "value"),
        bool(obj.get("globalDefault")),
        moment.age(created(obj)),
        obj.get("preemptionPolicy") or "PreemptLowerPriority",
    ]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _claim(obj: Json, moment: Moment) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    phase = status.get("phase") or "Pending"
    return [
        name_of(obj),
        "Terminating" if part(obj, "metadata", "deletionTimestamp") else phase,
        spec.get("volumeName") or "",
        part(status, "capacity", "storage") or "" if bound else "",
        ",".join(_MODES.get(mode, mode) for mode in status.get("accessModes") or []) if bound else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        moment.age(created(obj)),
        spec.get("volumeMode") or "Filesystem",
    ]


def _volume(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    claim = spec.get("claimRef") or {}
    return [
        name_of(obj),
        part(spec, "capacity", "storage") or "",
        ",".join(_MODES.get(mode, mode) for mode in spec.get("accessModes") or []),
        spec.get("persistentVolumeReclaimPolicy") or "Retain",
        part(obj, "status", "phase") or "Available",
        f"{claim['namespace']}/{claim['name']}" if claim.get("name") else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        part(obj, "status", "reason") or "",
        moment.age(created(obj)),
        spec.get("volumeMode") or "Filesystem",
    ]


def _storage_class(obj: Json, moment: Moment) -> list[Any]:
    default = (part(obj, "metadata", "annotations") or {}).get("storageclass.kubernetes.io/is-default-class")
    return [
        name_of(obj) + (" (default)" if default == "true" else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        moment.age(created(obj)),
    ]


def _dated(obj: Json, moment: Moment) -> list[Any]:
    """Roles show the date itself."""
    return [name_of(obj), created(obj) or ""]


def _binding(obj: Json, moment: Moment) -> list[Any]:
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


_BINDING = ("Name", "Role", "Age", "Users*", "Groups*", "ServiceAccounts*")

CLUSTER = {
    "Node": (
        (
            "Name", "Status", "Roles", "Age", "Version",
            "Internal-IP*", "External-IP*", "OS-Image*", "Kernel-Version*", "Container-Runtime*",
        ),
        _node,
    ),
    "Namespace": (("Name", "Status", "Age"), _namespace),
    "Event": (
        (
            "Last Seen", "Type", "Reason", "Object", "Subobject*", "Source*", "Message",
            "First Seen*", "Count*", "Name*",
        ),
        _event,
    ),
    "ConfigMap": (("Name", "Data", "Age"), _config_map),
    "Secret": (("Name", "Type", "Data", "Age"), _secret),
    "ServiceAccount": (("Name", "Secrets", "Age"), _service_account),
    "Lease": (("Name", "Holder", "Age"), _lease),
    "ResourceQuota": (("Name", "Request", "Limit", "Age"), _quota),
    "PriorityClass": (("Name", "Value", "Global-Default", "Age", "PreemptionPolicy"), _priority_class),
    "PersistentVolumeClaim": (
        (
            "Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age",
            "VolumeMode*",
        ),
        _claim,
    ),
    "PersistentVolume": (
        (
            "Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass",
            "VolumeAttributesClass", "Reason", "Age", "VolumeMode*",
        ),
        _volume,
    ),
    "StorageClass": (
        ("Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"),
        _storage_class,
    ),
    "Role": (("Name", "Created At"), _dated),
    "ClusterRole": (("Name", "Created At"), _dated),
    "RoleBinding": (_BINDING, _binding),
    "ClusterRoleBinding": (_BINDING, _binding),
}  # fmt: skip
