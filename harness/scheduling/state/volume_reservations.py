"""What is taken of the volumes: which placed pods use a claim, and what was promised to pods that are being bound.

Source: kube-scheduler 1.32 plugins/volumebinding binder.go, assume_cache.go; plugins/volumerestrictions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.model.volumes import (
    SELECTED_NODE,
    WAIT_FOR_FIRST_CONSUMER,
    big_enough,
    claim_class,
    fully_bound,
    is_for,
    storage_bytes,
    volume_class,
)
from harness.scheduling.state.volume_catalog import VolumeCatalog

UNBOUND_IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"
"""Source: kube-scheduler 1.32 plugins/volumebinding PreFilter."""


@dataclass(frozen=True, slots=True)
class ClaimToBind:
    """A claim that waits for its first consumer, and what could be bound to it."""

    claim: PersistentVolumeClaim
    storage_class: StorageClass
    prebound: PersistentVolume | None  # the one that is for it already
    candidates: tuple[PersistentVolume, ...]  # else one of these, the smallest first
    node: str  # where it is to be made, once that was decided


@dataclass(frozen=True, slots=True)
class PodVolumeClaims:
    """What a pod's claims come to. `rejection`: why it is held against no node at all."""

    rejection: str = ""
    bound: tuple[PersistentVolume, ...] = ()
    to_bind: tuple[ClaimToBind, ...] = ()  # the smallest claim first


@dataclass(frozen=True, slots=True)
class VolumeReservation:
    """To one pod: volumes for its claims, and claims whose volume is to be made for `node`."""

    node: str
    bindings: tuple[tuple[PersistentVolumeClaim, PersistentVolume], ...] = ()
    provisions: tuple[PersistentVolumeClaim, ...] = ()


