"""PreBind of volumes: claims are bound, or their volumes made, before the pod is; and what is watched for it.

Source: kube-scheduler 1.32 plugins/volumebinding PreBind, binder.go BindPodVolumes, checkBindings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from harness.engine.component import BindPod, Effect, Outcome, Subscribe, Update
from harness.model.storage import PersistentVolume, PersistentVolumeClaim
from harness.model.volumes import SELECTED_NODE, bound_to, fully_bound, is_for
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.volume_reservations import VolumeReservation

WATCHES = ("PersistentVolume", "PersistentVolumeClaim", "StorageClass", "CSINode")

TOKEN = "volumes"


@dataclass(frozen=True, slots=True)
class _Waiting:
    bind: BindPod
    promise: VolumeReservation
    until: int
    written: dict[str, int] = field(default_factory=dict)  # revision of the own write, by claim


@dataclass(slots=True)
class VolumeBinder:
    """Pods whose claims are being bound. `due` says which can be bound now, and which cannot at all."""

    snapshot: Snapshot
    timeout_ns: int  # how long binding the volumes of a pod may take
    process: int = 0  # how often the scheduler was started again before
    listed: bool = False  # what there is of WATCHES is known
    _asked: bool = False
    _held_back: dict[str, None] = field(default_factory=dict)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _refused: dict[str, str] = field(default_factory=dict)
    _about: dict[str, dict[str, None]] = field(default_factory=dict)  # pods by claim and volume that they wait for
    _look: dict[str, None] = field(default_factory=dict)  # pods of which something was heard
    _specs: int = -1

    def must_wait(self, pod: str) -> bool:
        """The pod has claims: it cannot be looked at before what there is of volumes is known."""
        if not self.listed:
            self._held_back[pod] = None
        return not self.listed

    def subscription(self) -> list[Subscribe]:
        """What to ask of the API server now: the volumes, when the first pod with claims has come."""
        if self._asked or not self._held_back:
            return []
        self._asked = True
        return [Subscribe(WATCHES, token=(TOKEN, self.process))]

    def answered(self, outcome: Outcome) -> list[str]:
        """A write of this binder's, or its subscription, was answered; the pods that waited for the latter."""
        if type(outcome.effect) is Subscribe:
            if outcome.token != (TOKEN, self.process):
                return []  # asked by the process that was here before: its list went to it
            self.listed = True
            pods = list(self._held_back)
            self._held_back.clear()
            return pods
        pod = outcome.token[1]
        waiting = self._waiting.get(pod)
        if waiting is not None:
            self._look[pod] = None
            if outcome.error is not None:
                self._refused[pod] = outcome.error.message
            elif type(outcome.obj) is PersistentVolumeClaim:
                waiting.written[outcome.obj.metadata.key] = int(outcome.obj.metadata.resource_version)
        return []

    def bind(self, now: int, pod: str, bind: BindPod) -> list[Effect]:
        """The pod was decided on: what to write. Where nothing is left to be bound, that is the pod's own binding."""
        promise = self.snapshot.volumes.reservation_of(pod)
        if promise is None or not (promise.bindings or promise.provisions):
            return [bind]
        book = self.snapshot.volumes.catalog
        if book.news is None:
            book.news = {}
        self._waiting[pod] = _Waiting(bind, promise, now + self.timeout_ns)
        self._look[pod] = None
        for name in _spoken_of(promise):
            self._about.setdefault(name, {})[pod] = None
        out: list[Effect] = []
        for claim, volume in promise.bindings:
            if not _claimed(volume, claim):
                out.append(Update(bound_to(volume, claim), token=(TOKEN, pod)))
        for claim in promise.provisions:
            if claim.metadata.annotations.get(SELECTED_NODE) != promise.node:
                annotations = {**claim.metadata.annotations, SELECTED_NODE: promise.node}
                asked = replace(claim, metadata=replace(claim.metadata, annotations=annotations))
                out.append(Update(asked, token=(TOKEN, pod)))
        return out

    def drop(self, pod: str) -> None:
        """It was bound or deleted."""
        self._held_back.pop(pod, None)
        self._forget(pod)
        self.snapshot.volumes.release(pod)

    def due(self, now: int) -> tuple[list[BindPod], list[tuple[BindPod, str]]]:
        """Pods to bind now, and pods that cannot be, each with the reason."""
        if not self._waiting:
            return [], []
        ready: list[BindPod] = []
        failed: list[tuple[BindPod, str]] = []
        for pod in self._to_look_at(now):
            waiting = self._waiting.get(pod)
            if waiting is None:
                continue
            why = self._refused.pop(pod, "") or self._wrong(waiting)
            if not why and self._done(waiting.promise):
                ready.append(waiting.bind)
                self._forget(pod)
                continue
            if not why and now >= waiting.until:
                why = "context deadline exceeded"
            if why:
                failed.append((waiting.bind, f'running PreBind plugin "VolumeBinding": binding volumes: {why}'))
                self._forget(pod)
        return ready, failed

    def _to_look_at(self, now: int) -> list[str]:
        """Those of whose volumes, claims, node or writes something was heard, and those that have waited too long."""
        news = self.snapshot.volumes.catalog.news
        assert news is not None
        for changed in news:
            self._look.update(self._about.get(changed, {}))
        news.clear()
        if self._specs != self.snapshot.spec_log.version:
            self._specs = self.snapshot.spec_log.version
            index = self.snapshot.node_table.index
            self._look.update((pod, None) for pod, waiting in self._waiting.items() if waiting.bind.node not in index)
        for pod, waiting in self._waiting.items():
            if now < waiting.until:
                break
            self._look[pod] = None
        found = list(self._look)
        self._look.clear()
        return found

    def _forget(self, pod: str) -> None:
        self._refused.pop(pod, None)
        waiting = self._waiting.pop(pod, None)
        if waiting is not None:
            for name in _spoken_of(waiting.promise):
                pods = self._about[name]
                del pods[pod]
                if not pods:
                    del self._about[name]

    def next_due(self) -> int | None:
        """When the first of them has waited too long."""
        return next((waiting.until for waiting in self._waiting.values()), None)

    def _done(self, promise: VolumeReservation) -> bool:
        claims = self.snapshot.volumes.catalog.claims
        wanted = [claim for claim, _ in promise.bindings] + list(promise.provisions)
        return all((now := claims.get(claim.metadata.key)) is not None and fully_bound(now) for claim in wanted)

    def _wrong(self, waiting: _Waiting) -> str:
        """Why it will not be any more; empty as long as it may."""
        book, promise = self.snapshot.volumes.catalog, waiting.promise
        if promise.node not in self.snapshot.node_table.index:
            return f'failed to get node "{promise.node}": node "{promise.node}" not found'
        for claim, volume in promise.bindings:
            there = book.volumes.get(volume.metadata.name)
            if there is None:
                return f'failed to check volume binding: persistentvolume "{volume.metadata.name}" not found'
            if there.spec.claim_ref is not None and not is_for(there, claim):
                return f'volume "{volume.metadata.name}" already bound to a different claim.'
        for claim in promise.provisions:
            now = book.claims.get(claim.metadata.key)
            if now is None or now.metadata.uid != claim.metadata.uid:
                return f'failed to check provisioning pvc: persistentvolumeclaim "{claim.metadata.name}" not found'
            # Only what is as new as the own write says that the provisioner has given the node up.
            written = waiting.written.get(claim.metadata.key, _NEVER)
            if int(now.metadata.resource_version) < written or fully_bound(now):
                continue
            if now.metadata.annotations.get(SELECTED_NODE) != promise.node:
                return f'provisioning failed for PVC "{claim.metadata.name}"'
        return ""


_NEVER = 1 << 62


def _spoken_of(promise: VolumeReservation) -> dict[str, None]:
    """Keys of the claims and names of the volumes."""
    names = [name for claim, volume in promise.bindings for name in (claim.metadata.key, volume.metadata.name)]
    return dict.fromkeys([*names, *(claim.metadata.key for claim in promise.provisions)])


def _claimed(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """The volume names the claim with its uid, so that nothing is left to write."""
    reference = volume.spec.claim_ref
    return reference is not None and reference.uid == claim.metadata.uid
