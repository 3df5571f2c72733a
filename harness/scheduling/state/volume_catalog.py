"""The claims, volumes and storage classes that the scheduler has heard of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from harness.model.objects import Unstructured, kind_of
from harness.model.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from harness.model.volumes import claim_class, smallest_first, storage_bytes, suits, volume_class
from harness.scheduling.state.node_selectors import Requirement, requirements_of

Affinity: TypeAlias = tuple[tuple[Requirement, ...], ...] | None
"""Where a volume can be reached: terms of which one must hold; None where it can be reached from everywhere."""

_INTERNED = 1 << 16  # affinities

T = TypeVar("T")

_NOTHING: Mapping[str, PersistentVolume] = {}


class VolumeCatalog:
    """`version` grows with every change that could matter to a verdict."""

    def __init__(self) -> None:
        self.version = 0
        self.news: dict[str, None] | None = None  # keys of claims and names of volumes that changed, if anyone asks
        self.claims: dict[str, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.volume_limits: dict[str, dict[str, int]] = {}  # by node's name: volumes that a CSI driver attaches there
        self._open: dict[str, dict[str, PersistentVolume]] = {}  # without a claim, by class
        self._ordered: dict[str, tuple[PersistentVolume, ...]] = {}
        self._reserved: dict[str, dict[str, PersistentVolume]] = {}  # by the claim that they are for
        self._suiting: dict[tuple[object, ...], tuple[PersistentVolume, ...]] = {}
        self._suiting_at = -1
        self._interned: dict[Affinity, Affinity] = {}  # equal ones are one object
        self._affinities: dict[str, tuple[PersistentVolume, Affinity]] = {}

    def learn(self, obj: object, *, gone: bool = False) -> bool:
        """One object as it is now (`gone`: deleted); False when it is none of these kinds."""
        match obj:
            case PersistentVolumeClaim():
                _put(self.claims, obj.metadata.key, None if gone else obj)
            case PersistentVolume():
                self._volume(obj.metadata.name, None if gone else obj)
            case StorageClass():
                _put(self.classes, obj.metadata.name, None if gone else obj)
            case Unstructured() if kind_of(obj) == "CSINode":
                limits = {} if gone else _volume_limits(obj)
                _put(self.volume_limits, obj.metadata.name, limits or None)
                self.version += 1
                return True
            case _:
                return False
        self.version += 1
        if self.news is not None and not isinstance(obj, StorageClass):
            self.news[obj.metadata.key] = None
        return True

    def clear(self, kind: str) -> list[object]:
        """What is known of a kind, which is forgotten: its list is about to come anew."""
        found: dict[str, Sequence[object]] = {
            "PersistentVolumeClaim": list(self.claims.values()),
            "PersistentVolume": list(self.volumes.values()),
            "StorageClass": list(self.classes.values()),
        }
        for obj in found[kind]:
            self.learn(obj, gone=True)
        return list(found[kind])

    def suiting(self, claim: PersistentVolumeClaim) -> Sequence[PersistentVolume]:
        """Volumes that are for no claim and suit this one, the smallest first; found once for claims that ask alike."""
        if self._suiting_at != self.version:
            self._suiting_at = self.version
            self._suiting.clear()
        spec, name = claim.spec, claim_class(claim)
        asked = (name, storage_bytes(spec.resources.requests), spec.volume_mode, spec.access_modes)
        selector = None if spec.selector is None else msgspec.json.encode(spec.selector)
        found = self._suiting.get((*asked, selector))
        if found is None:
            found = self._suiting[(*asked, selector)] = tuple(v for v in self._open_of(name) if suits(v, claim))
        return found

    def _open_of(self, name: str) -> Sequence[PersistentVolume]:
        found = self._ordered.get(name)
        if found is None:
            found = self._ordered[name] = tuple(sorted(self._open.get(name, _NOTHING).values(), key=smallest_first))
        return found

    def reserved(self, claim: str) -> Sequence[PersistentVolume]:
        """Volumes that name this claim, the smallest first."""
        return sorted(self._reserved.get(claim, _NOTHING).values(), key=smallest_first)

    def affinity(self, volume: PersistentVolume) -> Affinity:
        name = volume.metadata.name
        found = self._affinities.get(name)
        if found is None or found[0].spec.node_affinity is not volume.spec.node_affinity:
            made = _affinity(volume)
            if len(self._interned) >= _INTERNED:
                self._interned.clear()
            found = self._affinities[name] = (volume, self._interned.setdefault(made, made))
        return found[1]

    def _volume(self, name: str, volume: PersistentVolume | None) -> None:
        old = self.volumes.get(name)
        if old is not None:
            self._shelf(old).pop(name, None)
            self._ordered.pop(volume_class(old), None)
        _put(self.volumes, name, volume)
        if volume is None:
            self._affinities.pop(name, None)
            return
        self._shelf(volume)[name] = volume
        self._ordered.pop(volume_class(volume), None)

    def _shelf(self, volume: PersistentVolume) -> dict[str, PersistentVolume]:
        reference = volume.spec.claim_ref
        if reference is None:
            return self._open.setdefault(volume_class(volume), {})
        return self._reserved.setdefault(f"{reference.namespace}/{reference.name}", {})


def _put(into: dict[str, T], key: str, value: T | None) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value


def _affinity(volume: PersistentVolume) -> Affinity:
    """Source: component-helpers/storage/volume CheckNodeAffinity: held against a node of which only labels are known,
    so a field is the empty text."""
    needed = volume.spec.node_affinity.required if volume.spec.node_affinity is not None else None
    if needed is None:
        return None
    terms: list[tuple[Requirement, ...]] = []
    for term in needed.node_selector_terms:
        found = requirements_of(term)
        if all(requirement.matches("") for requirement in found if requirement.field) and found:
            terms.append(tuple(requirement for requirement in found if not requirement.field))
    return tuple(terms)


def _volume_limits(csi_node: Unstructured) -> dict[str, int]:
    """Of a CSINode, by driver; a driver without a limit is left out."""
    out: dict[str, int] = {}
    for driver in ((csi_node.extra or {}).get("spec") or {}).get("drivers") or []:
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None:
            out[str(driver.get("name", ""))] = int(count)
    return out
