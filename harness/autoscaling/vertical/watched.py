"""What the recommender and the updater see of a cluster: VPAs, their targets, and pods by labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.autoscaling.pod_index import PodIndex
from harness.engine.component import DELETED, Relist, Watch
from harness.model.core import Pod
from harness.model.meta import LabelSelector
from harness.model.vertical import (
    WELL_KNOWN,
    VerticalPodAutoscaler,
    controller_of,
    precedes,
    target_selector,
    topmost_controller,
)

WATCHES = ("VerticalPodAutoscaler", *WELL_KNOWN, "Pod")


class Watched:
    """`on_pod`: told of each pod before and after a change (None: it is not there)."""

    def __init__(self, on_pod: Callable[[Pod | None, Pod | None], None] | None = None) -> None:
        self.vpas: dict[str, VerticalPodAutoscaler] = {}
        self.pods = PodIndex()
        self._owners: dict[tuple[str, str], Any] = {}  # by (kind, key)
        self._on_pod = on_pod

    def hear(self, event: Watch) -> bool:
        """False for a kind that is none of these."""
        obj, gone = event.obj, event.type == DELETED
        key = obj.metadata.key
        if type(obj) is Pod:
            if self._on_pod is not None:
                self._on_pod(self.pods.get(key), None if gone else obj)
            self.pods.hear(obj, gone=gone)
        elif type(obj) is VerticalPodAutoscaler:
            self.vpas.pop(key, None)
            if not gone:
                self.vpas[key] = obj
        elif type(obj).__name__ in WELL_KNOWN:
            self._owners.pop((type(obj).__name__, key), None)
            if not gone:
                self._owners[type(obj).__name__, key] = obj
        else:
            return False
        return True

    def relist(self, event: Relist) -> bool:
        if event.kind == "Pod":
            listed = {obj.metadata.key for obj in event.objects}
            for pod in [pod for pod in self.pods.all if pod.metadata.key not in listed]:
                self.hear(Watch(DELETED, pod))
        elif event.kind == "VerticalPodAutoscaler":
            self.vpas.clear()
        elif event.kind in WELL_KNOWN:
            self._owners = {key: value for key, value in self._owners.items() if key[0] != event.kind}
        else:
            return False
        for obj in event.objects:
            self.hear(Watch("ADDED", obj))
        return True

    def find(self, kind: str, namespace: str, name: str) -> Any:
        return self._owners.get((kind, f"{namespace}/{name}"))

    def selector(self, vpa: VerticalPodAutoscaler) -> tuple[LabelSelector | None, str]:
        """(which pods are the target's, why there are none). Source: cluster_feeder.go getSelector,
        validateTargetRef; their words."""
        ref, namespace = vpa.spec.target_ref, vpa.metadata.namespace
        if ref is None:
            return None, "Cannot read targetRef"
        target = self.find(ref.kind, namespace, ref.name)
        if target is None:
            return None, f"Cannot read targetRef. Reason: {ref.kind} {namespace}/{ref.name} does not exist"
        parent = controller_of(target)
        if parent is not None and parent.kind in WELL_KNOWN:
            named = f"{ref.api_version}.{ref.kind}/{ref.name}"
            why = "has a parent controller but it should point to a topmost well-known or scalable controller"
            return None, f"The target {named} {why}"
        return target_selector(target), ""

    def controlled(self, vpas: list[VerticalPodAutoscaler]) -> Iterator[tuple[VerticalPodAutoscaler, list[Pod]]]:
        """Each of `vpas` with the pods that it decides about, in order of key. Source: GetControllingVPAForPod."""
        by_pod: dict[str, tuple[Pod, VerticalPodAutoscaler]] = {}
        for vpa in vpas:
            selector, _ = self.selector(vpa)
            ref = vpa.spec.target_ref
            if selector is None or ref is None:
                continue
            for pod in self.pods.selected(vpa.metadata.namespace, selector):
                if pod.metadata.deletion_timestamp is not None:
                    continue
                held = by_pod.get(pod.metadata.key)
                if topmost_controller(pod, self.find) != (ref.kind, ref.name):
                    continue
                if precedes(vpa, held[1] if held is not None else None):
                    by_pod[pod.metadata.key] = (pod, vpa)
        for vpa in vpas:
            pods = [by_pod[key][0] for key in sorted(by_pod) if by_pod[key][1] is vpa]
            if pods:
                yield vpa, pods
