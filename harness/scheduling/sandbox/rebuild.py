"""A snapshot made anew from what cannot have been touched, after code was broken off or caught changing it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.feasibility.tentative import Removed, put_back


def rebuild_snapshot(old: Snapshot, without: Collection[str], removed: Sequence[Removed] = ()) -> Snapshot:
    """The same nodes and pods, caches cold, amounts summed again; pods of `without` (keys) are on no node.

    `removed`: pods that were taken off their nodes for a trial only.
    """
    new = old.fresh(old.classes)
    new.now_ns = old.now_ns
    resources, capacity, models = old.resources, old.capacity, old.gpu_models
    gone = frozenset(without)
    nominations = old.nominations
    index = old.node_table.index
    for name in sorted(index, key=index.__getitem__):
        node = index[name]
        model = int(old.gpu_model[node])
        new.add_node(
            name,
            dict(zip(resources, capacity[:, node].tolist(), strict=True)),
            int(np.count_nonzero(old.gpu_capacity[node])),
            "" if model < 0 else models[model],
            labels=old.node_table.labels[node],
            taints=old.node_table.taints(node),
            unschedulable=bool(old.node_table.unschedulable[node]),
            rank=int(old.rank[node]),
            images=old.images.images_of(node),
        )
        for pod in old.pods_on(node):
            if pod.key in gone or nominations.node_of(pod.key) is not None:
                continue  # what is nominated is on no node: it was being tried
            if old.where(pod.key) == node:
                new.assume(pod, new.node_table.index[name], old.devices(pod.key) or None)
        for pod in nominations.pods_on(node):
            new.nominations.nominate(pod, new.node_table.index[name])
    new.volumes.copy_reservations(old.volumes)
    for name, pod, devices in old.placements.on_unknown_nodes.all():
        new.assume_on(pod, name, devices)
    for item in removed:
        if new.where(item.pod.key) is None and item.node in new.node_table.index:
            put_back(new, item)
    return new
