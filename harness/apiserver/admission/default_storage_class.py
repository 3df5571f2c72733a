"""DefaultStorageClass: a claim that names no class gets the default one.

Source: plugin/pkg/admission/storage/storageclass/setdefault.
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.admission.plugin import AdmissionRequest, Plugin
from harness.apiserver.registry.lifecycle import replaced
from harness.model.storage import PersistentVolumeClaim
from harness.model.volumes import OLD_CLASS, default_class


class DefaultStorageClass(Plugin):
    def admit(self, request: AdmissionRequest) -> Any:
        claim: PersistentVolumeClaim = request.obj
        if claim.spec.storage_class_name is not None or OLD_CLASS in claim.metadata.annotations:
            return claim
        found = default_class(self.cache.objects("StorageClass").values())
        if found is None:
            return claim
        return replaced(claim, spec=replaced(claim.spec, storage_class_name=found.metadata.name))
