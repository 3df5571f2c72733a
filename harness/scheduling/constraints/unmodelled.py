"""Constraints that a pod can ask for and that nothing here models yet: the pod waits, and is told which."""

from __future__ import annotations

from typing import Any

from harness.model.core import Pod

# Volumes that need no decision of the scheduler (kube-scheduler's volume plugins look at none of them).
_LOCAL_VOLUMES = {"configMap", "downwardAPI", "emptyDir", "hostPath", "image", "projected", "secret", "nfs"}


def unmodelled(pod: Pod) -> tuple[str, ...]:
    """The kube-scheduler plugins whose constraints this pod uses and nothing models, in their filter order."""
    extra: dict[str, Any] = pod.spec.extra or {}
    names = []
    if any(_needs_decision(volume) for volume in extra.get("volumes") or ()):
        names.append("VolumeBinding")
    if extra.get("resourceClaims"):
        names.append("DynamicResources")
    return tuple(names)


def _needs_decision(volume: dict[str, Any]) -> bool:
    return any(source not in _LOCAL_VOLUMES for source in volume if source != "name")
