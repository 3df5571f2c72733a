"""What the two scores of resources share: which resources of a pod are scored, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from harness.model.gpu import WHOLE_GPU
from harness.scheduling.feasibility.snapshot import Snapshot
from harness.scheduling.state.resource_names import NATIVE, counted
from harness.scheduling.strategy import Int64, PodClass

GPU_ROW = -1
"""In place of a row: whole GPUs, counted by the milli of the node's devices, so that shares count as such."""

T = TypeVar("T")


class RequestCache(Generic[T]):
    """What a plugin asks of each pod class, a tuple of one entry a resource."""

    _SIZE = 65_536

    def __init__(self, compute: Callable[[PodClass, tuple[str, ...]], tuple[T, ...]]) -> None:
        self._compute = compute
        self.known: dict[tuple[int, int], tuple[T, ...]] = {}

    def of(self, cls: PodClass, snapshot: Snapshot) -> tuple[T, ...]:
        key = (cls.id, len(cls.amounts))  # a resource that is heard of later gets a row
        found = self.known.get(key)
        if found is None:
            if len(self.known) >= self._SIZE:
                self.known.clear()
            found = self.known[key] = self._compute(cls, tuple(snapshot.tables.rows.names))
        return found


def rows_by_name(resources: tuple[str, ...]) -> Mapping[str, int]:
    return {name: row for row, name in enumerate(resources)} | {WHOLE_GPU: GPU_ROW}


def scored_amounts(name: str, rows: Mapping[str, int], cls: PodClass) -> Iterator[tuple[int, int]]:
    """(row, requested amount) of a resource that is scored for the class, else nothing.

    An extended resource that the pod does not ask for is passed over, so are `pods` and names of nothing.
    Source: kube-scheduler 1.32 plugins/noderesources/resource_allocation.go calculateResourceAllocatableRequest.
    """
    row = rows.get(name)
    if row is None:
        return
    amount = cls.gpu.total_milli if row == GPU_ROW else cls.amounts[row]
    if name in NATIVE or (counted(name) and amount > 0):
        yield row, amount


def columns_of(snapshot: Snapshot, row: int, nodes: Int64) -> tuple[Int64, Int64]:
    """(capacity, free) of `nodes`, int64 [len(nodes)]."""
    if row == GPU_ROW:
        there: Int64 = snapshot.gpu_capacity[nodes].sum(axis=1)
        free: Int64 = snapshot.gpu_free[nodes].sum(axis=1)
        return there, free
    return snapshot.capacity[row][nodes], snapshot.free[row][nodes]
