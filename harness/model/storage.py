"""Storage: PersistentVolume, PersistentVolumeClaim (core/v1) and StorageClass (storage.k8s.io/v1).

Field names: Kubernetes API reference v1.32. What a volume is made of (csi, hostPath, ..) rides in `extra`.
"""

from __future__ import annotations

from harness.model.core import NodeSelector, ObjectReference, ResourceList, ResourceRequirements
from harness.model.meta import LabelSelector, ObjectMeta
from harness.model.wire import Wire


class VolumeNodeAffinity(Wire, frozen=True, kw_only=True):
    required: NodeSelector | None = None


class PersistentVolumeSpec(Wire, frozen=True, kw_only=True):
    capacity: ResourceList = {}
    access_modes: tuple[str, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = ""  # Retain, Delete, Recycle
    storage_class_name: str = ""
    volume_mode: str = ""  # Filesystem, Block
    node_affinity: VolumeNodeAffinity | None = None


class PersistentVolumeStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""  # Available, Bound, Released, Failed
    message: str = ""
    reason: str = ""


class PersistentVolume(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: PersistentVolumeStatus = PersistentVolumeStatus()


class PersistentVolumeClaimSpec(Wire, frozen=True, kw_only=True):
    access_modes: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    resources: ResourceRequirements = ResourceRequirements()
    volume_name: str = ""
    storage_class_name: str | None = None  # None: the default class; '': no class at all
    volume_mode: str = ""


class PersistentVolumeClaimStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""  # Pending, Bound, Lost
    access_modes: tuple[str, ...] = ()
    capacity: ResourceList = {}


class PersistentVolumeClaim(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()


class TopologySelectorLabelRequirement(Wire, frozen=True, kw_only=True):
    key: str
    values: tuple[str, ...] = ()


class TopologySelectorTerm(Wire, frozen=True, kw_only=True):
    match_label_expressions: tuple[TopologySelectorLabelRequirement, ...] = ()


class StorageClass(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    provisioner: str = ""
    parameters: dict[str, str] = {}
    reclaim_policy: str = ""
    mount_options: tuple[str, ...] = ()
    allow_volume_expansion: bool | None = None
    volume_binding_mode: str = ""
    allowed_topologies: tuple[TopologySelectorTerm, ...] = ()
