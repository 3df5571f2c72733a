"""The PersistentVolume binder: claims find volumes, volumes learn what became of their claims.

Source: pkg/controller/volume/persistentvolume (1.32): pv_controller.go syncClaim, syncVolume, bind; index.go.
A binding takes four writes, one after the other. Not modelled: Recycle, the protection of claims that are in use, and
deleters besides the provisioner's (provisioner.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from msgspec.structs import replace

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Instant, Outcome, Update, next_tick
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.model.volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    OLD_CLASS,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    WAIT_FOR_FIRST_CONSUMER,
    big_enough,
    bound_to,
    claim_class,
    default_class,
    is_for,
    smallest_first,
    suits,
    volume_class,
)

_CLAIM, _VOLUME = "claim/", "volume/"


class PersistentVolumeController(Reconciler):
    """Keys are 'claim/namespace/name' and 'volume/name'."""

    def __init__(self, name: str = "persistentvolume-binder") -> None:
        super().__init__(
            name,
            {
                "PersistentVolumeClaim": self._claim_changed,
                "PersistentVolume": self._volume_changed,
                "StorageClass": None,
            },
        )
        self._by_use = self.informer.index("PersistentVolume", _use_of)
        self._taken: dict[str, str] = {}  # volumes on their way to a claim: by name, the key of the claim

    def forget_all(self) -> None:
        super().forget_all()
        self._taken.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        claim = new if new is not None else old
        assert claim is not None
        key = claim.metadata.key
        if new is not None:
            self.queue.add(_CLAIM + key)
        for volume in self._by_use[_for(key)]:  # also the one whose claim has gone
            self.queue.add(_VOLUME + volume)
        if claim.spec.volume_name and claim.spec.volume_name not in self._by_use[_for(key)]:
            self.queue.add(_VOLUME + claim.spec.volume_name)

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new if new is not None else old
        assert volume is not None
        if new is not None:
            self.queue.add(_VOLUME + volume.metadata.name)
        reference = volume.spec.claim_ref
        if reference is not None:
            self.queue.add(f"{_CLAIM}{reference.namespace}/{reference.name}")

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        if key.startswith(_CLAIM):
            claim = self.informer.get("PersistentVolumeClaim", key.removeprefix(_CLAIM))
            if claim is not None:  # one that is being deleted, too: syncClaim (pv_controller.go, 1.34) does not ask
                if BIND_COMPLETED in claim.metadata.annotations:
                    self._bound(key, claim)
                else:
                    self._unbound(now, key, claim)
            return
        volume = self.informer.get("PersistentVolume", key.removeprefix(_VOLUME))
        if volume is not None:
            self._volume(key, volume)

    def settled(self, now: Instant, key: str, failures: Sequence[Outcome]) -> None:
        for volume in [name for name, claim in self._taken.items() if claim == key]:
            del self._taken[volume]
        super().settled(now, key, failures)

    # -- claims --------------------------------------------------------------------------------------------------------

    def _unbound(self, now: Instant, key: str, claim: PersistentVolumeClaim) -> None:
        """Source: syncUnboundClaim."""
        self.queue.add_at(key, next_tick(now, self.constants.pvclaimbinder_sync_period_ns, 0))
        if claim.spec.volume_name:
            volume = self.informer.get("PersistentVolume", claim.spec.volume_name)
            if volume is None:
                return
            if volume.spec.claim_ref is None:
                why = _mismatch(volume, claim)
                if why:
                    text = f'Cannot bind to requested volume "{volume.metadata.name}": {why}'
                    self.record(claim, "Warning", "VolumeMismatch", text)
                    return
            elif not is_for(volume, claim):
                return
            self._bind(key, volume, claim)
            return
        if claim.spec.storage_class_name is None and OLD_CLASS not in claim.metadata.annotations:
            # Source: assignDefaultStorageClass: the default class may have come after the claim.
            found = default_class(self.informer.objects("StorageClass").values())
            if found is not None:
                name = found.metadata.name
                self.write(key, Update(replace(claim, spec=replace(claim.spec, storage_class_name=name)), token=key))
                return
        name = claim_class(claim)
        storage_class: StorageClass | None = self.informer.get("StorageClass", name)
        late = storage_class is not None and storage_class.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER
        volume = self._match(claim, late)
        if volume is not None:
            self._bind(key, volume, claim)
        elif late and SELECTED_NODE not in claim.metadata.annotations:
            why = "waiting for first consumer to be created before binding"
            self.record(claim, "Normal", "WaitForFirstConsumer", why)
        elif name:
            self._provision(key, claim, storage_class)
        else:
            why = "no persistent volumes available for this claim and no storage class is set"
            self.record(claim, "Normal", "FailedBinding", why)

    def _match(self, claim: PersistentVolumeClaim, late: bool) -> PersistentVolume | None:
        """Of volumes that can be used in the ways asked for: one for this claim, else the smallest; those that can be
        used in fewer ways first. Of equal ones, where Kubernetes takes any, the first by name."""
        wanted = set(claim.spec.access_modes)
        mine = [
            volume
            for volume in self._by_use[_for(claim.metadata.key)].values()
            if is_for(volume, claim) and big_enough(volume, claim) and wanted <= set(volume.spec.access_modes)
        ]
        if not mine and not late:
            taken = self._taken
            open_ = self._by_use[_open(claim_class(claim))].values()
            mine = [volume for volume in open_ if volume.metadata.name not in taken and suits(volume, claim)]
        return min(mine, key=lambda v: (len(set(v.spec.access_modes)), *smallest_first(v)), default=None)

    def _provision(self, key: str, claim: PersistentVolumeClaim, storage_class: StorageClass | None) -> None:
        """Source: provisionClaim: whoever makes volumes of that class is told by an annotation."""
        if storage_class is None:
            why = f'storageclass.storage.k8s.io "{claim_class(claim)}" not found'
            self.record(claim, "Warning", "ProvisioningFailed", why)
            return
        maker = storage_class.provisioner
        if maker == NO_PROVISIONER:
            self.record(claim, "Warning", "ProvisioningFailed", f"no volume plugin matched name: {maker}")
            return
        if claim.metadata.annotations.get(STORAGE_PROVISIONER) != maker:
            annotations = {**claim.metadata.annotations, STORAGE_PROVISIONER: maker}
            told = replace(claim, metadata=replace(claim.metadata, annotations=annotations))
            self.write(key, Update(told, token=key))
        self.record(
            claim,
            "Normal",
            "ExternalProvisioning",
            f"Waiting for a volume to be created either by the external provisioner '{maker}' or manually by the system"
            " administrator. If volume creation is delayed, please verify that the provisioner is running and correctly"
            " registered.",
        )

    def _bind(self, key: str, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        """The next of the four writes. Source: bind: bindVolumeToClaim, updateVolumePhase, bindClaimToVolume, .."""
        meta, name = claim.metadata, volume.metadata.name
        reference = volume.spec.claim_ref
        if reference is None or reference.uid != meta.uid:
            self._taken[name] = key
            self.write(key, Update(bound_to(volume, claim), token=key))
            return
        if volume.status.phase != "Bound":
            self.write(key, Update(_with_phase(volume, "Bound"), "status", key))
            return
        if claim.spec.volume_name != name or BIND_COMPLETED not in meta.annotations:
            annotations = {**meta.annotations, BIND_COMPLETED: "yes"}
            if not claim.spec.volume_name:
                annotations[BOUND_BY_CONTROLLER] = "yes"
            spec = replace(claim.spec, volume_name=name)
            self.write(key, Update(replace(claim, metadata=replace(meta, annotations=annotations), spec=spec), "", key))
            return
        status = replace(
            claim.status, phase="Bound", access_modes=volume.spec.access_modes, capacity=volume.spec.capacity
        )
        if status != claim.status:
            self.write(key, Update(replace(claim, status=status), "status", key))

    def _bound(self, key: str, claim: PersistentVolumeClaim) -> None:
        """Source: syncBoundClaim."""
        volume: PersistentVolume | None = self.informer.get("PersistentVolume", claim.spec.volume_name)
        if volume is None:
            self._lost(
                key, claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            )
        elif volume.spec.claim_ref is None or is_for(volume, claim):
            self._bind(key, volume, claim)
        else:
            why = "Two claims are bound to the same volume, this one is bound incorrectly"
            self._lost(key, claim, "ClaimMisbound", why)

    def _lost(self, key: str, claim: PersistentVolumeClaim, reason: str, why: str) -> None:
        if claim.status.phase != "Lost":
            self.write(key, Update(replace(claim, status=replace(claim.status, phase="Lost")), "status", key))
            self.record(claim, "Warning", reason, why)

    # -- volumes -------------------------------------------------------------------------------------------------------

    def _volume(self, key: str, volume: PersistentVolume) -> None:
        """Source: syncVolume."""
        reference = volume.spec.claim_ref
        if reference is None or not reference.uid:
            self._phase(key, volume, "Available")
            return
        at = f"{reference.namespace}/{reference.name}"
        claim: PersistentVolumeClaim | None = self.informer.get("PersistentVolumeClaim", at)
        if claim is None or claim.metadata.uid != reference.uid:
            if volume.status.phase != "Failed":
                self._phase(key, volume, "Released")  # what is to be deleted then is its provisioner's
        elif not claim.spec.volume_name:
            self.queue.add(_CLAIM + at)
        elif claim.spec.volume_name == volume.metadata.name:
            if BIND_COMPLETED in claim.metadata.annotations:
                self._phase(key, volume, "Bound")
        elif PROVISIONED_BY in volume.metadata.annotations and volume.spec.persistent_volume_reclaim_policy == "Delete":
            self._phase(key, volume, "Released")
        else:
            self._unbind(key, volume)

    def _unbind(self, key: str, volume: PersistentVolume) -> None:
        """Its claim chose another volume. Source: unbindVolume."""
        meta, reference = volume.metadata, volume.spec.claim_ref
        if BOUND_BY_CONTROLLER in meta.annotations:
            annotations = {name: text for name, text in meta.annotations.items() if name != BOUND_BY_CONTROLLER}
            meta, reference = replace(meta, annotations=annotations), None
        else:
            assert reference is not None
            reference = replace(reference, uid="")
        self.write(key, Update(replace(volume, metadata=meta, spec=replace(volume.spec, claim_ref=reference)), "", key))

    def _phase(self, key: str, volume: PersistentVolume, phase: str) -> None:
        if volume.status.phase != phase:
            self.write(key, Update(_with_phase(volume, phase), "status", key))


def _for(claim: str) -> Hashable:
    return ("for", claim)


def _open(name: str) -> Hashable:
    return ("open", name)


def _use_of(volume: PersistentVolume) -> tuple[Hashable, ...]:
    reference = volume.spec.claim_ref
    if reference is None:
        return (_open(volume_class(volume)),)
    return (_for(f"{reference.namespace}/{reference.name}"),)


def _with_phase(volume: PersistentVolume, phase: str) -> PersistentVolume:
    return replace(volume, status=replace(volume.status, phase=phase))


def _mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Source: checkVolumeSatisfyClaim."""
    if not big_enough(volume, claim):
        if volume.metadata.deletion_timestamp is not None:
            return "the volume is marked for deletion"
        if volume.spec.volume_mode != claim.spec.volume_mode:
            return "incompatible volumeMode"
        return "requested PV is too small"
    if volume_class(volume) != claim_class(claim):
        return "storageClassName does not match"
    return "" if set(claim.spec.access_modes) <= set(volume.spec.access_modes) else "incompatible accessMode"
