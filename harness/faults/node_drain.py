"""Draining one node as `kubectl drain` does it: which pods go, evictions that are tried again, and waiting.

Source: kubectl pkg/drain (drain.go: evictPods, waitForDelete; filters.go) and pkg/cmd/drain (1.32).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from harness.engine.component import SECOND, Delete, Effect, EvictPod, WakeAt
from harness.faults.action import said
from harness.faults.targets import Targets
from harness.model.core import Pod
from harness.model.status import ApiError

RETRY_NS = 5 * SECOND
"""Between two tries to evict a pod whose budget does not allow it. Source: EvictErrorRetryDelay, 5 s."""
LOOK_NS = SECOND
"""Between two looks whether a pod is gone. Source: evictPods, waitForDeleteParams.interval."""
MIRROR = "kubernetes.io/config.mirror"
_ENDED = ("Succeeded", "Failed")


class DrainOptions(msgspec.Struct, frozen=True):
    """kubectl's flags. `grace_s` -1: the pods' own; `timeout_ns` 0: for as long as it takes; `skip_wait_s` 0: all that
    are going are waited for."""

    force: bool = False
    ignore_daemon_sets: bool = False
    delete_empty_dir_data: bool = False
    disable_eviction: bool = False
    grace_s: int = -1
    timeout_ns: int = 0
    skip_wait_s: int = 0
    pod_selector: dict[str, str] = {}


def chosen(
    pods: Iterable[Pod], options: DrainOptions, daemon_sets: Iterable[str], now: int
) -> tuple[list[Pod], list[str]]:
    """(pods to evict, why the node cannot be drained: in kubectl's words). `daemon_sets`: keys of those that are there.
    Source: filters.go makeFilters, in this order: deleted, DaemonSet, mirror, local storage, unreplicated."""
    there = set(daemon_sets)
    out: list[Pod] = []
    wrong: dict[str, list[str]] = {}
    for pod in pods:
        if any(pod.metadata.labels.get(name) != value for name, value in options.pod_selector.items()):
            continue
        verdict = _verdict(pod, options, there, now)
        if verdict is None:
            continue
        if verdict:
            wrong.setdefault(verdict, []).append(pod.metadata.key)
        else:
            out.append(pod)
    return out, [f"cannot delete {what}: {', '.join(keys)}" for what, keys in wrong.items()]


def _verdict(pod: Pod, options: DrainOptions, daemon_sets: set[str], now: int) -> str | None:
    """'': it goes; None: it is left alone; else what keeps the node from being drained."""
    meta, ended = pod.metadata, pod.status.phase in _ENDED
    deleted = meta.deletion_timestamp
    if options.skip_wait_s > 0 and deleted is not None and now - deleted > options.skip_wait_s * SECOND:
        return None
    owner = meta.controller()
    if owner is not None and owner.kind == "DaemonSet" and not ended:
        if f"{meta.namespace}/{owner.name}" not in daemon_sets:
            if not options.force:
                return "Pods whose DaemonSet is not found (use --force to override)"
        elif options.ignore_daemon_sets:
            return None
        else:
            return "DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"
    if MIRROR in meta.annotations:
        return None
    if _has_empty_dir(pod) and not ended and not options.delete_empty_dir_data:
        return "Pods with local storage (use --delete-emptydir-data to override)"
    if owner is None and not ended and not options.force:
        return "Pods that declare no controller (use --force to override)"
    return ""


def _has_empty_dir(pod: Pod) -> bool:
    volumes = (pod.spec.extra or {}).get("volumes") or ()
    return any(isinstance(volume, dict) and volume.get("emptyDir") is not None for volume in volumes)


class NodeDrain:
    """`failed`: why it did not drain the node, '' where it did. Tokens: (what, node, key of a pod)."""

    def __init__(self, node: str, options: DrainOptions) -> None:
        self.node = node
        self.done = False
        self.failed: list[str] = []
        self._options = options
        self._left: dict[str, Pod] = {}  # by key: those that are not gone
        self._evicted: set[str] = set()

    def start(self, now: int, targets: Targets) -> list[Effect]:
        daemon_sets = targets.objects.get("DaemonSet", ())
        pods, wrong = chosen(targets.bound_to(self.node), self._options, daemon_sets, now)
        if wrong:
            self.done, self.failed = True, wrong
            return [said("cannot drain", self.node, text) for text in wrong]
        self._left = {pod.metadata.key: pod for pod in pods}
        out: list[Effect] = [said("draining", self.node, f"{len(pods)} pods")]
        if self._options.timeout_ns and pods:
            out.append(WakeAt(now + self._options.timeout_ns, ("timeout", self.node, "")))
        return [*out, *map(self._removal, pods), *self._end()]

    def on_timer(self, now: int, token: Any, targets: Targets) -> list[Effect]:
        what, _, key = token
        pod = self._left.get(key)
        if self.done:
            return []
        if what == "timeout":
            self.done = True
            self.failed = [f"global timeout reached: {key} is not gone" for key in self._left]
            return [said("timed out", key, "global timeout reached") for key in self._left]
        if pod is None:
            return []
        if what == "evict":
            return [self._removal(pod)]
        return self._look(now, key, pod, targets)

    def on_outcome(self, now: int, token: Any, error: ApiError | None, targets: Targets) -> list[Effect]:
        _, _, key = token
        pod = self._left.get(key)
        if self.done or pod is None:
            return []
        if error is None:
            self._evicted.add(key)
            return [said("evicted", key), *self._look(now, key, pod, targets)]
        if error.code == 429 and not self._options.disable_eviction:
            why = "; ".join(cause.message for cause in error.causes) or error.message
            return [said("eviction refused", key, why), WakeAt(now + RETRY_NS, ("evict", self.node, key))]
        del self._left[key]
        if error.code != 404:
            self.failed.append(f"{key}: {error.message}")
            return [said("eviction failed", key, error.message), *self._end()]
        return self._end()

    # -- within --------------------------------------------------------------------------------------------------------

    def _removal(self, pod: Pod) -> Effect:
        meta, grace = pod.metadata, None if self._options.grace_s < 0 else self._options.grace_s
        token = ("evict", self.node, meta.key)
        if self._options.disable_eviction:
            return Delete("Pod", meta.namespace, meta.name, uid=meta.uid, grace_s=grace, token=token)
        return EvictPod(meta.namespace, meta.name, uid=meta.uid, grace_s=grace, token=token)

    def _look(self, now: int, key: str, pod: Pod, targets: Targets) -> list[Effect]:
        there = next((item for item in targets.bound_to(self.node) if item.metadata.key == key), None)
        deleted = None if there is None else there.metadata.deletion_timestamp
        skipped = self._options.skip_wait_s > 0 and deleted is not None
        skipped = skipped and now - (deleted or 0) > self._options.skip_wait_s * SECOND
        if there is None or there.metadata.uid != pod.metadata.uid or skipped:
            del self._left[key]
            return self._end()
        return [WakeAt(now + LOOK_NS, ("look", self.node, key))]

    def _end(self) -> list[Effect]:
        if self._left:
            return []
        self.done = True
        if self.failed:
            return []
        return [said("drained", self.node)]
