"""Constraints that a pod can ask for and that nothing here models yet: the pod waits, and is told which."""

from __future__ import annotations

from typing import Any

from harness.model.core import Pod

_SHARED_DISKS = {"awsElasticBlockStore", "gcePersistentDisk", "iscsi", "rbd"}
"""Volumes that two pods cannot use on one node.

Source: kube-scheduler 1.32 plugins/volumerestrictions needsRestrictionsCheck."""


def unmodelled(pod: Pod) -> tuple[str, ...]:
    """The kube-scheduler plugins whose constraints this pod uses and nothing models, in their filter order."""
    extra: dict[str, Any] = pod.spec.extra or {}
    sources = {source for volume in extra.get("volumes") or () for source in volume if source != "name"}
    names = []
    if sources & _SHARED_DISKS:
        names.append("VolumeRestrictions")
    if extra.get("resourceClaims"):
        names.append("DynamicResources")
    return tuple(names)
