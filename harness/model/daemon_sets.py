"""What every pod of a DaemonSet tolerates, and the node that it is for."""

from __future__ import annotations

from msgspec.structs import replace

from harness.model.core import NAME_FIELD, Pod, PodSpec, Toleration

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


def target_of(pod: Pod) -> str:
    """The node that a pod is on or meant for; '' when it says none. Source: util.GetTargetNodeName."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity
    of_nodes = affinity.node_affinity if affinity is not None else None
    required = of_nodes.required_during_scheduling_ignored_during_execution if of_nodes is not None else None
    for term in required.node_selector_terms if required is not None else ():
        for field in term.match_fields:
            if field.key == NAME_FIELD and field.operator == "In" and len(field.values) == 1:
                return field.values[0]
    return ""
