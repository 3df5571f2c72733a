"""Whether a pod fits anywhere, asked of a snapshot that is made from the API objects alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.model.core import Pod
from harness.scheduling.cycle import watched_objects
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.pods.requests import bound_devices
from harness.scheduling.state.from_node import node_columns

_VOLUMES = ("StorageClass", "PersistentVolume", "PersistentVolumeClaim")


def snapshot_of(objects: Callable[[str], Mapping[str, Any]]) -> Snapshot:
    """Nodes, and the pods that are bound and have not ended."""
    on = Snapshot()
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
    """Whether `least` members, with those that are placed already, can be placed one after the other, each on the
    first node that takes it. (False does not say that no other order would do.)"""
    trial = on.copy()
    group = trial.classes.view(members[0]).group
    placed = 0 if group is None else trial.placed_in_group(group)
    for pod in members:
        view = trial.classes.view(pod)
        feasible = np.flatnonzero(trial.feasible(view))
        if len(feasible):
            trial.assume(view, int(feasible[0]))
            placed += 1
    return placed >= max(least, 1)
