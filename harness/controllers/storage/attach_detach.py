"""The attach-detach controller: volumes are attached to the nodes whose pods use them, and detached when none does.

Source: pkg/controller/volume/attachdetach (1.34): attach_detach_controller.go, reconciler/reconciler.go,
statusupdater/node_status_updater.go, util/util.go. What is attached is what VolumeAttachments say; who does it is the
driver's external attacher. Nothing is watched before there is a volume of a CSI driver. Not modelled: the 100 ms
between two looks of its loop, and drivers that fail to attach.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence

from msgspec.structs import replace

from harness.controllers.runtime.reconciler import Reconciler
from harness.engine.component import Create, Delete, Instant, Outcome, PatchStatus, Subscribe
from harness.model.attachments import (
    OUT_OF_SERVICE,
    attachment_of,
    csi_source,
    is_attached,
    may_be_shared,
    needs_attaching,
    place_of,
    unique_name,
    volume_of_claim,
)
from harness.model.core import AttachedVolume, Node, Pod
from harness.model.meta import is_ready
from harness.model.objects import Unstructured
from harness.model.storage import PersistentVolume, PersistentVolumeClaim
from harness.model.volumes import claims_of

_VOLUME, _NODE, _LISTED = "volume/", "node/", "listed"

_KINDS = ("CSIDriver", "Node", "Pod", "PersistentVolumeClaim", "VolumeAttachment")

Place = tuple[str, str]
"""(name of a volume, name of a node)."""


class AttachDetachController(Reconciler):
    """Keys are 'volume/name' and 'node/name', and 'listed' until all that is there has been heard of."""

    def __init__(self, name: str = "persistentvolume-attach-detach-controller") -> None:
        super().__init__(
            name,
            {
                "PersistentVolume": self._volume_changed,
                "CSIDriver": self._driver_changed,
                "Node": self._node_changed,
                "Pod": self._pod_changed,
                "PersistentVolumeClaim": self._claim_changed,
                "VolumeAttachment": self._attachment_changed,
            },
            keeps={"Pod": lambda pod: bool(pod.spec.node_name and claims_of(pod))},
        )
        self.watches = ("PersistentVolume",)
        self._pods_of = self.informer.index("Pod", claims_of, "spec")
        self._attachments = self.informer.index("VolumeAttachment", _places)
        self._subscribed = self._watched = False
        self._names: dict[str, str] = {}  # volume -> its name in a node's status
        self._unused_since: dict[Place, Instant] = {}  # attached, and used by no pod
        self._leaving: dict[Place, None] = {}  # being detached: not reported as attached any more
        self._came: dict[Place, None] = {}  # attached just now
        self._told: dict[Place, None] = {}  # whose pods were told that the volume is elsewhere
        self._in_use_last: dict[str, tuple[str, ...]] = {}  # by a node that is gone: what it had mounted

    def forget_all(self) -> None:
        super().forget_all()
        self._subscribed = self._watched = False
        held: tuple[dict[Place, Instant] | dict[Place, None], ...] = (
            self._unused_since,
            self._leaving,
            self._came,
            self._told,
        )
        for each in held:
            each.clear()
        self._names.clear()
        self._in_use_last.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new if new is not None else old
        assert volume is not None
        if new is not None and csi_source(new) is not None:
            self._names[new.metadata.name] = unique_name(new)
            if not self._subscribed:
                self._subscribed = True
                self._effects.append(Subscribe(_KINDS, _LISTED))
                self._unanswered[_LISTED] = 1
        self.queue.add(_VOLUME + volume.metadata.name)
        self._forget_gone(volume.metadata.name)

    def _forget_gone(self, volume: str) -> None:
        """A volume's name is of use as long as it is there, or attached somewhere."""
        if self.informer.get("PersistentVolume", volume) is None and not self._attachments["volume", volume]:
            self._names.pop(volume, None)

    def _driver_changed(self, old: Unstructured | None, new: Unstructured | None) -> None:
        for name in self._names:
            self.queue.add(_VOLUME + name)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        for claim in (old, new):
            if claim is not None and claim.spec.volume_name:
                self.queue.add(_VOLUME + claim.spec.volume_name)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        if old is not None and new is not None and _holds(old) == _holds(new):
            return
        for key in claims_of(pod):
            claim: PersistentVolumeClaim | None = self.informer.get("PersistentVolumeClaim", key)
            if claim is not None and claim.spec.volume_name:
                self.queue.add(_VOLUME + claim.spec.volume_name)

    def _attachment_changed(self, old: Unstructured | None, new: Unstructured | None) -> None:
        attachment = new if new is not None else old
        assert attachment is not None
        volume, node, _ = place_of(attachment)
        if new is None:
            self._leaving.pop((volume, node), None)
            self._unused_since.pop((volume, node), None)
            self._came.pop((volume, node), None)
            self._forget_gone(volume)
            if not self._attachments["node", node]:
                self._in_use_last.pop(node, None)
        elif old is not None and is_attached(new) and not is_attached(old):
            self._came[volume, node] = None
        self.queue.add(_VOLUME + volume)
        self.queue.add(_NODE + node)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        node = new if new is not None else old
        assert node is not None
        name = node.metadata.name
        there = self._attachments["node", name]
        if new is None:
            if there:
                self._in_use_last[name] = node.status.volumes_in_use
        else:
            self._in_use_last.pop(name, None)
            if old is not None and _state(old) == _state(new):
                return
            self.queue.add(_NODE + name)
        for attachment in there.values():
            self.queue.add(_VOLUME + place_of(attachment)[0])

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        if not self._watched:
            return  # what is there is looked at when all of it has been heard of
        if key.startswith(_VOLUME):
            self._volume(now, key, key.removeprefix(_VOLUME))
        elif key.startswith(_NODE):
            self._node(key, key.removeprefix(_NODE))

    def settled(self, now: Instant, key: str, failures: Sequence[Outcome]) -> None:
        if key != _LISTED:
            super().settled(now, key, failures)
            return
        self._watched = True
        for volume in self.informer.objects("PersistentVolume"):
            self.queue.add(_VOLUME + volume)
        for attachment in self.informer.objects("VolumeAttachment").values():
            assert isinstance(attachment, Unstructured)
            self.queue.add(_VOLUME + place_of(attachment)[0])
        for node in self.informer.objects("Node"):
            self.queue.add(_NODE + node)

    def _volume(self, now: Instant, key: str, name: str) -> None:
        """Source: reconciler.go reconcile: what is to be detached goes first."""
        volume: PersistentVolume | None = self.informer.get("PersistentVolume", name)
        there = self._there(name)
        wanted = self._users(volume, there)
        for node, attachment in there.items():
            if node in wanted:
                self._unused_since.pop((name, node), None)
                if self._came.pop((name, node), False) is None:
                    self._say(
                        wanted[node], "Normal", "SuccessfulAttachVolume", "AttachVolume.Attach succeeded", name, ""
                    )
                if attachment.metadata.deletion_timestamp is None and self._leaving.pop((name, node), False) is None:
                    self.queue.add(_NODE + node)  # it is used again before anybody has detached it
            else:
                self._came.pop((name, node), None)
                self._detach(now, key, name, node, attachment)
        for place in [place for place in self._told if place[0] == name and place[1] not in wanted]:
            del self._told[place]
        if volume is None:
            return
        shared = may_be_shared(volume)
        for node, pods in wanted.items():
            if node in there:
                continue
            elsewhere = {other: attachment for other, attachment in there.items() if other != node}
            if elsewhere and not shared:
                self._elsewhere(name, node, pods, elsewhere)
                continue
            self._told.pop((name, node), None)
            there[node] = attachment_of(volume, node)
            self.write(key, Create(there[node], key))

    def _there(self, volume: str) -> dict[str, Unstructured]:
        """VolumeAttachments of a volume by node, by name of the node."""
        found: dict[str, Unstructured] = {}
        for attachment in self._attachments["volume", volume].values():
            assert isinstance(attachment, Unstructured)
            found[place_of(attachment)[1]] = attachment
        return dict(sorted(found.items()))

    def _users(self, volume: PersistentVolume | None, there: Collection[str]) -> dict[str, list[Pod]]:
        """Pods that a volume is to be attached for, by node, first those that were bound first: on nodes that there
        are, and on those where it is attached (`there`), though they be gone. Source: util.go ProcessPodVolumes,
        DetermineVolumeAction; cache/desired_state_of_world.go DeleteNode, which keeps a node that has volumes."""
        drivers: Mapping[str, object] = self.informer.objects("CSIDriver")
        if volume is None or not needs_attaching(volume, drivers):
            return {}
        reference = volume.spec.claim_ref
        if reference is None:
            return {}
        key = f"{reference.namespace}/{reference.name}"
        claim: PersistentVolumeClaim | None = self.informer.get("PersistentVolumeClaim", key)
        if volume_of_claim(claim, {volume.metadata.name: volume}) is None:
            return {}
        found: dict[str, list[Pod]] = {}
        for pod in self._pods_of[key].values():
            assert isinstance(pod, Pod)
            node = pod.spec.node_name
            if _holds(pod) and (node in there or self.informer.get("Node", node) is not None):
                found.setdefault(node, []).append(pod)
        return found

    def _detach(self, now: Instant, key: str, name: str, node: str, attachment: Unstructured) -> None:
        """Nobody uses it there. It is waited until the kubelet says that it is unmounted: for ever on a node that is
        well, for maxWaitForUnmountDuration on one that is not, and not at all on one that is out of service."""
        if attachment.metadata.deletion_timestamp is not None or not is_attached(attachment):
            return  # what has begun ends first
        place = (name, node)
        since = self._unused_since.setdefault(place, now)
        host: Node | None = self.informer.get("Node", node)
        in_use = host.status.volumes_in_use if host is not None else self._in_use_last.get(node, ())
        healthy = host is not None and is_ready(host.status.conditions)
        off = host is not None and any(taint.key == OUT_OF_SERVICE for taint in host.spec.taints)
        expires = since + self.constants.max_wait_for_unmount_ns + 1
        if self._names.get(name) in in_use and not off and (healthy or now < expires):
            if now < expires:
                self.queue.add_at(key, expires)
            return
        self._leaving[place] = None
        if host is not None:
            self._report(key, host)  # not safe to be mounted any more, before it is gone
        meta = attachment.metadata
        self.write(key, Delete("VolumeAttachment", "", meta.name, uid=meta.uid, token=key))

    def _elsewhere(self, name: str, node: str, pods: list[Pod], there: Mapping[str, Unstructured]) -> None:
        """It is attached to another node, and may be to one alone. Source: reconciler.go reportMultiAttachError."""
        pending = any(each.metadata.deletion_timestamp is not None or not is_attached(each) for each in there.values())
        if pending or (name, node) in self._told:
            return
        self._told[name, node] = None
        volume: PersistentVolume | None = self.informer.get("PersistentVolume", name)
        users = [pod for other, held in self._users(volume, there).items() if other in there for pod in held]
        for pod in pods:
            self._say([pod], "Warning", "FailedAttachVolume", "Multi-Attach error", name, _used_by(pod, users))

    def _say(self, pods: Sequence[Pod], type_: str, reason: str, what: str, volume: str, more: str) -> None:
        """Source: pkg/volume/util/operationexecutor GenerateMsg, with the blank that it ends in."""
        for pod in pods:
            self.record(pod, type_, reason, f'{what} for volume "{volume}" {more}')

    # -- what nodes are told -------------------------------------------------------------------------------------------

    def _node(self, key: str, name: str) -> None:
        node: Node | None = self.informer.get("Node", name)
        if node is not None:
            self._report(key, node)

    def _report(self, key: str, node: Node) -> None:
        """What is attached there, in the node's status: also after somebody wrote it away. Source:
        node_status_updater.go UpdateNodeStatuses."""
        name = node.metadata.name
        attached: set[str] = set()
        for attachment in self._attachments["node", name].values():
            assert isinstance(attachment, Unstructured)
            volume = place_of(attachment)[0]
            stays = attachment.metadata.deletion_timestamp is None and (volume, name) not in self._leaving
            if is_attached(attachment) and stays and volume in self._names:
                attached.add(self._names[volume])
        wanted = tuple(AttachedVolume(name=each) for each in sorted(attached))
        if wanted != node.status.volumes_attached:
            status = replace(node.status, volumes_attached=wanted)
            self.write(key, PatchStatus(replace(node, status=status), node, key))


def _places(attachment: Unstructured) -> tuple[Hashable, ...]:
    volume, node, _ = place_of(attachment)
    return ("volume", volume), ("node", node)


def _holds(pod: Pod) -> bool:
    """Whether its volumes are to be attached. Source: pkg/volume/util IsPodTerminated: not if it has ended, or is being
    deleted and no container of it runs."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return False
    if pod.metadata.deletion_timestamp is None:
        return True
    states = [status.state for status in pod.status.container_statuses]
    return any(state.terminated is None and state.waiting is None for state in states)


def _state(node: Node) -> tuple[object, ...]:
    """What matters here."""
    off = any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)
    return off, is_ready(node.status.conditions), node.status.volumes_in_use, node.status.volumes_attached


def _used_by(pod: Pod, users: Sequence[Pod]) -> str:
    if not users:
        return "Volume is already exclusively attached to one node and can't be attached to another"
    near = [user.metadata.name for user in users if user.metadata.namespace == pod.metadata.namespace]
    far = len(users) - len(near)
    if not near:
        return f"Volume is already used by {far} pod(s) in different namespaces"
    more = f" and {far} pod(s) in different namespaces" if far else ""
    return f"Volume is already used by pod(s) {', '.join(near)}{more}"
