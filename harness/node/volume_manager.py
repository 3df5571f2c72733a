"""A kubelet's volumes: which are in use on its node, and which pods wait until theirs are attached.

Source: pkg/kubelet/volumemanager volume_manager.go, reconciler/reconciler_common.go waitForVolumeAttach;
pkg/volume/util/operationexecutor operation_generator.go GenerateVerifyControllerAttachedVolumeFunc;
pkg/kubelet/kubelet.go SyncPod (1.34). A volume is looked for in the node's status once that has told that it is in use,
with a backoff that doubles. Volumes that are not attached are there at once, mounting takes no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.engine.component import MS, SECOND, Effect, Instant, Record, WakeAt, next_tick
from harness.model.attachments import unique_name
from harness.model.core import AttachedVolume, Pod
from harness.model.storage import PersistentVolume
from harness.model.volumes import claims_of, ephemeral_name

FIRST_RETRY_NS, LONGEST_RETRY_NS = 500 * MS, 122 * SECOND
"""Source: pkg/util/goroutinemap/exponentialbackoff initialDurationBeforeRetry, maxDurationBeforeRetry."""

ATTACH_TIMEOUT_NS = 123 * SECOND
"""How long a pod waits for its volumes before that is told. Source: volume_manager.go podAttachAndMountTimeout."""

RESYNC_NS = 10 * SECOND
"""Until it waits again. Source: pkg/kubelet/pod_workers.go backOffPeriod, of which half more at random is left out."""


class _Held(msgspec.Struct):
    """`since`: when its wait began, or begins."""

    pod: Pod
    names: tuple[str, ...]
    since: Instant


class _Search(msgspec.Struct):
    """For a volume that is not known to be attached: when to look next, and how long was waited for that."""

    at: Instant
    wait_ns: int = 0


class VolumeManager:
    """`period_ns`: how often the node's status is told, `phase_ns` beyond a whole number of that. `changed`: somebody
    must call `sync`."""

    __slots__ = (
        "_attached",
        "_held",
        "_here",
        "_of_claim",
        "_period_ns",
        "_phase_ns",
        "_searches",
        "_tick_ns",
        "_users",
        "_wake_ns",
        "changed",
        "reported",
    )

    def __init__(self, period_ns: int, phase_ns: int) -> None:
        self._period_ns = period_ns
        self._phase_ns = phase_ns
        self.changed = False
        self.reported: tuple[str, ...] = ()  # in use, as told last
        self._of_claim: dict[str, str] = {}  # key of a claim: its volume, which must be attached
        self._users: dict[str, dict[str, None]] = {}  # volume: uids of the pods that use it here
        self._attached: frozenset[str] = frozenset()  # as the node's status says
        self._here: dict[str, None] = {}  # found there, of those in use
        self._searches: dict[str, _Search] = {}
        self._held: dict[str, _Held] = {}  # by uid
        self._tick_ns = self._wake_ns = -1

    def learn(self, volume: PersistentVolume) -> None:
        """One that must be attached, told ahead of the pod that uses it."""
        reference = volume.spec.claim_ref
        if reference is not None:
            self._of_claim[f"{reference.namespace}/{reference.name}"] = unique_name(volume)

    def see(self, attached: Sequence[AttachedVolume]) -> None:
        """The node's status."""
        self._attached = frozenset(volume.name for volume in attached)
        self.changed = True

    def hold(self, now: Instant, pod: Pod) -> bool:
        """Whether a pod must wait: it uses volumes that are attached, and is named by `sync` when they are."""
        names = tuple(dict.fromkeys(self._of_claim[key] for key in claims_of(pod) if key in self._of_claim))
        if not names:
            return False
        uid = pod.metadata.uid
        for name in names:
            self._users.setdefault(name, {})[uid] = None
        self._held[uid] = _Held(pod, names, now)
        self.changed = True
        return True

    def release(self, pod: Pod) -> None:
        """It has ended: what nobody else uses is unmounted."""
        uid = pod.metadata.uid
        self._held.pop(uid, None)
        for name in [name for name, users in self._users.items() if uid in users]:
            del self._users[name][uid]
            if not self._users[name]:
                del self._users[name]
                self._here.pop(name, None)
                self._searches.pop(name, None)
                self._of_claim = {key: held for key, held in self._of_claim.items() if held != name}
                self.changed = True

    def sync(self, now: Instant, connected: bool, effects: list[Effect]) -> tuple[bool, list[str]]:
        """(whether the node's status is to be told now, uids of pods that wait no longer)."""
        self.changed = False
        tells = self._report(now, connected)
        self._look(now)
        begins = []
        for uid, held in list(self._held.items()):
            while now >= held.since + ATTACH_TIMEOUT_NS:
                effects.append(Record(held.pod, "Warning", "FailedMount", self._not_there(held)))
                held.since += ATTACH_TIMEOUT_NS + RESYNC_NS
            if now >= held.since and all(name in self._here for name in held.names):
                del self._held[uid]
                begins.append(uid)
        self._wake(now, effects)
        return tells, begins

    def _report(self, now: Instant, connected: bool) -> bool:
        in_use = tuple(sorted(self._users))
        for name in self.reported:  # one may have gone and come since that was told
            if name in self._users and name not in self._here:
                self._searches.setdefault(name, _Search(now))
        if in_use == self.reported:
            self._tick_ns = -1
            return False
        if self._tick_ns < 0 or (now >= self._tick_ns and not connected):
            self._tick_ns = next_tick(now, self._period_ns, self._phase_ns)
        if now < self._tick_ns:
            return False
        self._tick_ns = -1
        for name in in_use:
            if name not in self._here:
                self._searches.setdefault(name, _Search(now))
        self.reported = in_use
        return True

    def _look(self, now: Instant) -> None:
        for name, search in list(self._searches.items()):
            if now < search.at:
                continue
            if name in self._attached:
                self._here[name] = None
                del self._searches[name]
            else:
                search.wait_ns = min(2 * search.wait_ns or FIRST_RETRY_NS, LONGEST_RETRY_NS)
                search.at = now + search.wait_ns

    def _wake(self, now: Instant, effects: list[Effect]) -> None:
        dues = [search.at for search in self._searches.values()]
        dues += [held.since if now < held.since else held.since + ATTACH_TIMEOUT_NS for held in self._held.values()]
        if self._tick_ns >= 0:
            dues.append(self._tick_ns)
        if dues and (now >= self._wake_ns or min(dues) < self._wake_ns):
            self._wake_ns = min(dues)
            effects.append(WakeAt(self._wake_ns, ("volumes", self._wake_ns)))

    def _not_there(self, held: _Held) -> str:
        """Source: volume_manager.go WaitForAttachAndMount, kubelet.go SyncPod."""
        given: list[dict[str, Any]] = (held.pod.spec.extra or {}).get("volumes") or []
        namespace = held.pod.metadata.namespace
        missing = []
        for volume in given:
            source = volume.get("persistentVolumeClaim")
            claim = source.get("claimName") if isinstance(source, dict) else ephemeral_name(held.pod, volume)
            name = self._of_claim.get(f"{namespace}/{claim}")
            if name is not None and name not in self._here:
                missing.append(str(volume.get("name", "")))
        names = f"[{' '.join(sorted(missing))}]"
        return (
            f"Unable to attach or mount volumes: unmounted volumes={names}, unattached volumes={names}, "
            "failed to process volumes=[]: context deadline exceeded"
        )
