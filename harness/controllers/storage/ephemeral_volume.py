"""The ephemeral volume controller: a claim for each ephemeral volume of a pod, owned by the pod and going with it.

Source: pkg/controller/volume/ephemeral (1.32). Pods are watched from when there is a storage class: before that,
no such claim could be bound to anything.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from harness.controllers.runtime.pods import owner_reference
from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Create, Instant, Subscribe
from harness.model.core import Pod
from harness.model.meta import ObjectMeta
from harness.model.storage import PersistentVolumeClaim, PersistentVolumeClaimSpec, StorageClass
from harness.model.volumes import ephemeral_name
from harness.model.wire import decode


class EphemeralVolumeController(Reconciler):
    """Keys are 'namespace/name' of pods."""

    def __init__(self, name: str = "ephemeral-volume-controller") -> None:
        super().__init__(
            name,
            {
                "StorageClass": self._class_changed,
                "Pod": self._pod_changed,
                "PersistentVolumeClaim": self._claim_changed,
            },
            keeps={"Pod": lambda pod: bool(_ephemeral(pod))},
        )
        self.watches = ("StorageClass",)
        self._subscribed = False

    def forget_all(self) -> None:
        super().forget_all()
        self._subscribed = False

    def _class_changed(self, old: StorageClass | None, new: StorageClass | None) -> None:
        if not self._subscribed:
            self._subscribed = True
            self._effects.append(Subscribe(("PersistentVolumeClaim", "Pod")))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None:
            self.queue.add(new.metadata.key)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        owner = old.metadata.controller() if new is None and old is not None else None
        if old is not None and owner is not None and owner.kind == "Pod":
            self.queue.add(f"{old.metadata.namespace}/{owner.name}")

    def reconcile(self, now: Instant, key: str) -> None:
        pod: Pod | None = self.informer.get("Pod", key)
        if pod is None or pod.metadata.deletion_timestamp is not None or pod.status.phase in ("Succeeded", "Failed"):
            return
        for volume in _ephemeral(pod):
            name = ephemeral_name(pod, volume)
            if self.informer.get("PersistentVolumeClaim", f"{pod.metadata.namespace}/{name}") is None:
                self.write(key, Create(_claim_for(pod, volume, name), key))


def _ephemeral(pod: Pod) -> list[dict[str, Any]]:
    given: list[dict[str, Any]] = (pod.spec.extra or {}).get("volumes") or []
    return [volume for volume in given if isinstance(volume.get("ephemeral"), dict)]


def _claim_for(pod: Pod, volume: dict[str, Any], name: str) -> PersistentVolumeClaim:
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    meta = decode(ObjectMeta, template.get("metadata") or {})
    return PersistentVolumeClaim(
        metadata=replace(
            meta, name=name, namespace=pod.metadata.namespace, owner_references=(owner_reference(pod, "v1", "Pod"),)
        ),
        spec=decode(PersistentVolumeClaimSpec, template.get("spec") or {}),
    )
