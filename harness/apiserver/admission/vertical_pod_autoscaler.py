"""The admission controller of vertical pod autoscaling: a new pod gets the requests that its VPA recommends.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/admission-controller (1.8) resource/vpa/matcher.go,
resource/pod/patch/{resource_updates,observed_containers}.go. A webhook there, it runs after the API server's own
plugins that complete a pod, and before those that check it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from harness.apiserver.admission.by_namespace import ByNamespace
from harness.apiserver.admission.plugin import AdmissionRequest, Plugin
from harness.apiserver.registry.identity_memo import IdentityMemo
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.watch_cache import WatchCache
from harness.engine.component import ADDED, DELETED
from harness.model.core import Pod, PodSpec
from harness.model.meta import ApiObject
from harness.model.policy import LimitRange
from harness.model.status import ApiError
from harness.model.vertical import (
    OBSERVED_CONTAINERS,
    OFF,
    UPDATES,
    VerticalPodAutoscaler,
    precedes,
    target_selector,
    topmost_controller,
)
from harness.model.vertical_capping import capped_for_pod, limit_range_item, recommended_resources


class _Patched(msgspec.Struct, frozen=True):
    """`updates`: what was done, in words; empty: nothing."""

    spec: PodSpec
    updates: str


class VerticalPodAutoscaling(Plugin):
    observes: ClassVar[frozenset[str]] = frozenset({"VerticalPodAutoscaler", "LimitRange"})
    idle = True

    def __init__(self, cache: WatchCache) -> None:
        super().__init__(cache)
        self._ranges: ByNamespace[LimitRange] = ByNamespace()
        self._known: dict[str, VerticalPodAutoscaler] = {}
        self._by_target: dict[tuple[str, str, str], dict[str, VerticalPodAutoscaler]] = {}
        self._patched: dict[str, IdentityMemo[_Patched]] = {}  # by key of a VPA: specs that it completed

    def admit(self, request: AdmissionRequest) -> Any:
        pod: Pod = request.obj
        vpa = self._vpa_of(pod)
        if vpa is None:
            return pod
        memo = self._patched.setdefault(vpa.metadata.key, IdentityMemo())
        patched = memo.get(pod.spec) or memo.put(pod.spec, self._patch(pod, vpa, request.namespace))
        annotations = {
            **pod.metadata.annotations,
            OBSERVED_CONTAINERS: ", ".join(container.name for container in pod.spec.containers),
        }
        if patched.updates:
            annotations[UPDATES] = patched.updates
        return replaced(pod, metadata=replaced(pod.metadata, annotations=annotations), spec=patched.spec)

    def observe(self, change: str, obj: ApiObject, old: ApiObject) -> None:
        if isinstance(obj, LimitRange):
            self._ranges.put(change, obj, obj)
            self._patched.clear()
            return
        key = obj.metadata.key
        self._patched.pop(key, None)
        known = self._known.pop(key, None)
        if known is not None:
            self._by_target[_target(known)].pop(key)
        if change != DELETED and obj.spec.target_ref is not None:
            self._known[key] = obj
            self._by_target.setdefault(_target(obj), {})[key] = obj
        self.idle = not self._known

    def rebuild(self) -> None:
        self._ranges.clear()
        self._known.clear()
        self._by_target.clear()
        self._patched.clear()
        self.idle = True
        for kind in sorted(self.observes):
            for found in self.cache.objects(kind).values():
                self.observe(ADDED, found, None)

    # -- within --------------------------------------------------------------------------------------------------------

    def _vpa_of(self, pod: Pod) -> VerticalPodAutoscaler | None:
        """Source: matcher.go GetMatchingVPA."""
        top = topmost_controller(pod, self._find)
        if top is None:
            return None
        namespace = pod.metadata.namespace
        found: VerticalPodAutoscaler | None = None
        for vpa in self._by_target.get((namespace, *top), {}).values():
            if vpa.update_mode == OFF or not precedes(vpa, found):
                continue
            target = self._find(*top[:1], namespace, top[1])
            selector = None if target is None else target_selector(target)
            if selector is not None and selector.matches(pod.metadata.labels):
                found = vpa
        return found

    def _find(self, kind: str, namespace: str, name: str) -> Any:
        try:
            return self.cache.get(kind, namespace, name)
        except ApiError:
            return None

    def _patch(self, pod: Pod, vpa: VerticalPodAutoscaler, namespace: str) -> _Patched:
        """Source: recommendation_provider.go GetContainersResourcesForPod, resource_updates.go CalculatePatches."""
        if vpa.status.recommendation is None:
            return _Patched(pod.spec, "")
        ranges = self._ranges.values(namespace)
        capped, notes = capped_for_pod(vpa, pod, ranges)
        item = limit_range_item(ranges, "Container")
        told: list[str] = []
        containers = []
        for index, container in enumerate(pod.spec.containers):
            default = item.default if item is not None else {}
            requests, limits, more = recommended_resources(container, vpa, capped, default)
            if requests or limits:
                words = [*notes.get(container.name, ()), *more]
                words += [f"{name} request" for name in sorted(requests)]
                words += [f"{name} limit" for name in sorted(limits)]
                told.append(f"container {index}: {', '.join(words)}")
                own = container.resources
                merged = replaced(own, requests={**own.requests, **requests}, limits={**own.limits, **limits})
                container = replaced(container, resources=merged)
            containers.append(container)
        if not told:
            return _Patched(pod.spec, "")
        updates = f"Pod resources updated by {vpa.metadata.name}: {'; '.join(told)}"
        return _Patched(replaced(pod.spec, containers=tuple(containers)), updates)


def _target(vpa: VerticalPodAutoscaler) -> tuple[str, str, str]:
    ref = vpa.spec.target_ref
    assert ref is not None
    return vpa.metadata.namespace, ref.kind, ref.name
