"""Which nodes are candidates for scale-down, by what is requested of them and what they say.

Source: cluster-autoscaler core/scaledown/eligibility/eligibility.go, simulator/utilization/info.go (1.32).
"""

from __future__ import annotations

import numpy as np

from harness.autoscaling.cluster.cluster_state import TO_BE_DELETED, ClusterState
from harness.autoscaling.cluster.drainability import MIRROR, is_daemon, long_terminating
from harness.autoscaling.cluster.pool_state import PoolState
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.model.core import Node, Pod

SCALE_DOWN_DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
"""Node annotation."""
AT_MINIMUM = "NodeGroupMinSizeReached"
"""Nodes of such a pool are looked at no further. Source: processors/nodes/pre_filtering_processor.go."""


def cooldown(
    now: int, settings: ClusterAutoscalerSettings, added: int | None, failed: int | None, deleted: int | None
) -> str:
    """The flag because of which no node goes now, '' for none. Source: static_autoscaler.go isScaleDownInCooldown."""
    delays = (
        ("scale-down-delay-after-add", added, settings.scale_down_delay_after_add_ns),
        ("scale-down-delay-after-failure", failed, settings.scale_down_delay_after_failure_ns),
        ("scale-down-delay-after-delete", deleted, settings.scale_down_delay_after_delete_ns),
    )
    return next((name for name, since, delay in delays if since is not None and since + delay > now), "")


def in_local_cooldown(now: int, pool: PoolState, settings: ClusterAutoscalerSettings) -> str:
    """Why nodes of the pool are no candidates, where its delays are its own. Source: processors/scaledowncandidates
    scale_down_candidates_delay_processor.go."""
    if not settings.scale_down_delay_type_local:
        return ""
    flag = cooldown(now, settings, pool.last_scale_up_ns, pool.last_failure_ns, pool.last_delete_ns)
    return f"ScaleDownInCooldown: {flag}" if flag else ""


class Eligibility:
    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def against_all(self, now: int, going: set[str]) -> dict[str, str]:
        """Of each node of a pool that neither starts nor goes, as pools list them: why it is no candidate; '' for
        none."""
        state = self._state
        used = self._usual_utilization()
        passed_over = {
            name: AT_MINIMUM if pool.size <= pool.pool.least else in_local_cooldown(now, pool, state.settings)
            for name, pool in state.pools.items()
        }
        return {
            name: passed_over[pool.pool.name] or self._against(now, pool, state.nodes[name], used)
            for pool in state.pools.values()
            for name in pool.members
            if name not in going and name not in state.starting
        }

    def against(self, now: int, name: str) -> str:
        """Of one node, with what stands on it in the snapshot."""
        node = self._state.nodes[name]
        pool = self._state.pool_of(node)
        assert pool is not None, name
        return AT_MINIMUM if pool.size <= pool.pool.least else self._against(now, pool, node, None)

    def _against(self, now: int, pool: PoolState, node: Node, usual: list[float] | None) -> str:
        """Source: eligibility.go unremovableReasonAndNodeUtilization; '' for none."""
        settings = self._state.settings
        if any(taint.key == TO_BE_DELETED for taint in node.spec.taints):
            return "CurrentlyBeingDeleted"
        if node.metadata.annotations.get(SCALE_DOWN_DISABLED) == "true":
            return "ScaleDownDisabledAnnotation"
        if not settings.scale_down_unready_enabled and node.metadata.name in self._state.unready:
            return "ScaleDownUnreadyDisabled"
        index = self._state.snapshot.node_table.index[node.metadata.name]
        used, of_gpus = -1.0 if usual is None else usual[index], False
        if used < 0:
            used, of_gpus = self.utilization(now, node.metadata.name)
        threshold = (
            settings.scale_down_gpu_utilization_threshold if of_gpus else settings.scale_down_utilization_threshold
        )
        return "NotUnderutilized" if used > threshold else ""

    def _usual_utilization(self) -> list[float]:
        """By column: what `utilization` says of nodes all of whose pods count; -1 where some may not, or GPUs do."""
        state, settings, snapshot = self._state, self._state.settings, self._state.snapshot
        if settings.ignore_daemonsets_utilization or settings.ignore_mirror_pods_utilization:
            return [-1.0] * snapshot.room
        there = snapshot.capacity[:2].astype(np.float64)
        used = np.where(there > 0, (there - snapshot.free[:2]) / np.maximum(there, 1), 0.0).max(axis=0)
        used = np.maximum(used, 0.0)
        out: list[float] = used.tolist()
        for node in state.terminating.values():
            index = snapshot.node_table.index.get(node)
            if index is not None:
                out[index] = -1.0
        for index, devices in enumerate(snapshot.devices_of):
            if devices:
                out[index] = -1.0
        return out

    def utilization(self, now: int, name: str) -> tuple[float, bool]:
        """(share that is requested, whether of its GPUs): of CPU or memory the larger one. Pods that should have ended
        long ago do not count. Source: utilization.Calculate."""
        state, settings = self._state, self._state.settings
        snapshot = state.snapshot
        node = snapshot.node_table.index[name]
        aside_pods: list[Pod] = []  # neither used nor there
        over: list[Pod] = []
        for pod in state.pods_on(name):
            if (settings.ignore_daemonsets_utilization and is_daemon(pod)) or (
                settings.ignore_mirror_pods_utilization and MIRROR in pod.metadata.annotations
            ):
                aside_pods.append(pod)
            elif long_terminating(pod, now):
                over.append(pod)
        devices = snapshot.devices_of[node]
        if devices:
            there = 1000 * len(devices)
            used = there - sum(devices)
            aside, gone = (
                sum(view.cls.gpu.count * view.cls.gpu.milli for view in map(state.view, pods))
                for pods in (aside_pods, over)
            )
            return (used - aside - gone) / max(there - aside, 1), True
        out = 0.0
        for row in (0, 1):
            there, free = int(snapshot.capacity[row, node]), int(snapshot.free[row, node])
            aside, gone = (sum(state.view(pod).cls.amounts[row] for pod in pods) for pods in (aside_pods, over))
            if there - aside > 0:
                out = max(out, (there - free - aside - gone) / (there - aside))
        return out, False
