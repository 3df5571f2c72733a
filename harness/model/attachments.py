"""Volumes that are attached to nodes: which ones need it, by what names, and the VolumeAttachment that says so.

Source: pkg/volume/csi csi_plugin.go CanAttach, csi_attacher.go getAttachmentName; pkg/volume/util GetUniqueVolumeName;
pkg/controller/volume/attachdetach/util IsMultiAttachAllowed (1.34). Volumes inside a pod's own spec (csi there is
ephemeral) and in-tree ones that migrate to CSI are not attached.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from harness.model.core import Pod
from harness.model.meta import ApiObject, ObjectMeta
from harness.model.objects import KINDS, Unstructured
from harness.model.storage import PersistentVolume, PersistentVolumeClaim
from harness.model.volumes import claims_of

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Key of the taint by which somebody says that nothing runs on a node. Source: core/v1 TaintNodeOutOfService."""


_DRIVER = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", re.IGNORECASE)
"""Names of CSI drivers. Provisioners with a slash in their name (rancher.io/local-path) are none: what they make is a
folder of a node or of an NFS server. Source: pkg/apis/core/validation ValidateCSIDriverName."""


def csi_source(volume: PersistentVolume) -> tuple[str, str] | None:
    """(driver, handle) of a volume of a CSI driver."""
    source = (volume.spec.extra or {}).get("csi")
    if not isinstance(source, dict) or not _DRIVER.fullmatch(str(source.get("driver", ""))):
        return None
    return str(source["driver"]), str(source.get("volumeHandle", ""))


def needs_attaching(volume: PersistentVolume, drivers: Mapping[str, Any]) -> bool:
    """`drivers`: CSIDrivers by name. One that is not there attaches, as one that does not say otherwise."""
    source = csi_source(volume)
    if source is None:
        return False
    driver = drivers.get(source[0])
    spec = {} if driver is None else (driver.extra or {}).get("spec") or {}
    return spec.get("attachRequired") is not False


def unique_name(volume: PersistentVolume) -> str:
    """As in a node's status; '' of what no CSI driver made."""
    source = csi_source(volume)
    return "" if source is None else f"kubernetes.io/csi/{source[0]}^{source[1]}"


def may_be_shared(volume: PersistentVolume) -> bool:
    """Whether it may be attached to several nodes at once."""
    modes = volume.spec.access_modes
    return not modes or "ReadWriteMany" in modes or "ReadOnlyMany" in modes


def volume_of_claim(claim: PersistentVolumeClaim | None, volumes: Mapping[str, ApiObject]) -> PersistentVolume | None:
    """Where both sides say that they are bound. Source: attachdetach/util getPVCFromCache, getPVSpecFromCache."""
    if claim is None or claim.status.phase != "Bound" or not claim.spec.volume_name:
        return None
    volume: Any = volumes.get(claim.spec.volume_name)
    if volume is None or volume.spec.claim_ref is None or volume.spec.claim_ref.uid != claim.metadata.uid:
        return None
    found: PersistentVolume = volume
    return found


def volumes_to_attach(
    pod: Pod, claims: Mapping[str, Any], volumes: Mapping[str, Any], drivers: Mapping[str, Any]
) -> list[PersistentVolume]:
    """That a pod uses, each once, in the order of the pod's."""
    found = (volume_of_claim(claims.get(key), volumes) for key in dict.fromkeys(claims_of(pod)))
    return [volume for volume in found if volume is not None and needs_attaching(volume, drivers)]


def attachment_of(volume: PersistentVolume, node: str) -> Unstructured:
    """The VolumeAttachment of a CSI volume to a node, not attached yet."""
    source = csi_source(volume)
    assert source is not None
    driver, handle = source
    kind = KINDS["VolumeAttachment"]
    return Unstructured(
        metadata=ObjectMeta(name=f"csi-{sha256(f'{handle}{driver}{node}'.encode()).hexdigest()}"),
        extra={
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "spec": {
                "attacher": driver,
                "nodeName": node,
                "source": {"persistentVolumeName": volume.metadata.name},
            },
            "status": {"attached": False},
        },
    )


def place_of(attachment: Unstructured) -> tuple[str, str, str]:
    """(volume, node, driver) of a VolumeAttachment; the volume is '' where it is no PersistentVolume."""
    spec = (attachment.extra or {}).get("spec") or {}
    source = spec.get("source") or {}
    return str(source.get("persistentVolumeName") or ""), str(spec.get("nodeName", "")), str(spec.get("attacher", ""))


def is_attached(attachment: Unstructured) -> bool:
    status = (attachment.extra or {}).get("status") or {}
    return status.get("attached") is True
