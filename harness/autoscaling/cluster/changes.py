"""What an event changes for a simulation that stands: which nodes it touches, or that all must be simulated again."""

from __future__ import annotations

from collections.abc import Iterable

from harness.autoscaling.cluster.cluster_state import ClusterState
from harness.autoscaling.cluster.removals import is_plain
from harness.engine.component import DELETED, Watch
from harness.model.core import Node, Pod
from harness.model.meta import condition
from harness.model.objects import DaemonSet, PodDisruptionBudget
from harness.scheduling.strategy import PodView

ENDED = ("Succeeded", "Failed")


def touched_nodes(state: ClusterState, event: Watch) -> tuple[str, ...] | None:
    """Names of the nodes that the event changes, before `state` has observed it; () where nothing that counts changes;
    None where more may change than what stands on some nodes."""
    obj, gone = event.obj, event.type == DELETED
    match obj:
        case Pod():
            return _of_pod(state, obj, gone=gone)
        case Node():
            old = state.nodes.get(obj.metadata.name)
            return None if gone or old is None or not _is_alike(old, obj) else ()
        case PodDisruptionBudget():
            budget = state.budgets.get(obj.metadata.key)
            alike = (
                budget is not None
                and budget.spec == obj.spec
                and budget.status.disruptions_allowed == obj.status.disruptions_allowed
            )
            return () if alike and not gone else None
        case DaemonSet():
            known = state.daemon_set(obj.metadata.key)
            return () if known is not None and not gone and known.spec == obj.spec else None
        case _:
            return None


def could_help(state: ClusterState, nodes: Iterable[str], pods: Iterable[PodView]) -> bool:
    """Whether one of `pods`, which fitted nowhere, would fit on one of the nodes."""
    snapshot = state.snapshot
    columns = [index for name in nodes if (index := snapshot.node_table.index.get(name)) is not None]
    return bool(columns) and any(bool(snapshot.feasible(pod)[columns].any()) for pod in pods)


def _of_pod(state: ClusterState, pod: Pod, *, gone: bool) -> tuple[str, ...] | None:
    key = pod.metadata.key
    if key in state.pending:
        return None  # it asked for a place
    old = state.pods.get(key)
    if old is None:
        if not pod.spec.node_name:
            return None if state.would_pend(pod) and not gone else ()
        if gone or pod.status.phase in ENDED:
            return ()
    elif old.spec.node_name != pod.spec.node_name:
        return None  # the store was set back
    elif not gone and pod.status.phase not in ENDED and _moves_alike(old, pod):
        return ()
    name = pod.spec.node_name
    if name not in state.nodes or not is_plain(state.view(pod)):
        return None
    return (name,)


def _moves_alike(old: Pod, new: Pod) -> bool:
    a, b = old.metadata, new.metadata
    return (
        a.labels == b.labels
        and a.annotations == b.annotations
        and a.owner_references == b.owner_references
        and a.deletion_timestamp == b.deletion_timestamp
        and old.spec == new.spec
    )


def _is_alike(old: Node, new: Node) -> bool:
    """But for soft taints, which no filter looks at, and what kubelets report all the time."""
    ready, was = (condition(node.status.conditions, "Ready") for node in (new, old))
    return (
        old.metadata.labels == new.metadata.labels
        and old.metadata.annotations == new.metadata.annotations
        and (was is None) == (ready is None)
        and (was is None or ready is None or was.status == ready.status)
        and old.spec.unschedulable == new.spec.unschedulable
        and _hard_taints(old) == _hard_taints(new)
        and old.status.allocatable == new.status.allocatable
        and old.status.capacity == new.status.capacity
        and old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
    )


def _hard_taints(node: Node) -> list[tuple[str, str, str]]:
    taints = node.spec.taints
    return [(taint.key, taint.value, taint.effect) for taint in taints if taint.effect != "PreferNoSchedule"]
