"""Autoscaled pools at rest: nobody waits for a node that a pool would make, and no node stands empty that could go."""

from __future__ import annotations

from collections.abc import Iterator

from harness.autoscaling.cluster.resource_limits import above, left_of
from harness.autoscaling.cluster.settings import ClusterAutoscalerSettings
from harness.autoscaling.pool import total_of
from harness.controllers.workloads.job.pods import finished_at
from harness.convergence.cluster_state import ENDED, ClusterState
from harness.convergence.fits import add_new_node, snapshot_of, waits_for_node
from harness.engine.component import MINUTE, SECOND
from harness.model.core import Node, Pod
from harness.model.meta import is_ready
from harness.model.whole_numbers import whole_number
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.pod_classes import GROUP_LABEL
from harness.scheduling.strategy import CPU, MEMORY

NEW = "one-more"

DELETION_CANDIDATE = "DeletionCandidateOfClusterAutoscaler"

SLACK_NS = 5 * MINUTE
"""For scans and deletions one after the other."""


def idle_ns(flags: ClusterAutoscalerSettings) -> int:
    """So long nobody may have needed a node that is still there: with the defaults ten minutes unneeded, and ten after
    the last scale-up."""
    return flags.scale_down_unneeded_time_ns + flags.scale_down_delay_after_add_ns + SLACK_NS


def pools(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Not judged while a node is not ready: an autoscaler does nothing in an unhealthy cluster. Gangs make no pool grow
    here: one member more makes none whole. Source: cluster-autoscaler clusterstate.go IsClusterHealthy (1.32)."""
    if not state.templates or any(not is_ready(node.status.conditions) for node in state.listed("Node")):
        return
    of_pool: dict[str, list[str]] = {name: [] for name in state.templates}
    for node in state.listed("Node"):
        name = node.metadata.labels.get(state.pool_label, "")
        if name in of_pool:
            of_pool[name].append(node.metadata.name)
    waiting = [pod for pod in state.listed("Pod") if waits_for_node(state, pod)]
    yield from _empty(state, of_pool, waiting)
    if 0 < state.flags.max_nodes_total <= len(state.listed("Node")):
        return
    alone = [pod for pod in waiting if not pod.metadata.labels.get(GROUP_LABEL)]
    limits = left_of(total_of(state.listed("Node")), state.flags)
    for name, pool in sorted(state.templates.items()):
        if alone and len(of_pool[name]) < pool.most and not limits.exceeded(pool.template):
            on = snapshot_of(state.objects, state.filters)
            index = add_new_node(state, on, pool.node(NEW))
            for pod in alone:
                if bool(on.feasible(on.classes.view(pod))[index]):
                    yield f"Pod {pod.metadata.key}", f"waits, though it would fit on a new node of pool {name}"


def _empty(state: ClusterState, of_pool: dict[str, list[str]], waiting: list[Pod]) -> Iterator[tuple[str, str]]:
    """A node on which somebody waiting would fit, if only its gang came, is in use. Source: core/podlistprocessor
    filter_out_schedulable.go (1.32)."""
    if not state.flags.scale_down_enabled:
        return
    on, limits = snapshot_of(state.objects, state.filters), above(total_of(state.listed("Node")), state.flags)
    fits = [on.feasible(on.classes.view(pod)) for pod in waiting]
    used: dict[str, int] = {}  # until when, by node
    for pod in state.listed("Pod"):
        owner = pod.metadata.controller()
        if pod.status.phase not in ENDED and (owner is None or owner.kind != "DaemonSet"):
            used[pod.spec.node_name] = state.now
        elif pod.status.phase in ENDED:
            used[pod.spec.node_name] = max(used.get(pod.spec.node_name, 0), finished_at(pod))
    for name, nodes in sorted(of_pool.items()):
        least = state.templates[name].least
        for node in nodes if len(nodes) > least else ():
            since = max(used.get(node, 0), _noticed_ns(state.objects("Node")[node]))
            if (
                since + idle_ns(state.flags) < state.now
                and limits.nodes(state.objects("Node")[node], 1)
                and not _is_busy(on, node, state.flags)
                and not any(mask[on.node_table.index[node]] for mask in fits)
            ):
                text = f"empty for {(state.now - since) // SECOND} s, though pool {name} has {len(nodes)} nodes"
                yield f"Node {node}", f"{text} and needs {least}"


def _is_busy(on: Snapshot, name: str, flags: ClusterAutoscalerSettings) -> bool:
    """By what daemons alone ask for. Source: cluster-autoscaler simulator/utilization/info.go Calculate (1.32)."""
    if flags.ignore_daemonsets_utilization:
        return False
    node, free, of = on.node_table.index[name], on.free, on.capacity
    share = flags.scale_down_utilization_threshold
    return any(of[row, node] - free[row, node] >= share * of[row, node] for row in (CPU, MEMORY) if of[row, node])


def _noticed_ns(node: Node) -> int:
    """When the autoscaler found that nobody needs it, or else when it came: pods that are gone tell nothing."""
    came = int(node.metadata.creation_timestamp or 0)
    marked = [whole_number(taint.value) for taint in node.spec.taints if taint.key == DELETION_CANDIDATE]
    return max([came, *(seconds * SECOND for seconds in marked if seconds is not None)])
