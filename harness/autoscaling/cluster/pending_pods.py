"""Pods that a scan places before it asks for nodes: those of nodes that are drained, and those that are pending.

Source: cluster-autoscaler core/podlistprocessor, core/static_autoscaler.go filterOutYoungPods (1.37).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.drainability import is_daemon
from harness.autoscaling.cluster.fork import Fork
from harness.model.core import Pod
from harness.model.times import parse_duration
from harness.scheduling.strategy import PodView

SCALE_UP_DELAY = "cluster-autoscaler.kubernetes.io/pod-scale-up-delay"
"""Source: processors/pods annotations.PodScaleUpDelayAnnotationKey."""


class PendingPods:
    """Of the last look: `has_young`: it left some out that were too young; `has_placed`: some count where they would
    fit."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self.has_young = self.has_placed = False

    def place_moving(self, fork: Fork, drained: Iterable[str]) -> None:
        """Pods of nodes that are drained will need places. Source: currently_drained_nodes.go."""
        state = self._state
        for name in sorted(drained):
            for pod in state.pods_on(name):
                if any(owner.controller and owner.kind != "DaemonSet" for owner in pod.metadata.owner_references):
                    fork.forget(state.view(pod))
                    fork.place(state.unbound_view(pod))

    def place(self, now: int, fork: Fork) -> tuple[list[PodView], list[Pod]]:
        """Those that fit on nothing that is there or coming, as views and as objects; the others count where they fit.
        Source: expendable, nominated, DaemonSet and schedulable pods are filtered out."""
        state = self._state
        left, pods = [], []
        self.has_young = self.has_placed = False
        for _, pod in sorted(state.pending.items(), key=oldest_first):
            if state.is_expendable(pod) or is_daemon(pod) or pod.metadata.deletion_timestamp is not None:
                continue
            view = state.view(pod)
            nominated = fork.snapshot.node_table.index.get(pod.status.nominated_node_name)
            if nominated is not None:
                fork.assume(view, nominated)  # it waits there for others to go
                self.has_placed = True
            elif fork.place(view) is not None:
                self.has_placed = True
            elif self._is_young(now, pod):
                self.has_young = True
            else:
                left.append(view)
                pods.append(pod)
        return left, pods

    def _is_young(self, now: int, pod: Pod) -> bool:
        """Too young for a scale-up; its annotation can say longer, not shorter."""
        delay_ns = self._state.settings.new_pod_scale_up_delay_ns
        own = pod.metadata.annotations.get(SCALE_UP_DELAY)
        if own is not None:
            with suppress(ValueError):  # no duration: told in a log there, and left out
                delay_ns = max(delay_ns, parse_duration(own))
        return delay_ns > 0 and now - (pod.metadata.creation_timestamp or 0) <= delay_ns


def oldest_first(item: tuple[str, Pod]) -> tuple[int, int, str]:
    """By priority, then by age."""
    key, pod = item
    return (-(pod.spec.priority or 0), pod.metadata.creation_timestamp or 0, key)
