"""What is allocated where, over time: allocation, stranding, nodes used; a fold over bindings and ends of pods.

All sums are integers; ratios are formed at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.measure.fragmentation import FragmentationMeter
from harness.measure.requests import Requests, milli_of
from harness.model.core import Node, Pod
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_INDEX, GPU_MODEL, WHOLE_GPU, parse_devices

Int64 = npt.NDArray[np.int64]

CPU, MEMORY, GPU, PODS = range(4)
NAMES = ("cpu", "memory", "gpu", "pods")
"""Rows: milli-CPU, bytes, GPU milli, pods."""

_SHARE_PERCENT = 10
"""A node counts as exhausted in a resource when less than this share of it is free."""


class Occupancy:
    """`free` and `capacity`: lists by node row of [cpu, memory, gpu, pods]; a node that has left has zeros.

    Time-weighted sums are kept in thousandths of the unit times microseconds, as plain integers without bounds.
    """

    def __init__(self, meter: FragmentationMeter | None = None) -> None:
        self.meter = meter
        self.models: list[int] = []  # index into the meter's models by row, -1 without GPUs
        self._area_fragments = 0
        self._area_idle = 0
        self.row: dict[str, int] = {}
        self.names: list[str] = []
        self.capacity: list[list[int]] = []
        self.used: list[list[int]] = []
        self.devices: list[list[int]] = []  # idle milli of each GPU
        self.total = [0, 0, 0, 0]
        self.allocated = [0, 0, 0, 0]
        self.busy_nodes = 0
        self.peak_busy_nodes = 0
        self.overfull: list[str] = []
        self._on: dict[str, tuple[int, tuple[int, int, int, int], tuple[int, ...], int]] = {}
        self.requests = Requests()
        self._since_ns = 0
        self._first_ns: int | None = None
        self._area = [0, 0, 0, 0]  # allocated x ns
        self._area_total = [0, 0, 0, 0]
        self._area_busy = 0
        self._area_ns = 0
        self._waiting: dict[str, dict[str, Pod]] = {}  # bound to nodes that are not known

    # -- the fold ------------------------------------------------------------------------------------------------------

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod":
            if change == "DELETED" or obj.status.phase in ("Succeeded", "Failed"):
                self._leave(at_ns, obj.metadata.uid)
            elif obj.spec.node_name and obj.metadata.uid not in self._on:
                self._enter(at_ns, obj)
        elif kind == "Node":
            self._node(at_ns, change, obj)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _advance(self, at_ns: int) -> None:
        spent = at_ns - self._since_ns
        if spent <= 0:
            return
        if self._first_ns is not None:
            for index in range(4):
                self._area[index] += self.allocated[index] * spent
                self._area_total[index] += self.total[index] * spent
            self._area_busy += self.busy_nodes * spent
            if self.meter is not None:
                self._area_fragments += self.meter.weighted_milli * spent
                self._area_idle += self.meter.idle_milli * spent
            self._area_ns += spent
        self._since_ns = at_ns

    def _node(self, at_ns: int, change: str, node: Node) -> None:
        self._advance(at_ns)
        name = node.metadata.name
        capacity = [0, 0, 0, 0] if change == "DELETED" else capacity_of(node)
        row = self.row.get(name)
        if row is None:
            row = self.row[name] = len(self.names)
            self.names.append(name)
            self.capacity.append([0, 0, 0, 0])
            self.used.append([0, 0, 0, 0])
            self.devices.append([])
            self.models.append(-1)
        before = self.capacity[row]
        if capacity == before:
            return
        for index in range(4):
            self.total[index] += capacity[index] - before[index]
        self.capacity[row] = capacity
        count = capacity[GPU] // DEVICE_MILLI
        devices = self.devices[row]
        if len(devices) < count:
            devices.extend([DEVICE_MILLI] * (count - len(devices)))
        if self.meter is not None:
            model = node.metadata.labels.get(GPU_MODEL, "")
            known = self.meter.models
            self.models[row] = known.index(model) if count and model in known else -1
            self._measure(row)
        for pod in self._waiting.pop(name, {}).values():
            self._enter(at_ns, pod)

    def _enter(self, at_ns: int, pod: Pod) -> None:
        self._advance(at_ns)
        row = self.row.get(pod.spec.node_name)
        if row is None:
            self._waiting.setdefault(pod.spec.node_name, {})[pod.metadata.uid] = pod
            return
        if self._first_ns is None:
            self._first_ns = at_ns
        (cpu, memory, gpu), milli = self.requests.of(pod)
        amounts = (cpu, memory, gpu, 1)
        text = pod.metadata.annotations.get(GPU_INDEX, "")
        chosen = parse_devices(text) if text else ()
        used, capacity = self.used[row], self.capacity[row]
        if not used[PODS]:
            self.busy_nodes += 1
            self.peak_busy_nodes = max(self.peak_busy_nodes, self.busy_nodes)
        for index in range(4):
            used[index] += amounts[index]
            self.allocated[index] += amounts[index]
            if used[index] > capacity[index]:
                self._say(at_ns, row, NAMES[index], used[index], capacity[index])
        devices = self.devices[row]
        for device in chosen:
            if device < len(devices):
                devices[device] -= milli
                if devices[device] < 0:
                    self._say(at_ns, row, f"gpu {device}", DEVICE_MILLI - devices[device], DEVICE_MILLI)
        self._on[pod.metadata.uid] = (row, amounts, chosen, milli)
        if self.meter is not None:
            self._measure(row)

    def _measure(self, row: int) -> None:
        assert self.meter is not None
        if self.capacity[row][GPU]:
            free = self.capacity[row][CPU] - self.used[row][CPU]
            self.meter.update(row, free, self.devices[row], self.models[row])
        else:
            self.meter.remove(row)

    def _say(self, at_ns: int, row: int, what: str, used: int, capacity: int) -> None:
        if len(self.overfull) < 100:
            self.overfull.append(f"{at_ns / 1e9:.3f}s {self.names[row]}: {what} {used} of {capacity}")

    def _leave(self, at_ns: int, uid: str) -> None:
        held = self._on.pop(uid, None)
        if held is None:
            return
        self._advance(at_ns)
        row, amounts, chosen, milli = held
        used = self.used[row]
        for index in range(4):
            used[index] -= amounts[index]
            self.allocated[index] -= amounts[index]
        devices = self.devices[row]
        for device in chosen:
            if device < len(devices):
                devices[device] += milli
        if not used[PODS]:
            self.busy_nodes -= 1
        if self.meter is not None:
            self._measure(row)

    # -- what it says --------------------------------------------------------------------------------------------------

    def ratios(self) -> dict[str, float]:
        """Allocated over capacity now, by resource that the cluster has."""
        return {
            name: self.allocated[index] / self.total[index] for index, name in enumerate(NAMES) if self.total[index]
        }

    def mean_ratios(self, until_ns: int) -> dict[str, float]:
        """The same over time, from the first binding on."""
        self._advance(until_ns)
        return {
            name: self._area[index] / self._area_total[index]
            for index, name in enumerate(NAMES)
            if self._area_total[index]
        }

    def mean_allocated(self, resource: int, since_ns: int, until_ns: int) -> float:
        """Milli-CPU, bytes or GPU milli, averaged from `since_ns` (nothing was bound before) to `until_ns`."""
        self._advance(until_ns)
        return self._area[resource] / (until_ns - since_ns)

    def mean_busy_nodes(self, until_ns: int) -> float:
        self._advance(until_ns)
        return self._area_busy / self._area_ns if self._area_ns else 0.0

    def mean_fragmentation(self, until_ns: int) -> dict[str, float]:
        """GPU fragmentation over time, in GPUs and as a share of what is idle; empty without a meter or GPUs."""
        if self.meter is None or not self.total[GPU]:
            return {}
        self._advance(until_ns)
        weight = self.meter.total_weight
        if not self._area_ns:
            return {}
        milli = self._area_fragments / weight / self._area_ns
        return {
            "gpus": milli / DEVICE_MILLI,
            "shareOfIdle": self._area_fragments / weight / self._area_idle if self._area_idle else 0.0,
        }

    def stranded(self) -> dict[str, float]:
        """Share of each resource that sits idle on nodes which are exhausted in another one (below 10 % free)."""
        if not self.capacity:
            return {}
        capacity = np.array(self.capacity, dtype=np.int64)[:, :3]
        free = capacity - np.array(self.used, dtype=np.int64)[:, :3]
        exhausted = (free * 100 < capacity * _SHARE_PERCENT) & (capacity > 0)
        out = {}
        for index in range(3):
            if not self.total[index]:
                continue
            others = [other for other in range(3) if other != index]
            there = exhausted[:, others].any(axis=1) & ~exhausted[:, index]
            out[NAMES[index]] = int(free[there, index].sum()) / self.total[index]
        return out


def capacity_of(node: Node) -> list[int]:
    """[milli-CPU, bytes, GPU milli, pods] that can be allocated."""
    allocatable = node.status.allocatable
    whole = milli_of(allocatable, WHOLE_GPU) // 1000
    count = milli_of(allocatable, GPU_COUNT) // 1000 or whole
    return [
        milli_of(allocatable, "cpu"),
        milli_of(allocatable, "memory") // 1000,
        count * DEVICE_MILLI,
        milli_of(allocatable, "pods") // 1000,
    ]
