"""Which claims a pod uses, and which of them are made for it alone."""

from __future__ import annotations

from typing import Any, TypeAlias

from harness.model.core import Pod, PodSpec
from harness.model.volumes import ephemeral_name

OwnedClaim: TypeAlias = tuple[str, str, str]
"""An ephemeral claim, made for one pod: its key, the pod's key, the pod's uid."""


def owned_claims(pod: Pod) -> tuple[OwnedClaim, ...]:
    """Claims that are made for this pod alone."""
    given: list[dict[str, Any]] = (pod.spec.extra or {}).get("volumes") or []
    meta = pod.metadata
    return tuple(
        (f"{meta.namespace}/{ephemeral_name(pod, volume)}", meta.key, meta.uid)
        for volume in given
        if "ephemeral" in volume
    )


def has_ephemeral(spec: PodSpec) -> bool:
    """A claim is made for one of its volumes, named after the pod."""
    given: list[dict[str, Any]] = (spec.extra or {}).get("volumes") or []
    return any("ephemeral" in volume for volume in given)


def has_claims(spec: PodSpec) -> bool:
    """Whether `claims_of` has any."""
    given: list[dict[str, Any]] = (spec.extra or {}).get("volumes") or []
    return any("ephemeral" in volume or isinstance(volume.get("persistentVolumeClaim"), dict) for volume in given)
