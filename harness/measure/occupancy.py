"""What is allocated where, over time: allocation, stranding, nodes used; a fold over bindings and ends of pods.

Averages are over one window, from the first arrival to an end that the caller names, whatever a strategy did in it. A
task that declares how long it runs counts as allocated for at most that long: what dead nodes, slow starts or repeated
work hold beyond that is not allocation (`held_beyond`). All sums are integers; ratios are formed at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.measure.fragmentation import FragmentationMeter
from harness.measure.requests import Requests, milli_of
from harness.measure.tasks import Holding, Tasks
from harness.model.core import Node, Pod
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_INDEX, GPU_MODEL, WHOLE_GPU, parse_devices

Int64 = npt.NDArray[np.int64]

CPU, MEMORY, GPU, PODS = range(4)
NAMES = ("cpu", "memory", "gpu", "pods")
"""Rows: milli-CPU, bytes, GPU milli, pods."""

CLIENTS = "node-role.kubernetes.io/gateway"
"""Label of the node of the clients, which offers no capacity."""

_SHARE_PERCENT = 10
"""A node counts as exhausted in a resource when less than this share of it is free."""


class Occupancy:
    """`free` and `capacity`: lists by node row of [cpu, memory, gpu, pods]; a node that has left has zeros.

    Time-weighted sums are kept in the units above times nanoseconds, as plain integers without bounds. The window
    begins at `since_ns`; None: when the first pod is seen.
    """

    kinds = ("Pod", "Node", "Job")

    def __init__(self, meter: FragmentationMeter | None = None, since_ns: int | None = None) -> None:
        self.meter = meter
        self.since_ns = since_ns
        self.models: list[int] = []  # index into the meter's models by row, -1 without GPUs
        self._area_fragments = 0
        self._area_idle = 0
        self.row: dict[str, int] = {}
        self.names: list[str] = []
        self.capacity: list[list[int]] = []
        self.used: list[list[int]] = []
        self.devices: list[list[int]] = []  # idle milli of each GPU
        self.total = [0, 0, 0, 0]
        self.steps: list[tuple[int, int, int, int]] = []  # instant, and what there is from then on: CPU, memory, GPU
        self.allocated = [0, 0, 0, 0]
        self.busy_nodes = 0
        self.peak_busy_nodes = 0
        self.overfull: list[str] = []
        self._on: dict[str, tuple[int, tuple[int, int, int, int], tuple[int, ...], int]] = {}
        self._tasks = Tasks()
        self._held: dict[str, tuple[str, int]] = {}  # by uid of a pod of a task: the task, since when
        self._holding: dict[str, Holding] = {}  # by task; those of one pod are settled when it leaves
        self._beyond = [0, 0, 0, 0]  # of settled tasks: allocated x ns that does not count
        self.requests = Requests()
        self._until_ns = 0
        self._area = [0, 0, 0, 0]  # allocated x ns
        self._area_total = [0, 0, 0, 0]
        self._area_busy = 0
        self._area_ns = 0
        self._waiting: dict[str, dict[str, Pod]] = {}  # bound to nodes that are not known

    # -- the fold ------------------------------------------------------------------------------------------------------

    def write(self, at_ns: int, kind: str, change: str, obj: Any, old: Any) -> None:
        if kind == "Pod":
            if self.since_ns is None:
                self._advance(at_ns)
                self.since_ns = at_ns
            if change == "DELETED" or obj.status.phase in ("Succeeded", "Failed"):
                self._leave(at_ns, obj.metadata.uid)
            elif obj.spec.node_name and obj.metadata.uid not in self._on:
                self._enter(at_ns, obj)
        elif kind == "Node":
            self._node(at_ns, change, obj)
        elif kind == "Job" and change == "ADDED":
            self._tasks.see_job(obj)

    def observe(self, at_ns: int, source: str, topic: str, data: tuple[Any, ...]) -> None:
        pass

    def _advance(self, at_ns: int) -> None:
        """Up to `at_ns` everything is as it is now; what was before the window does not count."""
        since = self._until_ns if self.since_ns is None else max(self._until_ns, self.since_ns)
        spent = at_ns - since
        if self.since_ns is not None and spent > 0:
            for index in range(4):
                self._area[index] += self.allocated[index] * spent
                self._area_total[index] += self.total[index] * spent
            self._area_busy += self.busy_nodes * spent
            if self.meter is not None:
                self._area_fragments += self.meter.weighted_milli * spent
                self._area_idle += self.meter.idle_milli * spent
            self._area_ns += spent
        self._until_ns = max(self._until_ns, at_ns)

    def _node(self, at_ns: int, change: str, node: Node) -> None:
        self._advance(at_ns)
        name = node.metadata.name
        none = change == "DELETED" or CLIENTS in node.metadata.labels
        capacity = [0, 0, 0, 0] if none else capacity_of(node)
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
        if self.steps and self.steps[-1][0] == at_ns:
            self.steps.pop()
        self.steps.append((at_ns, self.total[CPU], self.total[MEMORY], self.total[GPU]))
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
        (cpu, memory, gpu), milli = self.requests.of(pod)
        amounts = (cpu, memory, gpu, 1)
        text = pod.metadata.annotations.get(GPU_INDEX, "")
        chosen = parse_devices(text) if text else ()
        used, capacity = self.used[row], self.capacity[row]
        if not used[PODS]:
            self.busy_nodes += 1
            self.peak_busy_nodes = max(self.peak_busy_nodes, self.busy_nodes)
        allocated = self.allocated
        for index, amount in enumerate(amounts):
            used[index] += amount
            allocated[index] += amount
            if used[index] > capacity[index]:
                self._say(at_ns, row, NAMES[index], used[index], capacity[index])
        devices = self.devices[row]
        for device in chosen:
            if device < len(devices):
                devices[device] -= milli
                if devices[device] < 0:
                    self._say(at_ns, row, f"gpu {device}", DEVICE_MILLI - devices[device], DEVICE_MILLI)
        self._on[pod.metadata.uid] = (row, amounts, chosen, milli)
        task, limit = self._tasks.task_of(pod)
        if limit >= 0:
            self._held[pod.metadata.uid] = (task, at_ns)
            holding = self._holding.get(task)
            if holding is None:
                holding = self._holding[task] = Holding(amounts, limit)
            holding.enter(at_ns)
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
        # No pod is bound to a node that has left; a restored store may have pods of one, until they are collected.
        if len(self.overfull) < 100 and any(self.capacity[row]):
            self.overfull.append(f"{at_ns / 1e9:.3f}s {self.names[row]}: {what} {used} of {capacity}")

    def _leave(self, at_ns: int, uid: str) -> None:
        held = self._on.pop(uid, None)
        if held is None:
            return
        self._advance(at_ns)
        row, amounts, chosen, milli = held
        if uid in self._held:
            task, since = self._held.pop(uid)
            holding = self._holding[task]
            holding.leave(at_ns, since)
            if task == uid:
                del self._holding[task]
                _add(self._beyond, holding, at_ns)
        used, allocated = self.used[row], self.allocated
        for index, amount in enumerate(amounts):
            used[index] -= amount
            allocated[index] -= amount
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

    def counted(self, until_ns: int) -> list[int]:
        """Allocated x ns in the window, by resource, each task for at most as long as it says that it runs."""
        self._advance(until_ns)
        beyond = self.beyond(until_ns)
        return [area - over for area, over in zip(self._area, beyond, strict=True)]

    def beyond(self, until_ns: int) -> list[int]:
        """What was held beyond that: by dead nodes, slow starts, work done again."""
        out = list(self._beyond)
        for holding in self._holding.values():
            _add(out, holding, until_ns)
        return out

    def accounts(self, until_ns: int) -> dict[str, Any]:
        """What the averages are made of, so that the window can be made longer afterwards: sums over the window so far
        (unit x seconds), and the rate at which each goes on when nothing happens any more (unit). Tasks that have run
        their time hold nothing that counts."""
        areas, beyond = self.counted(until_ns), self.beyond(until_ns)
        going = list(self.allocated)
        for uid in self._held:
            for index, amount in enumerate(self._on[uid][1]):
                going[index] -= amount
        out: dict[str, Any] = {"endSeconds": until_ns / 1e9}
        for index, name in enumerate(NAMES):
            if self._area_total[index]:
                out[name] = {
                    "counted": [areas[index] / 1e9, going[index]],
                    "beyond": [beyond[index] / 1e9, self.allocated[index] - going[index]],
                    "capacity": [self._area_total[index] / 1e9, self.total[index]],
                }
        out["steps"] = [list(step) for step in self.steps]
        out["busyNodes"] = [self._area_busy / 1e9, self.busy_nodes]
        if self.meter is not None:
            weight = self.meter.total_weight
            out["fragments"] = [self._area_fragments / weight / 1e9, self.meter.amount_milli]
            out["idleGpu"] = [self._area_idle / 1e9, self.meter.idle_milli]
        return out

    def mean_ratios(self, until_ns: int) -> dict[str, float]:
        """The same over time, from the first arrival on."""
        areas = self.counted(until_ns)
        return {
            name: areas[index] / self._area_total[index] for index, name in enumerate(NAMES) if self._area_total[index]
        }

    def held_beyond(self, until_ns: int) -> dict[str, float]:
        """What was held and does not count, over capacity and time, by resource that the cluster has."""
        beyond = self.beyond(until_ns)
        self._advance(until_ns)
        return {
            name: beyond[index] / self._area_total[index] for index, name in enumerate(NAMES) if self._area_total[index]
        }

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


def _add(beyond: list[int], holding: Holding, until_ns: int) -> None:
    over = holding.beyond_ns(until_ns)
    for index, amount in enumerate(holding.amounts):
        beyond[index] += amount * over


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
