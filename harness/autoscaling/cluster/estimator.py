"""How many nodes of a pool some pods need, on a fork of the whole cluster.

Source: cluster-autoscaler estimator/binpacking_estimator.go and decreasing_pod_orderer.go (1.32): first fit decreasing,
by groups of pods that are alike; a new node comes with its DaemonSet pods; only nodes that took a pod are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.autoscaling.cluster.daemon_pods import DaemonPods
from harness.autoscaling.cluster.fork import Fork
from harness.autoscaling.pool import NodePool
from harness.scheduling.feasibility.fit_error import reasons_on_node
from harness.scheduling.strategy import PodView

Groups = Mapping[int, Sequence[PodView]]
"""Pods by the id of their class: those that are alike."""


def add_template_node(fork: Fork, pool: NodePool, name: str, daemon_pods: DaemonPods) -> int:
    """A node of the pool with the DaemonSet pods that it will have; its column index."""
    index = fork.add_node(pool.node(name))
    for pod in daemon_pods.of_node(name):
        fork.place_on(pod, (index,))
    return index


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
    for _, pods in sorted(groups.items(), key=size):  # ties: as they came
        at = 0
        while at < len(pods):
            node = fork.place_on(pods[at], np.asarray(nodes, dtype=np.int64))
            if node is None:
                break
            used.add(node)
            placed.append(pods[at])
            at += 1
        for pod in pods[at:]:
            node = fork.place_on(pod, nodes[-1:])
            if node is None:
                # A last node that is empty did not take it, so a new one would not either.
                if (nodes and nodes[-1] not in used) or len(nodes) >= limit:
                    break
                nodes.append(add_template_node(fork, pool, f"{pool.name}-estimate-{len(nodes)}", daemon_pods))
                node = fork.place_on(pod, nodes[-1:])
                if node is None:
                    break
            used.add(node)
            placed.append(pod)
    fork.revert(mark)
    return len(used), placed
