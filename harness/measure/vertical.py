"""What vertical pod autoscalers come to: when they recommend, whom they evict and resize, how requests change.

A pod is an autoscaler's where its controller, or its ReplicaSet's Deployment, is the target. Bounds are those of the
recommendation: the updater evicts pods whose requests lie outside them (vertical-pod-autoscaler 1.8,
pkg/updater/priority).
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.core import Pod
from harness.model.vertical import UPDATES, VerticalPodAutoscaler

EVICTED_POD = "EvictedPod"
"""Reason of the updater's Event about the autoscaler."""
RESOURCES = ("cpu", "memory")
HOUR_NS = 3600 * 10**9
GIB = 1 << 30


class _Scaler(msgspec.Struct):
    """`sums`: thousandths of CPUs and of bytes that its pods ask for now, and how many lie outside the bounds; `areas`:
    CPU, memory, pods, and pods outside, over time."""

    created_ns: int
    bounds: dict[tuple[str, str], tuple[int, int]] = {}  # by container and resource, in thousandths
    recommended_ns: int | None = None
    evictions: int = 0
    updated: int = 0
    pods: dict[str, dict[tuple[str, str], int]] = {}  # what each asks for, by container and resource
    sums: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])
    areas: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0, 0])
    since_ns: int = 0
    first: dict[str, int] = {}  # what the first pod asked for, by resource

    def advance(self, now: int) -> None:
        lasted, self.since_ns = now - self.since_ns, now
        cpu, memory, outside = self.sums
        for at, amount in enumerate((cpu, memory, len(self.pods), outside)):
            self.areas[at] += lasted * amount

    def put(self, key: str, asked: dict[tuple[str, str], int]) -> None:
        self.pods[key] = asked
        self._add(asked, 1)

    def drop(self, key: str) -> None:
        asked = self.pods.pop(key, None)
        if asked is not None:
            self._add(asked, -1)

    def bound(self, bounds: dict[tuple[str, str], tuple[int, int]]) -> None:
        if bounds != self.bounds:
            self.bounds = bounds
            self.sums[2] = sum(map(self.is_outside, self.pods.values()))

    def _add(self, asked: dict[tuple[str, str], int], sign: int) -> None:
        for at, resource in enumerate(RESOURCES):
            self.sums[at] += sign * _total(asked, resource)
        self.sums[2] += sign * self.is_outside(asked)

    def is_outside(self, asked: dict[tuple[str, str], int]) -> bool:
        return any(not low <= asked.get(key, 0) <= high for key, (low, high) in self.bounds.items())


class VerticalScaling:
    """A fold."""

    kinds = ("VerticalPodAutoscaler", "Pod", "Event")

    def __init__(self) -> None:
        self._scalers: dict[str, _Scaler] = {}
        self._by_target: dict[tuple[str, str, str], str] = {}  # namespace, kind and name of the target
        self._early: dict[str, Pod] = {}  # pods that came before any autoscaler was theirs
        self._of_pod: dict[str, str] = {}

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod":
            self._pod(at_ns, change, obj)
        elif kind == "VerticalPodAutoscaler":
            self._scaler(at_ns, change, obj)
        elif obj.reason == EVICTED_POD and obj.involved_object.kind == "VerticalPodAutoscaler":
            known = self._scalers.get(f"{obj.involved_object.namespace}/{obj.involved_object.name}")
            if known is not None:
                known.evictions += 1

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _scaler(self, at_ns: int, change: str, vpa: VerticalPodAutoscaler) -> None:
        key, ref = vpa.metadata.key, vpa.spec.target_ref
        if change == "DELETED" or ref is None:
            return
        known = self._scalers.get(key)
        if known is None:
            known = self._scalers[key] = _Scaler(at_ns, since_ns=at_ns)
            self._by_target[vpa.metadata.namespace, ref.kind, ref.name] = key
            for pod_key, pod in list(self._early.items()):
                if _targets(pod) & {(vpa.metadata.namespace, ref.kind, ref.name)}:
                    del self._early[pod_key]
                    self._add(at_ns, key, pod)
        found = vpa.status.recommendation
        if found is None or not found.container_recommendations:
            return
        known.advance(at_ns)
        if known.recommended_ns is None:
            known.recommended_ns = at_ns
        bounds = {
            (item.container_name, resource): (item.lower_bound[resource].milli, item.upper_bound[resource].milli)
            for item in found.container_recommendations
            for resource in RESOURCES
            if resource in item.lower_bound and resource in item.upper_bound
        }
        known.bound(bounds)

    def _pod(self, at_ns: int, change: str, pod: Pod) -> None:
        key = pod.metadata.key
        if change == "DELETED" or pod.status.phase in ("Succeeded", "Failed"):
            self._early.pop(key, None)
            known = self._scalers.get(self._of_pod.pop(key, ""))
            if known is not None:
                known.advance(at_ns)
                known.drop(key)
        elif change == "ADDED":
            scaler = next((self._by_target[target] for target in _targets(pod) if target in self._by_target), None)
            if scaler is None:
                self._early[key] = pod
            else:
                self._add(at_ns, scaler, pod)

    def _add(self, at_ns: int, scaler: str, pod: Pod) -> None:
        known, key = self._scalers[scaler], pod.metadata.key
        known.advance(at_ns)
        self._of_pod[key] = scaler
        asked = {
            (container.name, resource): container.resources.requests[resource].milli
            for container in pod.spec.containers
            for resource in RESOURCES
            if resource in container.resources.requests
        }
        known.put(key, asked)
        known.updated += UPDATES in pod.metadata.annotations
        if not known.first:
            known.first = {resource: _total(asked, resource) for resource in RESOURCES}

    def metrics(self, until_ns: int) -> dict[str, Any]:
        """By autoscaler. Cores and GiB are of all its pods on average over the time that there were any."""
        return {key: self._of(scaler, until_ns) for key, scaler in sorted(self._scalers.items())}

    def _of(self, scaler: _Scaler, until_ns: int) -> dict[str, Any]:
        scaler.advance(until_ns)
        cpu, memory, pods, outside = scaler.areas
        lasted = max(until_ns - scaler.created_ns, 1)
        out: dict[str, Any] = {
            "evictions": scaler.evictions,
            "podsUpdated": scaler.updated,
            "cpuRequested": cpu / 1000 / lasted,
            "memoryRequested": memory / 1000 / GIB / lasted,
        }
        if scaler.recommended_ns is not None:
            out["recommendedSeconds"] = (scaler.recommended_ns - scaler.created_ns) / 1e9
        if pods:
            out["outsideBounds"] = 100 * outside / pods
        for resource in RESOURCES:
            first = scaler.first.get(resource, 0)
            if first and scaler.pods:
                now = scaler.sums[RESOURCES.index(resource)] / len(scaler.pods)
                out[f"{resource}AtEnd"] = 100 * now / first
        return out


def _total(asked: dict[tuple[str, str], int], resource: str) -> int:
    return sum(amount for (_, name), amount in asked.items() if name == resource)


def _targets(pod: Pod) -> set[tuple[str, str, str]]:
    """What an autoscaler of the pod could name: its controller, and what that was made by, as names tell."""
    namespace = pod.metadata.namespace
    out = set()
    for owner in pod.metadata.owner_references:
        if owner.controller:
            out.add((namespace, owner.kind, owner.name))
            above = {"ReplicaSet": "Deployment", "Job": "CronJob"}.get(owner.kind)
            if above is not None:
                out.add((namespace, above, owner.name.rpartition("-")[0]))
    return out
