"""Dynamic provisioning: the external provisioner of every storage class that has one, as one component.

Source: sigs.k8s.io/sig-storage-lib-external-provisioner controller.go, kubernetes-csi/external-provisioner topology.go.
A volume takes PROVISIONING_NS to make and can be reached from where its topology says: that of the selected node, or,
for immediate binding, one of those that the nodes have, drawn by the claim's name as the original draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec.structs import replace

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import SECOND, Create, Delete, Instant, Outcome, Subscribe, Update
from harness.engine.latency import Constant, Latency
from harness.model.attachments import place_of
from harness.model.core import Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from harness.model.meta import ObjectMeta
from harness.model.objects import Unstructured
from harness.model.storage import (
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    StorageClass,
    VolumeNodeAffinity,
)
from harness.model.volumes import (
    NO_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    WAIT_FOR_FIRST_CONSUMER,
    ZONE,
    claim_class,
    claim_reference,
)
from harness.model.whole_numbers import whole_number

PROVISIONING_NS = 3 * SECOND
"""How long a volume takes to make: of the order of seconds, as network disks take. Modelled, not measured."""

Topology = tuple[tuple[str, str], ...]
"""(label, value), by label."""


class ProvisionerController(Reconciler):
    """Keys are 'namespace/name' of claims, and 'volume/name' of volumes that are to go."""

    def __init__(
        self, name: str = "external-provisioner", latency: Latency | None = None, rng: Random | None = None
    ) -> None:
        super().__init__(
            name,
            {
                "PersistentVolumeClaim": self._claim_changed,
                "PersistentVolume": self._volume_changed,
                "StorageClass": None,
                "Node": None,
                "VolumeAttachment": self._attachment_changed,
            },
        )
        self.watches = ("PersistentVolumeClaim", "PersistentVolume", "StorageClass", "VolumeAttachment")
        self._attachments = self.informer.index("VolumeAttachment", lambda attachment: (place_of(attachment)[0],))
        self._latency = latency if latency is not None else Constant(PROVISIONING_NS)
        self._rng = rng if rng is not None else Random(0)
        self._subscribed = False
        self._due: dict[str, Instant] = {}  # uid of a claim whose volume is being made: until when

    def forget_all(self) -> None:
        super().forget_all()
        self._subscribed = False
        self._due.clear()

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        if new is None:
            assert old is not None
            self._due.pop(old.metadata.uid, None)
        elif STORAGE_PROVISIONER in new.metadata.annotations and not new.spec.volume_name:
            if not self._subscribed:
                self._subscribed = True
                self._effects.append(Subscribe(("Node",)))
            self.queue.add(new.metadata.key)

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        if new is not None and new.status.phase == "Released":
            self.queue.add(f"volume/{new.metadata.name}")

    def _attachment_changed(self, old: Unstructured | None, new: Unstructured | None) -> None:
        if new is None and old is not None:
            self.queue.add(f"volume/{place_of(old)[0]}")

    def reconcile(self, now: Instant, key: str) -> None:
        if key.startswith("volume/"):
            volume: PersistentVolume | None = self.informer.get("PersistentVolume", key.removeprefix("volume/"))
            if volume is not None and _to_delete(volume):
                # Source: external-provisioner pkg/controller/controller.go canDeleteVolume, Delete.
                for attachment in self._attachments[volume.metadata.name].values():
                    why = f"persistentvolume {volume.metadata.name} is still attached to node {place_of(attachment)[1]}"
                    self.record(volume, "Warning", "VolumeFailedDelete", why)
                    return
                self.write(key, Delete("PersistentVolume", "", volume.metadata.name, volume.metadata.uid, token=key))
            return
        claim: PersistentVolumeClaim | None = self.informer.get("PersistentVolumeClaim", key)
        storage_class = self._wanted(claim)
        if claim is None or storage_class is None:
            return
        uid = claim.metadata.uid
        due = self._due.get(uid)
        if due is None:
            why = f'External provisioner is provisioning volume for claim "{key}"'
            self.record(claim, "Normal", "Provisioning", why)
            due = self._due[uid] = now + self._latency.draw(self._rng)
        if now < due:
            self.queue.add_at(key, due)
            return
        name = claim.metadata.annotations.get(SELECTED_NODE, "")
        node: Node | None = self.informer.get("Node", name)
        if name and node is None:
            self._give_up(key, claim, f'failed to get target node: node "{name}" not found')
            return
        self.write(key, Create(_volume_for(claim, storage_class, self._topology(claim, storage_class, node)), key))

    def _wanted(self, claim: PersistentVolumeClaim | None) -> StorageClass | None:
        """The class by which a volume is to be made for the claim now; None where none is."""
        if claim is None or claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
            return None
        storage_class: StorageClass | None = self.informer.get("StorageClass", claim_class(claim))
        if storage_class is None or storage_class.provisioner in ("", NO_PROVISIONER):
            return None
        annotations = claim.metadata.annotations
        if annotations.get(STORAGE_PROVISIONER) != storage_class.provisioner:
            return None
        if storage_class.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER and SELECTED_NODE not in annotations:
            self._due.pop(claim.metadata.uid, None)
            return None
        return None if f"pvc-{claim.metadata.uid}" in self.informer.objects("PersistentVolume") else storage_class

    def _give_up(self, key: str, claim: PersistentVolumeClaim, why: str) -> None:
        """Another node is to be selected: the scheduler is told by taking the annotation away."""
        self.record(claim, "Warning", "ProvisioningFailed", why)
        self._due.pop(claim.metadata.uid, None)
        annotations = {name: text for name, text in claim.metadata.annotations.items() if name != SELECTED_NODE}
        asked = replace(claim, metadata=replace(claim.metadata, annotations=annotations))
        self.write(key, Update(asked, token=key))

    def succeeded(self, key: str, outcome: Outcome) -> None:
        if isinstance(outcome.obj, PersistentVolume) and isinstance(outcome.effect, Create):
            claim = self.informer.get("PersistentVolumeClaim", key)
            if claim is not None:
                self._due.pop(claim.metadata.uid, None)
                name = outcome.obj.metadata.name
                self.record(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    # -- where ---------------------------------------------------------------------------------------------------------

    def _topology(self, claim: PersistentVolumeClaim, storage_class: StorageClass, node: Node | None) -> Topology:
        """From where the new volume is to be reached; () from everywhere. By zone, or by what the class speaks of."""
        allowed = storage_class.allowed_topologies
        keys = sorted({each.key for term in allowed for each in term.match_label_expressions}) or [ZONE]
        if node is not None:
            return _labels(node, keys)
        nodes: Sequence[Node] = list(self.informer.objects("Node").values())
        there = sorted({found for each in nodes if _permits(storage_class, each) and (found := _labels(each, keys))})
        if there:
            hashed, index = name_hash(claim.metadata.name)
            return there[(hashed + index) % len(there)]
        if allowed:  # no node yet: the first that the class names
            return tuple((each.key, each.values[0]) for each in allowed[0].match_label_expressions)
        return ()


def name_hash(claim: str) -> tuple[int, int]:
    """(hash, index) of a claim's name, so that the claims of a StatefulSet go round the zones.

    Source: external-provisioner topology.go getPVCNameHashAndIndexOffset: FNV-1 (32 bit) of the name without its
    ordinal; of 'claim-set-0' the set alone, so that all claims of one pod go to one zone.
    """
    index, hashed = 0, claim
    head, dash, tail = claim.rpartition("-")
    ordinal = whole_number(tail)
    if dash and ordinal is not None and ordinal < 1 << 32:
        index = ordinal
        hashed = head.rpartition("-")[2]
    value = 2166136261
    for byte in hashed.encode():
        value = value * 16777619 % (1 << 32) ^ byte
    return value, index


def _labels(node: Node, keys: Sequence[str]) -> Topology:
    return tuple((key, node.metadata.labels[key]) for key in keys if key in node.metadata.labels)


def _permits(storage_class: StorageClass, node: Node) -> bool:
    labels = node.metadata.labels
    terms = storage_class.allowed_topologies
    return not terms or any(
        all(labels.get(each.key) in each.values for each in term.match_label_expressions) for term in terms
    )


def _to_delete(volume: PersistentVolume) -> bool:
    return (
        volume.status.phase == "Released"
        and volume.spec.persistent_volume_reclaim_policy == "Delete"
        and PROVISIONED_BY in volume.metadata.annotations
        and volume.metadata.deletion_timestamp is None
    )


def _volume_for(claim: PersistentVolumeClaim, storage_class: StorageClass, topology: Topology) -> PersistentVolume:
    name = f"pvc-{claim.metadata.uid}"
    expressions = tuple(NodeSelectorRequirement(key=key, operator="In", values=(value,)) for key, value in topology)
    term = NodeSelectorTerm(match_expressions=expressions)
    affinity = VolumeNodeAffinity(required=NodeSelector(node_selector_terms=(term,))) if expressions else None
    return PersistentVolume(
        metadata=ObjectMeta(name=name, annotations={PROVISIONED_BY: storage_class.provisioner}),
        spec=PersistentVolumeSpec(
            capacity={"storage": claim.spec.resources.requests["storage"]},
            access_modes=claim.spec.access_modes,
            claim_ref=claim_reference(claim),
            persistent_volume_reclaim_policy=storage_class.reclaim_policy,
            storage_class_name=storage_class.metadata.name,
            volume_mode=claim.spec.volume_mode,
            node_affinity=affinity,
            extra={"csi": {"driver": storage_class.provisioner, "volumeHandle": name}},
        ),
    )
