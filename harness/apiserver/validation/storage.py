"""What is wrong with volumes, claims and storage classes.

Source: pkg/apis/core/validation ValidatePersistentVolumeSpec, ValidatePersistentVolumeClaimSpec and their updates;
pkg/apis/storage/validation ValidateStorageClass.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.validation import names
from harness.apiserver.validation.affinity import node_selector_problems
from harness.apiserver.validation.causes import duplicate, forbidden, immutable, required, unsupported, wrong
from harness.model.core import ResourceList
from harness.model.status import Cause
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
SOURCES = frozenset(
    {"awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker"}
    | {"gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk"}
    | {"portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"}
)
"""Source: core/v1 PersistentVolumeSource."""


def persistent_volume(new: PersistentVolume, old: PersistentVolume | None) -> list[Cause]:
    spec = new.spec
    found = _modes(spec.access_modes, "spec.accessModes")
    if not spec.capacity:
        found.append(required("spec.capacity"))
    elif set(spec.capacity) != {"storage"}:
        found.append(unsupported("spec.capacity", sorted(spec.capacity)[0], ("storage",)))
    found += _positive(spec.capacity, "spec.capacity")
    _one_of(found, "spec.persistentVolumeReclaimPolicy", spec.persistent_volume_reclaim_policy, _RECLAIM_VOLUME)
    _one_of(found, "spec.volumeMode", spec.volume_mode, _VOLUME_MODES)
    if spec.storage_class_name and (why := names.name_problem("StorageClass", spec.storage_class_name)):
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


def persistent_volume_claim(new: PersistentVolumeClaim, old: PersistentVolumeClaim | None) -> list[Cause]:
    spec = new.spec
    found = _modes(spec.access_modes, "spec.accessModes")
    requests = spec.resources.requests
    if "storage" not in requests:
        found.append(required("spec.resources[storage]"))
    found += _positive(requests, "spec.resources")
    _one_of(found, "spec.volumeMode", spec.volume_mode, _VOLUME_MODES)
    if spec.storage_class_name and (why := names.name_problem("StorageClass", spec.storage_class_name)):
        found.append(wrong("spec.storageClassName", spec.storage_class_name, why))
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


def storage_class(new: StorageClass, old: StorageClass | None) -> list[Cause]:
    found: list[Cause] = []
    if not new.provisioner:
        found.append(required("provisioner", str(new.provisioner)))
    elif why := names.qualified_problem(new.provisioner.lower()):
        found.append(wrong("provisioner", new.provisioner, why))
    _one_of(found, "reclaimPolicy", new.reclaim_policy, ("Delete", "Retain"))
    _one_of(found, "volumeBindingMode", new.volume_binding_mode, ("Immediate", "WaitForFirstConsumer"))
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


_RECLAIM_VOLUME = ("Delete", "Recycle", "Retain")
_VOLUME_MODES = ("Block", "Filesystem")


def _modes(modes: tuple[str, ...], at: str) -> list[Cause]:
    if not modes:
        return [required(at, "at least 1 access mode is required")]
    found = [unsupported(at, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        found.append(forbidden(at, "may not use ReadWriteOncePod with other access modes"))
    return found


def _positive(amounts: ResourceList, at: str) -> list[Cause]:
    amount = amounts.get("storage")
    if amount is None or amount.milli > 0:
        return []
    return [wrong(f"{at}[storage]", str(amount), "must be greater than zero")]


def _one_of(found: list[Cause], at: str, value: str, known: tuple[str, ...]) -> None:
    if value and value not in known:
        found.append(unsupported(at, value, known))


STORAGE: dict[str, Callable[..., list[Cause]]] = {
    "PersistentVolume": persistent_volume,
    "PersistentVolumeClaim": persistent_volume_claim,
    "StorageClass": storage_class,
}
