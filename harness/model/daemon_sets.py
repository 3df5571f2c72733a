"""What every pod of a DaemonSet tolerates."""

from __future__ import annotations

from msgspec.structs import replace

from harness.model.core import PodSpec, Toleration

_NO_EXECUTE = ("not-ready", "unreachable")
_NO_SCHEDULE = ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")

TOLERATED = tuple(
    Toleration(key=f"node.kubernetes.io/{key}", operator="Exists", effect=effect)
    for effect, keys in (("NoExecute", _NO_EXECUTE), ("NoSchedule", _NO_SCHEDULE))
    for key in keys
)
"""Source: kubernetes 1.32 pkg/controller/daemon/util/daemonset_util.go AddOrUpdateDaemonPodTolerations."""


def with_tolerations(spec: PodSpec) -> PodSpec:
    """`spec` with those of TOLERATED that it has not."""
    more = tuple(t for t in TOLERATED if t not in spec.tolerations)
    return replace(spec, tolerations=(*spec.tolerations, *more))
