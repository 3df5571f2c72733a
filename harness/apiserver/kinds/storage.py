"""PersistentVolume, PersistentVolumeClaim, StorageClass.

Source: pkg/apis/core/validation ValidatePersistentVolumeSpec, ValidatePersistentVolumeClaimSpec and their updates;
pkg/apis/storage/validation ValidateStorageClass; v1/defaults.go of both.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.admission.default_storage_class import DefaultStorageClass
from harness.apiserver.admission.quota import Usage
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import Moment, created, name_of, part
from harness.apiserver.validation import names
from harness.apiserver.validation.affinity import node_selector_problems
from harness.apiserver.validation.causes import (
    duplicate,
    forbidden,
    immutable,
    required,
    unsupported,
    wrong,
)
from harness.apiserver.validation.claims import (
    VOLUME_MODES,
    claim_spec_problems,
    mode_problems,
    one_of,
    positive_storage,
)
from harness.model.meta import ApiObject, ObjectMeta
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.model.wire import Json

_RECLAIM = ("Delete", "Recycle", "Retain")
SOURCES = frozenset(
    {"awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker"}
    | {"gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk"}
    | {"portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"}
)
"""Source: core/v1 PersistentVolumeSource."""


def _default_volume(obj: PersistentVolume) -> PersistentVolume:
    spec = obj.spec
    policy = spec.persistent_volume_reclaim_policy or "Retain"
    mode = spec.volume_mode or "Filesystem"
    return replaced(obj, spec=replaced(spec, persistent_volume_reclaim_policy=policy, volume_mode=mode))


def _volume_problems(new: PersistentVolume, old: PersistentVolume | None) -> list[Cause]:
    spec = new.spec
    found = mode_problems(spec.access_modes, "spec.accessModes")
    if not spec.capacity:
        found.append(required("spec.capacity"))
    elif set(spec.capacity) != {"storage"}:
        found.append(unsupported("spec.capacity", sorted(spec.capacity)[0], ("storage",)))
    found += positive_storage(spec.capacity, "spec.capacity")
    one_of(
        found,
        "spec.persistentVolumeReclaimPolicy",
        spec.persistent_volume_reclaim_policy,
        _RECLAIM,
    )
    one_of(found, "spec.volumeMode", spec.volume_mode, VOLUME_MODES)
    if spec.storage_class_name and (why := names.subdomain_problem(spec.storage_class_name)):
        found.append(wrong("spec.storageClassName", spec.storage_class_name, why))
    sources = sorted(SOURCES & set(spec.extra or {}))
    if not sources:
        found.append(required("spec", "must specify a volume type"))
    found += [forbidden(f"spec.{name}", "may not specify more than 1 volume type") for name in sources[1:]]
    needed = spec.node_affinity.required if spec.node_affinity is not None else None
    if needed is not None:
        found += node_selector_problems(needed, "spec.nodeAffinity.required")
    elif "local" in sources:
        found.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    if old is not None:
        was = old.spec
        if {name: (spec.extra or {})[name] for name in sources} != {
            name: value for name, value in (was.extra or {}).items() if name in SOURCES
        }:
            found.append(forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable"))
        if spec.volume_mode != was.volume_mode:
            found.append(immutable("spec.volumeMode", spec.volume_mode))
        if was.node_affinity is not None and spec.node_affinity != was.node_affinity:
            found.append(
                wrong("spec.nodeAffinity", "", "field is immutable, except for updating from beta label to GA")
            )
    return found


def _on_create(obj: ApiObject, meta: ObjectMeta) -> Any:
    return replaced(obj, metadata=meta, status=type(obj.status)(phase="Pending"))


_MODE_WORDS = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _volume_cells(obj: Json, moment: Moment) -> list[Any]:
    spec = obj.get("spec") or {}
    claim = spec.get("claimRef") or {}
    return [
        name_of(obj),
        part(spec, "capacity", "storage") or "",
        ",".join(_MODE_WORDS.get(mode, mode) for mode in spec.get("accessModes") or []),
        spec.get("persistentVolumeReclaimPolicy") or "Retain",
        part(obj, "status", "phase") or "Available",
        f"{claim.get('namespace', '')}/{claim['name']}" if claim.get("name") else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        part(obj, "status", "reason") or "",
        moment.age(created(obj)),
        spec.get("volumeMode") or "Filesystem",
    ]


def _default_claim(obj: PersistentVolumeClaim) -> PersistentVolumeClaim:
    return replaced(obj, spec=replaced(obj.spec, volume_mode=obj.spec.volume_mode or "Filesystem"))


def _claim_problems(new: PersistentVolumeClaim, old: PersistentVolumeClaim | None) -> list[Cause]:
    spec = new.spec
    found = claim_spec_problems(spec, "spec")
    requests = spec.resources.requests
    if old is not None and spec != old.spec:
        was = old.spec
        # A volume and a class may be given once, by whoever binds the claim; a bound claim may ask for more.
        allowed = replaced(
            was,
            volume_name=was.volume_name or spec.volume_name,
            storage_class_name=spec.storage_class_name if was.storage_class_name is None else was.storage_class_name,
            resources=spec.resources if old.status.phase == "Bound" else was.resources,
        )
        if spec != allowed:
            why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound"
            found.append(forbidden("spec", f"{why} claims"))
        smaller = requests.get("storage"), was.resources.requests.get("storage")
        if smaller[0] is not None and smaller[1] is not None and smaller[0].milli < smaller[1].milli:
            found.append(forbidden("spec.resources.requests.storage", "field can not be less than previous value"))
    return found


def _claim_usage(claim: PersistentVolumeClaim, now: int) -> Usage:
    """Source: evaluator/core/persistent_volume_claims.go."""
    asked = claim.spec.resources.requests.get("storage")
    milli = 0 if asked is None else asked.milli
    used: Usage = {"persistentvolumeclaims": 1000, "requests.storage": milli}
    name = claim.spec.storage_class_name
    if name:
        used[f"{name}.storageclass.storage.k8s.io/requests.storage"] = milli
        used[f"{name}.storageclass.storage.k8s.io/persistentvolumeclaims"] = 1000
    return used


def _claim_cells(obj: Json, moment: Moment) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    phase = status.get("phase") or "Pending"
    return [
        name_of(obj),
        "Terminating" if part(obj, "metadata", "deletionTimestamp") else phase,
        spec.get("volumeName") or "",
        part(status, "capacity", "storage") or "" if bound else "",
        ",".join(_MODE_WORDS.get(mode, mode) for mode in status.get("accessModes") or []) if bound else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        moment.age(created(obj)),
        spec.get("volumeMode") or "Filesystem",
    ]


def _default_class(obj: StorageClass) -> StorageClass:
    return replaced(
        obj,
        reclaim_policy=obj.reclaim_policy or "Delete",
        volume_binding_mode=obj.volume_binding_mode or "Immediate",
    )


def _class_problems(new: StorageClass, old: StorageClass | None) -> list[Cause]:
    found: list[Cause] = []
    if not new.provisioner:
        found.append(required("provisioner", str(new.provisioner)))
    elif why := names.qualified_problem(new.provisioner.lower()):
        found.append(wrong("provisioner", new.provisioner, why))
    one_of(found, "reclaimPolicy", new.reclaim_policy, ("Delete", "Retain"))
    one_of(found, "volumeBindingMode", new.volume_binding_mode, ("Immediate", "WaitForFirstConsumer"))
    for index, term in enumerate(new.allowed_topologies):
        seen: set[str] = set()
        for number, requirement in enumerate(term.match_label_expressions):
            at = f"allowedTopologies[{index}].matchLabelExpressions[{number}]"
            if not requirement.values:
                found.append(required(f"{at}.values"))
            if len(set(requirement.values)) < len(requirement.values):
                again = next(v for i, v in enumerate(requirement.values) if v in requirement.values[:i])
                found.append(duplicate(f"{at}.values", again))
            if why := names.qualified_problem(requirement.key):
                found.append(wrong(f"{at}.key", requirement.key, why))
            if requirement.key in seen:
                found.append(duplicate(f"{at}.key", requirement.key))
            seen.add(requirement.key)
    if old is not None:
        if new.parameters != old.parameters:
            found.append(forbidden("parameters", "updates to parameters are forbidden."))
        if new.provisioner != old.provisioner:
            found.append(forbidden("provisioner", "updates to provisioner are forbidden."))
        if new.reclaim_policy != old.reclaim_policy:
            found.append(forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
        if new.volume_binding_mode != old.volume_binding_mode:
            found.append(immutable("volumeBindingMode", new.volume_binding_mode))
    return found


def _class_cells(obj: Json, moment: Moment) -> list[Any]:
    default = (part(obj, "metadata", "annotations") or {}).get("storageclass.kubernetes.io/is-default-class")
    return [
        name_of(obj) + (" (default)" if default == "true" else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        moment.age(created(obj)),
    ]


def _attachment_cells(obj: Json, moment: Moment) -> list[Any]:
    """Source: pkg/printers/internalversion/printers.go printVolumeAttachment."""
    spec = obj.get("spec") or {}
    return [
        name_of(obj),
        spec.get("attacher") or "",
        part(spec, "source", "persistentVolumeName") or "",
        spec.get("nodeName") or "",
        part(obj, "status", "attached") or False,
        moment.age(created(obj)),
    ]


_CLAIM_COLUMNS = (
    "Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age",
    "VolumeMode*",
)  # fmt: skip
_VOLUME_COLUMNS = (
    "Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass", "VolumeAttributesClass",
    "Reason", "Age", "VolumeMode*",
)  # fmt: skip
_CLASS_COLUMNS = ("Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age")
_ATTACHMENT_COLUMNS = ("Name", "Attacher", "PV", "Node", "Attached", "Age")

RULES = (
    KindRules(
        kind=KINDS["PersistentVolume"],
        defaults=_default_volume,
        validate=_volume_problems,
        on_create=_on_create,
        returned_when_deleted=True,
        table=Table(_VOLUME_COLUMNS, _volume_cells),
    ),
    KindRules(
        kind=KINDS["PersistentVolumeClaim"],
        defaults=_default_claim,
        admission=(DefaultStorageClass,),
        validate=_claim_problems,
        on_create=_on_create,
        returned_when_deleted=True,
        quota_name="persistentvolumeclaims",
        usage=_claim_usage,
        table=Table(_CLAIM_COLUMNS, _claim_cells),
    ),
    KindRules(
        kind=KINDS["StorageClass"],
        defaults=_default_class,
        validate=_class_problems,
        returned_when_deleted=True,
        table=Table(_CLASS_COLUMNS, _class_cells),
    ),
    KindRules(kind=KINDS["VolumeAttachment"], table=Table(_ATTACHMENT_COLUMNS, _attachment_cells)),
)
