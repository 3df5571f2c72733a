"""Constraints that a pod can ask for and that nothing here models yet: the pod waits, and is told which."""

from __future__ import annotations

from typing import Any

from harness.model.core import Pod

# Volumes that need no decision of the scheduler (kube-scheduler's volume plugins look at none of them).
_LOCAL_VOLUMES = {"configMap", "downwardAPI", "emptyDir", "hostPath", "image", "projected", "secret", "nfs"}


def unmodelled(pod: Pod) -> tuple[str, ...]:
    """The kube-scheduler plugins whose constraints this pod uses and nothing models, in their filter order."""
    spec = pod.spec
    extra: dict[str, Any] = spec.extra or {}
    names = []
    if any(port.host_port for container in spec.containers for port in container.ports):
        names.append("NodePorts")
    if any(_needs_decision(volume) for volume in extra.get("volumes") or ()):
        names.append("VolumeBinding")
    if any(constraint.when_unsatisfiable == "DoNotSchedule" for constraint in spec.topology_spread_constraints):
        names.append("PodTopologySpread")
    if spec.affinity is not None and any(
        affinity is not None and affinity.required_during_scheduling_ignored_during_execution
        for affinity in (spec.affinity.pod_affinity, spec.affinity.pod_anti_affinity)
    ):
        names.append("InterPodAffinity")
    if extra.get("resourceClaims"):
        names.append("DynamicResources")
    return tuple(names)


def _needs_decision(volume: dict[str, Any]) -> bool:
    return any(source not in _LOCAL_VOLUMES for source in volume if source != "name")
