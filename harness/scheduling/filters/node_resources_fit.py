"""NodeResourcesFit: what the pod requests must be free on the node, resource by resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.scheduling.filters.filter import Scope
from harness.scheduling.filters.gpu_devices import GpuDevices
from harness.scheduling.state.cluster_state import ClusterState
from harness.scheduling.state.columns import Nodes
from harness.scheduling.strategy import PODS, Bool, Int64


class FreeAmounts(Protocol):
    """What is free, by row: int64 [nodes]."""

    def __getitem__(self, row: int, /) -> Int64: ...


@dataclass(frozen=True, slots=True)
class NodeResourcesFit:
    """`needs`: (row, amount), only what is requested: a zero request fits anywhere.

    `devices`: whole GPUs that the pod asks for besides. They are a filter of their own, which comes next; here a lack
    of them is told along with that of other resources.
    """

    needs: tuple[tuple[int, int], ...]
    devices: GpuDevices | None = None

    plugin = "NodeResourcesFit"
    scope = Scope.NODE_USAGE
    resolvable = True
    node_names = None

    def mask(self, state: ClusterState, nodes: Nodes) -> Bool:
        return self.fits(state.free, nodes)

    def fits(self, free: FreeAmounts, nodes: Nodes) -> Bool:
        """Where so much is free, bool, one entry for each of `nodes`."""
        out: Bool | None = None
        for row, amount in self.needs:
            enough: Bool = free[row][nodes] >= amount
            out = enough if out is None else np.logical_and(out, enough, out=out)
        assert out is not None, "every pod needs one of the node's pods"
        return out

    def holds(self, state: ClusterState, node: int) -> bool:
        free = state.free_of[node]
        for row, amount in self.needs:  # noqa: SIM110 - the hottest loop of a decision: a generator costs 0.3 us more
            if amount > free[row]:
                return False
        return True

    def reasons(self, state: ClusterState, node: int) -> tuple[str, ...]:
        """Pods first, then the rest, as fitsRequest does (kube-scheduler 1.32 plugins/noderesources/fit.go)."""
        free = state.free_of[node]
        short = [row for row, amount in self.needs if amount > free[row]]
        out = ["Too many pods"] if PODS in short else []
        out += [f"Insufficient {state.resources[row]}" for row in short if row != PODS]
        if self.devices is not None and not self.devices.holds(state, node):
            out += self.devices.reasons(state, node)
        return tuple(out)

    def count_short(self, free: FreeAmounts, resources: Sequence[str], nodes: Int64) -> list[tuple[str, int]]:
        """(reason, nodes) of what lacks, devices aside. `resources`: the name of each row."""
        out = []
        for row, amount in self.needs:
            there = free[row]
            if len(nodes) < len(there):  # picking costs more than comparing
                there = there[nodes]
            short = int(np.count_nonzero(there < amount))
            out.append(("Too many pods" if row == PODS else f"Insufficient {resources[row]}", short))
        return out

    def count_reasons(self, state: ClusterState, nodes: Int64) -> list[tuple[str, int]]:
        out = self.count_short(state.free, state.resources, nodes)
        if self.devices is not None:
            lacking = int(np.count_nonzero(~self.devices.mask(state, nodes)))
            out += [(reason, lacking) for reason, _ in self.devices.count_reasons(state, nodes)]
        return out
