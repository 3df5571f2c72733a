"""Which pods keep a node from being removed, which are moved, and which do not count.

Source: cluster-autoscaler simulator/drainability/rules (rules.go: their order), utils/drain/drain.go, utils/pod/pod.go,
utils/daemonset/daemonset.go (1.37). Not modelled: --min-replica-count, and a controller that is gone while its pods are
still there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.engine.component import SECOND
from harness.model.core import Pod
from harness.model.objects import PodDisruptionBudget

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
ON_COMPLETION = "on-completion"
"""Its value for pods that are never evicted, and after whose end the node may go."""
SAFE_LOCAL_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
DAEMON_POD = "cluster-autoscaler.kubernetes.io/daemonset-pod"
DAEMON_EVICTION = "cluster-autoscaler.kubernetes.io/enable-ds-eviction"
MIRROR = "kubernetes.io/config.mirror"
LONG_TERMINATING_NS = 30 * SECOND
"""Source: PodLongTerminatingExtraThreshold."""
REPLICATED = ("ReplicationController", "Job", "ReplicaSet", "StatefulSet")

Fate: TypeAlias = Literal["move", "daemon", "ignore", "wait"]
"""What becomes of a pod when its node goes: it must find another place, is its DaemonSet's, does not count, or keeps
the node until it has ended."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The pod keeps its node. `reason`: as CA names it."""

    pod: Pod
    reason: str
    message: str


class RemainingBudgets:
    """Disruptions that are still allowed while removals are planned. Source: core/scaledown/pdb/basic.go."""

    def __init__(self, budgets: Mapping[str, PodDisruptionBudget]) -> None:
        self._budgets = budgets
        self._left = {key: budget.status.disruptions_allowed or 0 for key, budget in budgets.items()}

    def matching(self, pod: Pod) -> list[str]:
        meta = pod.metadata
        return [
            key
            for key, budget in self._budgets.items()
            if budget.metadata.namespace == meta.namespace
            and budget.spec.selector is not None
            and budget.spec.selector.matches(meta.labels)
        ]

    def allows(self, pod: Pod) -> bool:
        return all(self._left[key] >= 1 for key in self.matching(pod))

    def allow_together(self, pods: list[Pod]) -> bool:
        """Whether all of them may be evicted at once. Source: CanRemovePods."""
        asked = Counter(key for pod in pods for key in self.matching(pod))
        return all(self._left[key] >= count for key, count in asked.items())

    def spend(self, pods: list[Pod]) -> None:
        self._change(pods, -1)

    def give_back(self, pods: list[Pod]) -> None:
        """What was spent for them."""
        self._change(pods, 1)

    def _change(self, pods: list[Pod], by: int) -> None:
        for pod in pods:
            for key in self.matching(pod):
                self._left[key] += by


def is_daemon(pod: Pod) -> bool:
    """By its controller, or because it says so. Source: IsDaemonSetPod."""
    if pod.metadata.annotations.get(DAEMON_POD) == "true":
        return True
    return any(owner.controller and owner.kind == "DaemonSet" for owner in pod.metadata.owner_references)


def may_evict_daemon(pod: Pod, by_default: bool) -> bool:
    """Source: PodsToEvict: what the pod says comes before the flag."""
    said = pod.metadata.annotations.get(DAEMON_EVICTION)
    return by_default if said is None else said == "true"


def long_terminating(pod: Pod, now: int) -> bool:
    """It is being deleted, and its grace period has long run out: its kubelet is gone."""
    deleted = pod.metadata.deletion_timestamp
    if deleted is None:
        return False
    # CA adds the grace period, though the API server's timestamp already includes it.
    grace = pod.spec.termination_grace_period_seconds
    return deleted + (30 if grace is None else grace) * SECOND + LONG_TERMINATING_NS < now


def fate_of(pod: Pod, now: int, budgets: RemainingBudgets, settings: ClusterAutoscalerSettings) -> Fate | Blocked:
    meta = pod.metadata
    if MIRROR in meta.annotations or long_terminating(pod, now):
        return "ignore"
    if is_daemon(pod):
        return "daemon"
    if meta.annotations.get(SAFE_TO_EVICT) == "true":
        return "move"
    if _is_terminal(pod):
        return "ignore"
    if meta.annotations.get(SAFE_TO_EVICT) == ON_COMPLETION:
        return "wait"
    controller = next((owner for owner in meta.owner_references if owner.controller), None)
    kinds = REPLICATED if settings.skip_nodes_with_custom_controller_pods else None
    if controller is None or (kinds is not None and controller.kind not in kinds):
        return Blocked(pod, "NotReplicated", "is not replicated")
    if settings.skip_nodes_with_system_pods and meta.namespace == "kube-system" and not budgets.matching(pod):
        # Nothing that comes after this rule is asked of one that is old enough. Source: rules/system/rule.go (1.33).
        if (meta.creation_timestamp or 0) + settings.blocking_system_pod_distruption_timeout_ns < now:
            return "move"
        return Blocked(pod, "UnmovableKubeSystemPod", "is a kube-system pod without a budget")
    if meta.annotations.get(SAFE_TO_EVICT) == "false":
        return Blocked(pod, "NotSafeToEvictAnnotation", "is annotated as not safe to evict")
    if settings.skip_nodes_with_local_storage and _has_blocking_local_storage(pod):
        return Blocked(pod, "LocalStorageRequested", "has local storage")
    if not budgets.allows(pod):
        return Blocked(pod, "NotEnoughPdb", "has not enough disruption budget")
    return "move"


def _is_terminal(pod: Pod) -> bool:
    phase = pod.status.phase
    return phase == "Failed" or (phase == "Succeeded" and pod.spec.restart_policy in ("Never", "OnFailure"))


def _has_blocking_local_storage(pod: Pod) -> bool:
    safe = pod.metadata.annotations.get(SAFE_LOCAL_VOLUMES, "").split(",")
    for volume in (pod.spec.extra or {}).get("volumes") or ():
        if not isinstance(volume, dict) or volume.get("name") in safe:
            continue
        empty = volume.get("emptyDir")
        if "hostPath" in volume or (isinstance(empty, dict) and empty.get("medium") != "Memory"):
            return True
    return False