@dataclass(slots=True)
class VolumeReservations:
    """Of one cluster state. `version` grows with every change of its own; what is known of the API is in the book."""

    catalog: VolumeCatalog
    version: int = 0
    _users: dict[str, dict[str, None]] = field(default_factory=dict)  # placed pods by claim
    _reservations: dict[str, VolumeReservation] = field(default_factory=dict)  # by pod
    _taken: dict[str, str] = field(default_factory=dict)  # volume -> claim
    _given: dict[str, str] = field(default_factory=dict)  # claim -> volume
    _chosen: dict[str, str] = field(default_factory=dict)  # claim -> node that its volume is to be made for
    _sharers: dict[str, dict[str, None]] = field(default_factory=dict)  # pods that were promised a claim
    _wanted: dict[tuple[str, ...], tuple[tuple[int, int], PodVolumeClaims]] = field(default_factory=dict)

    def copy(self) -> VolumeReservations:
        twin = VolumeReservations(self.catalog, self.version)
        twin._users = {claim: dict(pods) for claim, pods in self._users.items()}
        twin.copy_reservations(self)
        return twin

    def copy_reservations(self, old: VolumeReservations) -> None:
        """The reservations of `old` stand; who uses what is learned from the pods themselves."""
        self._reservations, self._taken = dict(old._reservations), dict(old._taken)
        self._given, self._chosen = dict(old._given), dict(old._chosen)
        self._sharers = {claim: dict(pods) for claim, pods in old._sharers.items()}
        self.version += 1

    @property
    def seen(self) -> tuple[int, int]:
        """Versions of everything that verdicts on volumes follow from."""
        return self.catalog.version, self.version

    # -- users ---------------------------------------------------------------------------------------------------------

    def add_user(self, claims: tuple[str, ...], pod: str) -> None:
        for claim in claims:
            self._users.setdefault(claim, {})[pod] = None
        self.version += 1

    def remove_user(self, claims: tuple[str, ...], pod: str) -> None:
        for claim in claims:
            users = self._users.get(claim)
            if users is not None:
                users.pop(pod, None)
                if not users:
                    del self._users[claim]
        self.version += 1

    def in_use(self, claims: tuple[str, ...]) -> bool:
        """Whether a claim that one pod alone may use is used."""
        for key in claims:
            claim = self.catalog.claims.get(key)
            if claim is not None and "ReadWriteOncePod" in claim.spec.access_modes and key in self._users:
                return True
        return False

    # -- promises ------------------------------------------------------------------------------------------------------

    def reserve(self, pod: str, what: VolumeReservation) -> None:
        self._reservations[pod] = what
        for claim in (*(claim for claim, _ in what.bindings), *what.provisions):
            self._sharers.setdefault(claim.metadata.key, {})[pod] = None
        for claim, volume in what.bindings:
            self._taken[volume.metadata.name] = claim.metadata.key
            self._given[claim.metadata.key] = volume.metadata.name
        for claim in what.provisions:
            self._chosen[claim.metadata.key] = what.node
        self.version += 1

    def reservation_of(self, pod: str) -> VolumeReservation | None:
        return self._reservations.get(pod)

    def release(self, pod: str) -> None:
        """Nothing of what the pod was promised is held for it any longer: it is bound, or will not be."""
        what = self._reservations.pop(pod, None)
        if what is None:
            return
        for claim, volume in what.bindings:
            if self._last_of(claim.metadata.key, pod):
                self._taken.pop(volume.metadata.name, None)
                self._given.pop(claim.metadata.key, None)
        for claim in what.provisions:
            if self._last_of(claim.metadata.key, pod):
                self._chosen.pop(claim.metadata.key, None)
        self.version += 1

    def _last_of(self, claim: str, pod: str) -> bool:
        """Whether nobody else was promised the same claim."""
        pods = self._sharers[claim]
        del pods[pod]
        if not pods:
            del self._sharers[claim]
        return not pods

    # -- what claims come to -------------------------------------------------------------------------------------------

    def pod_volume_claims(self, claims: tuple[str, ...]) -> PodVolumeClaims:
        """Of claims by 'namespace/name', in the order of the pod's volumes."""
        known = self._wanted.get(claims)
        if known is not None and known[0] == self.seen:
            return known[1]
        if len(self._wanted) >= 4096:
            self._wanted.clear()
        found = self._read(claims)
        self._wanted[claims] = (self.seen, found)
        return found

    def _read(self, keys: tuple[str, ...]) -> PodVolumeClaims:
        catalog = self.catalog
        claims = []
        for key in keys:
            claim = catalog.claims.get(key)
            why = _amiss(key, claim)
            if why:
                return PodVolumeClaims(why)
            assert claim is not None
            claims.append(claim)
        bound: list[PersistentVolume] = []
        to_bind: list[ClaimToBind] = []
        missing = ""
        for claim in claims:
            if fully_bound(claim):
                volume = catalog.volumes.get(claim.spec.volume_name)
                if volume is not None:
                    bound.append(volume)
                elif not missing:  # Source: plugins/volumezone PreFilter, after VolumeBinding's
                    missing = f'persistentvolume "{claim.spec.volume_name}" not found'
                continue
            storage_class = catalog.classes.get(claim_class(claim))
            late = storage_class is not None and storage_class.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER
            if storage_class is None or not late or claim.spec.volume_name:
                return PodVolumeClaims(UNBOUND_IMMEDIATE)
            to_bind.append(self._to_bind(claim, storage_class))
        if missing:
            return PodVolumeClaims(missing)
        to_bind.sort(key=lambda item: storage_bytes(item.claim.spec.resources.requests))
        return PodVolumeClaims("", tuple(bound), tuple(to_bind))

    def _to_bind(self, claim: PersistentVolumeClaim, storage_class: StorageClass) -> ClaimToBind:
        """Source: binder.go FindPodVolumes, component-helpers FindMatchingVolume."""
        catalog, key, name = self.catalog, claim.metadata.key, claim_class(claim)
        node = self._chosen.get(key) or claim.metadata.annotations.get(SELECTED_NODE, "")
        if node:
            return ClaimToBind(claim, storage_class, None, (), node)
        given = catalog.volumes.get(self._given.get(key, ""))
        if given is None:
            mine = (v for v in catalog.reserved(key) if is_for(v, claim) and big_enough(v, claim))
            given = next((volume for volume in mine if volume_class(volume) == name), None)
        if given is not None:
            return ClaimToBind(claim, storage_class, given, (), "")
        taken = self._taken
        fitting = tuple([v for v in catalog.suiting(claim) if v.metadata.name not in taken])
        return ClaimToBind(claim, storage_class, None, fitting, "")


def not_found(claim: str) -> str:
    return f'persistentvolumeclaim "{claim.rpartition("/")[2]}" not found'


def _amiss(key: str, claim: PersistentVolumeClaim | None) -> str:
    """Source: plugins/volumebinding podHasPVCs."""
    name = key.rpartition("/")[2]
    if claim is None:
        return not_found(key)
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    return ""
