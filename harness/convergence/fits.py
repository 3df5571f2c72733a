"""Whether a pod fits anywhere, asked of a snapshot that is made from the API objects alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.controllers.workloads.daemonset import NodesForTemplate
from harness.convergence.cluster_state import ENDED, ClusterState
from harness.model.core import Node, Pod
from harness.model.meta import ObjectMeta, condition
from harness.scheduling.cycle import watched_objects
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.filter_plugin import FilterPlugin
from harness.scheduling.gangs import first_fit
from harness.scheduling.pods.pod_classes import PodClasses
from harness.scheduling.pods.requests import bound_devices
from harness.scheduling.state.from_node import node_columns

_VOLUMES = ("StorageClass", "PersistentVolume", "PersistentVolumeClaim")


def snapshot_of(objects: Callable[[str], Mapping[str, Any]], filters: Sequence[FilterPlugin] = ()) -> Snapshot:
    """Nodes, and the pods that are bound and have not ended. `filters`: the cluster's Filter plugins of others."""
    on = Snapshot(PodClasses(filters=filters))
    for kind in (*watched_objects.WATCHES, *_VOLUMES):
        for obj in objects(kind).values():
            watched_objects.observe(on.classes, obj)
    for _, node in sorted(objects("Node").items()):
        on.add_node(**node_columns(node))
    for _, pod in sorted(objects("Pod").items()):
        name = pod.spec.node_name
        if name in on.node_table.index and pod.status.phase not in ("Succeeded", "Failed"):
            on.assume_on(on.classes.view(pod), name, bound_devices(pod))
    return on


def fitting_node(on: Snapshot, pod: Pod) -> str:
    """The first node, by name, that all filters allow; '' where none does."""
    feasible = on.feasible(on.classes.view(pod))
    names = [on.node_table.names[index] for index in np.flatnonzero(feasible)]
    return min(names, default="")


def gang_fits(on: Snapshot, members: Sequence[Pod], least: int) -> bool:
    """Whether `least` members, with those that are placed, fit beside each other: by first fit, in a few orders.

    (False does not say that no other way would do.)
    """
    views = [on.classes.view(pod) for pod in members]
    group = views[0].group
    placed = 0 if group is None else on.placed_in_group(group)
    # As they are by then: the anti-affinity of one may have split the class of another.
    binds = first_fit([on.classes.current(view) for view in views], on)
    return bool(binds) and placed + len(binds) >= max(least, 1)


def waits_for_node(state: ClusterState, pod: Pod) -> bool:
    """Whether an autoscaler of nodes is to do something about it."""
    scheduled = condition(pod.status.conditions, "PodScheduled")
    owner = pod.metadata.controller()
    return (
        not pod.spec.node_name
        and not pod.status.nominated_node_name
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in ENDED
        and scheduled is not None
        and scheduled.reason == "Unschedulable"
        and (pod.spec.priority or 0) >= state.flags.expendable_pods_priority_cutoff
        and (pod.spec.scheduler_name or "default-scheduler") in state.schedulers
        and (owner is None or owner.kind != "DaemonSet")
    )


def add_new_node(state: ClusterState, on: Snapshot, node: Node) -> int:
    """A node that is not there, with the pods that DaemonSets would put on it; its index."""
    name = node.metadata.name
    on.add_node(**node_columns(node))
    for item in state.listed("DaemonSet"):
        if NodesForTemplate(item.spec.template).on(node)[0]:
            meta = ObjectMeta(name=f"{name}-{item.metadata.name}", namespace=item.metadata.namespace)
            on.assume_on(on.classes.view(Pod(metadata=meta, spec=item.spec.template.spec)), name)
    return on.node_table.index[name]
