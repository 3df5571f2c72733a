"""The cluster's GPU fragmentation and allocation, kept up to date node by node.

Definition and source: harness/model/fragmentation.py. Kept exactly, in whole numbers, so that the order of updates
leaves no trace in the result.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.fragmentation import Fragmentation


class FragmentationMeter:
    """Sum of the nodes' fragments, and of their idle GPU milli. A node that was never updated counts as nothing."""

    def __init__(self, tables: Fragmentation) -> None:
        self.tables = tables
        self._fragment: dict[int, int] = {}  # weighted milli by node
        self._idle: dict[int, int] = {}
        self._fragments = 0
        self._idle_milli = 0

    def update(self, node: int, cpu_milli: int, devices: Sequence[int], model: int) -> None:
        """The node's state now: free CPU, idle milli of each device, index into the tables' models or -1."""
        fragment, idle = self.tables.of_node(cpu_milli, devices, model), sum(devices)
        self._fragments += fragment - self._fragment.get(node, 0)
        self._idle_milli += idle - self._idle.get(node, 0)
        self._fragment[node], self._idle[node] = fragment, idle

    def remove(self, node: int) -> None:
        self._fragments -= self._fragment.pop(node, 0)
        self._idle_milli -= self._idle.pop(node, 0)

    @property
    def models(self) -> Sequence[str]:
        return self.tables.models

    @property
    def total_weight(self) -> int:
        return self.tables.total

    @property
    def weighted_milli(self) -> int:
        """F of the cluster times the weight of the typical pods: whole, for sums over time."""
        return self._fragments

    @property
    def idle_milli(self) -> int:
        return self._idle_milli

    @property
    def amount_milli(self) -> float:
        """F of the cluster, in GPU milli."""
        return self._fragments / self.tables.total

    @property
    def ratio(self) -> float:
        """F over what is idle, 0..1; 0 when nothing is idle."""
        return self.amount_milli / self._idle_milli if self._idle_milli else 0.0
