"""How many pods of one controller may be evicted in one look.

Source: kubernetes/autoscaler vertical-pod-autoscaler/pkg/updater/restriction (1.8) pods_restriction_factory.go,
pods_eviction_restriction.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.autoscaling.vertical.settings import UpdaterSettings
from harness.model.core import Pod
from harness.model.vertical import VerticalPodAutoscaler, controller_of

Find = Callable[[str, str, str], Any]


@dataclass(slots=True)
class ReplicaGroup:
    """Pods of one controller. `configured`: replicas that it should have."""

    configured: int
    tolerance: int
    running: int
    evicted: int = 0

    @property
    def is_disruptable(self) -> bool:
        """Source: singleGroupStats.isPodDisruptable."""
        if self.running - self.evicted > self.configured - self.tolerance:
            return True
        return self.configured == self.running and not self.tolerance and not self.evicted


class EvictionLimits:
    """Of one look at the pods of one VPA."""

    def __init__(self, vpa: VerticalPodAutoscaler, pods: Sequence[Pod], settings: UpdaterSettings, find: Find) -> None:
        policy = vpa.spec.update_policy
        required = settings.min_replicas if policy is None or policy.min_replicas is None else policy.min_replicas
        by_controller: dict[tuple[str, str, str], list[Pod]] = {}
        for pod in pods:
            ref = controller_of(pod)
            if ref is not None:
                by_controller.setdefault((ref.kind, pod.metadata.namespace, ref.name), []).append(pod)
        self._groups: dict[str, ReplicaGroup] = {}  # by key of the pod
        for (kind, namespace, name), held in by_controller.items():
            configured = len(held) if kind == "Job" else _configured(find(kind, namespace, name))
            if len(held) < required or not configured:
                continue
            running = sum(pod.status.phase != "Pending" for pod in held)
            group = ReplicaGroup(configured, int(configured * settings.eviction_tolerance), running)
            self._groups.update((pod.metadata.key, group) for pod in held)

    def may_evict(self, pod: Pod) -> bool:
        group = self._groups.get(pod.metadata.key)
        if group is None:
            return False
        return pod.status.phase == "Pending" or group.is_disruptable

    def note_eviction(self, pod: Pod) -> None:
        if pod.status.phase != "Pending":
            self._groups[pod.metadata.key].evicted += 1


def _configured(owner: Any) -> int:
    """Replicas of a controller; of a DaemonSet its ready pods. Source: getReplicaCount."""
    if owner is None:
        return 0
    if hasattr(owner.spec, "replicas"):
        return owner.spec.replicas or 0
    return getattr(owner.status, "number_ready", 0) or 0
