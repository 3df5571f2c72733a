"""What is wrong with a claim's spec: of a PersistentVolumeClaim, or of the template of an ephemeral volume.

Source: pkg/apis/core/validation ValidatePersistentVolumeClaimSpec.
"""

from __future__ import annotations

from harness.apiserver.validation import names
from harness.apiserver.validation.causes import forbidden, required, unsupported, wrong
from harness.model.core import ResourceList
from harness.model.status import Cause
from harness.model.storage import PersistentVolumeClaimSpec

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def claim_spec_problems(spec: PersistentVolumeClaimSpec, at: str) -> list[Cause]:
    found = mode_problems(spec.access_modes, f"{at}.accessModes")
    requests = spec.resources.requests
    if "storage" not in requests:
        found.append(required(f"{at}.resources[storage]"))
    found += positive_storage(requests, f"{at}.resources")
    found += names.selector_problems(spec.selector, f"{at}.selector")
    one_of(found, f"{at}.volumeMode", spec.volume_mode, VOLUME_MODES)
    if spec.storage_class_name and (why := names.subdomain_problem(spec.storage_class_name)):
        found.append(wrong(f"{at}.storageClassName", spec.storage_class_name, why))
    return found


def mode_problems(modes: tuple[str, ...], at: str) -> list[Cause]:
    if not modes:
        return [required(at, "at least 1 access mode is required")]
    found = [unsupported(at, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        found.append(forbidden(at, "may not use ReadWriteOncePod with other access modes"))
    return found


def positive_storage(amounts: ResourceList, at: str) -> list[Cause]:
    amount = amounts.get("storage")
    if amount is None or amount.milli > 0:
        return []
    return [wrong(f"{at}[storage]", str(amount), "must be greater than zero")]


def one_of(found: list[Cause], at: str, value: str, known: tuple[str, ...]) -> None:
    if value and value not in known:
        found.append(unsupported(at, value, known))
