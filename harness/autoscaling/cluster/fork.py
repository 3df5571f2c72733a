"""Trying changes on a snapshot and taking them back: a fork costs what was changed, not what exists.

Source: cluster-autoscaler simulator/clustersnapshot (Fork, Revert, Commit, 1.32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.autoscaling.pool import replaced
from harness.model.core import Node, Taint
from harness.scheduling.feasibility import legality
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.from_node import node_columns
from harness.scheduling.strategy import Bind, Bool, Int64, PodView


class Fork:
    """Changes to `snapshot` that `revert` takes back, the latest first."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._undo: list[Callable[[], object]] = []

    @property
    def mark(self) -> int:
        """Where the changes stand, for `revert`."""
        return len(self._undo)

    def revert(self, mark: int = 0) -> None:
        while len(self._undo) > mark:
            self._undo.pop()()

    def add_node(self, node: Node) -> int:
        """Its column index."""
        name = node.metadata.name
        index = self.snapshot.add_node(**node_columns(node))
        self._undo.append(lambda: self.snapshot.remove_node(name))
        return index

    def taint(self, node: Node, taint: Taint) -> None:
        """One more taint on a node that is there."""
        columns = node_columns(node)
        tainted = replaced(node, spec=replaced(node.spec, taints=(*node.spec.taints, taint)))
        self.snapshot.update_node(**node_columns(tainted))
        self._undo.append(lambda: self.snapshot.update_node(**columns))

    def remove_node(self, node: Node) -> None:
        """What runs there must have been taken off before."""
        columns = node_columns(node)
        self.snapshot.remove_node(node.metadata.name)
        self._undo.append(lambda: self.snapshot.add_node(**columns))

    def assume(self, pod: PodView, node: int) -> None:
        """It counts there, whether it fits or not."""
        self.snapshot.assume(pod, node)
        self._undo.append(lambda: self.snapshot.forget(pod.key))

    def forget(self, pod: PodView) -> None:
        """A pod that is placed runs no longer."""
        snapshot = self.snapshot
        node = snapshot.where(pod.key)
        if node is None:
            return
        placed = next(other for other in snapshot.pods_on(node) if other.key == pod.key)
        devices = snapshot.devices(pod.key) or None
        reservation = snapshot.volumes.reservation_of(pod.key)
        name = snapshot.node_table.names[node]
        snapshot.forget(pod.key)

        def put_back() -> None:
            # By name: a node that was removed in between has come back at another index.
            if reservation is not None:
                snapshot.volumes.reserve(pod.key, reservation)
            snapshot.assume_on(placed, name, devices)

        self._undo.append(put_back)

    def place(self, pod: PodView, allowed: Bool | None = None) -> int | None:
        """The first node, in order, that takes the pod, which counts there from now on; None where none does."""
        snapshot = self.snapshot
        feasible = snapshot.feasible(pod)
        if allowed is not None:
            feasible = feasible & allowed[: len(feasible)]
        order = snapshot.order_column()
        order = order[order >= 0]
        found = np.flatnonzero(feasible[order])
        return self._bind(pod, int(order[found[0]])) if len(found) else None

    def place_on(self, pod: PodView, nodes: Sequence[int] | Int64) -> int | None:
        """The same, on the first of `nodes`."""
        if not len(nodes):
            return None
        found = np.flatnonzero(self.snapshot.feasible(pod)[nodes])
        return self._bind(pod, int(nodes[int(found[0])])) if len(found) else None

    def _bind(self, pod: PodView, node: int) -> int | None:
        if isinstance(legality.apply_alone(self.snapshot, Bind(pod, node)), legality.Refused):
            return None
        self._undo.append(lambda: self.snapshot.forget(pod.key))
        return node
