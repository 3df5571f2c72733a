"""How many nodes of a pool some pods need, on a fork of the whole cluster.

Source: cluster-autoscaler estimator/binpacking_estimator.go and decreasing_pod_orderer.go (1.32): first fit decreasing,
by groups of pods that are alike; a new node comes with its DaemonSet pods; only nodes that took a pod are counted, and
where pods spread over hosts those that are there, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.autoscaling.cluster.daemon_pods import DaemonPods
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.pool import NodePool
from harness.model.node_labels import HOSTNAME
from harness.scheduling.feasibility.fit_error import reasons_on_node
from harness.scheduling.filters.pod_constraints import constraints_of
from harness.scheduling.filters.pod_topology_spread import REASON as TOO_UNEVEN
from harness.scheduling.filters.pod_topology_spread import TopologyLabel
from harness.scheduling.strategy import PodView

Groups = Mapping[int, Sequence[PodView]]
"""Pods by the id of their class: those that are alike."""


def add_template_node(fork: Fork, pool: NodePool, name: str, daemon_pods: DaemonPods) -> int:
    """A node of the pool with the DaemonSet pods that it will have; its column index."""
    index = fork.add_node(pool.node(name))
    for pod in daemon_pods.of_node(name):
        fork.place_on(pod, (index,))
    return index


def empty_as_template(fork: Fork, name: str, daemon_pods: DaemonPods) -> None:
    """The node without what runs there, but with the DaemonSet pods that it will have. Source: static_autoscaler.go,
    which puts a template in the place of a node that has not started."""
    snapshot = fork.snapshot
    node = snapshot.node_table.index[name]
    for pod in tuple(snapshot.pods_on(node)):
        fork.forget(pod)
    for pod in daemon_pods.of_node(name):
        fork.place_on(pod, (node,))


def daemon_requests(fork: Fork, pool: NodePool, daemon_pods: DaemonPods) -> tuple[int, int]:
    """CPU and memory that DaemonSet pods take of a new node of the pool, as the snapshot counts them."""
    mark = fork.mark
    snapshot, node = fork.snapshot, add_template_node(fork, pool, f"{pool.name}-template", daemon_pods)
    cpu, memory = (int(snapshot.capacity[row, node] - snapshot.free[row, node]) for row in (0, 1))
    fork.revert(mark)
    return cpu, memory


def reasons_against(fork: Fork, pool: NodePool, groups: Groups, daemon_pods: DaemonPods) -> dict[int, tuple[str, ...]]:
    """For each group whose pods do not fit on one new node of the pool, why. Source: SchedulablePodGroups."""
    mark = fork.mark
    node = add_template_node(fork, pool, f"{pool.name}-template", daemon_pods)
    out = {}
    for key, pods in groups.items():
        pod = pods[0]
        if not fork.snapshot.feasible(pod)[node]:
            out[key] = reasons_on_node(fork.snapshot, fork.snapshot.classes.class_now(pod), node)
    fork.revert(mark)
    return out


def _is_spread_against(fork: Fork, pod: PodView, node: int) -> bool:
    """Whether the pod spreads over hosts and that alone keeps it off the node. Source: isPodUsingHostNameTopologyKey,
    hasTopologyConstraintError (1.33)."""
    filters = constraints_of(pod.cls).filters
    if not any(isinstance(item, TopologyLabel) and item.key == HOSTNAME for item in filters):
        return False
    return TOO_UNEVEN in reasons_on_node(fork.snapshot, fork.snapshot.classes.class_now(pod), node)


def estimate(
    fork: Fork, pool: NodePool, groups: Groups, limit: int, daemon_pods: DaemonPods
) -> tuple[int, list[PodView]]:
    """(nodes of the pool, at most `limit`; pods that would fit on them). The fork is as before."""
    mark = fork.mark
    allocatable = pool.template.status.allocatable
    cpu = max(allocatable["cpu"].milli, 1) if "cpu" in allocatable else 1
    memory = max(allocatable["memory"].milli // 1000, 1) if "memory" in allocatable else 1

    def size(item: tuple[int, Sequence[PodView]]) -> float:
        amounts = item[1][0].cls.amounts
        return -(amounts[0] / cpu + amounts[1] / memory)

    placed: list[PodView] = []
    nodes: list[int] = []
    used: set[int] = set()
    may_add = True
    for _, pods in sorted(groups.items(), key=size):  # ties: as they came
        at = 0
        while at < len(pods):
            node = fork.place_on(pods[at], np.asarray(nodes, dtype=np.int64))
            if node is None:
                break
            used.add(node)
            placed.append(pods[at])
            at += 1
        for pod in pods[at:] if may_add else ():
            node = fork.place_on(pod, nodes[-1:])
            if node is None and nodes and _is_spread_against(fork, pod, nodes[-1]):
                node = fork.place(pod)  # a node that came since has made room in other domains
            if node is None:
                # A last node that is empty did not take it, so a new one would not either.
                if nodes and nodes[-1] not in used:
                    break
                if len(nodes) >= limit:
                    may_add = False
                    break
                nodes.append(add_template_node(fork, pool, f"{pool.name}-estimate-{len(nodes)}", daemon_pods))
                node = fork.place_on(pod, nodes[-1:])
                if node is None:
                    break
            used.add(node)
            placed.append(pod)
    fork.revert(mark)
    return len(used), placed
