"""A placement of a whole instance, built from patterns: what is really attainable, next to what the bound allows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from harness.measure.bound.instance import Bool, Instance, Int64, fits_alone
from harness.measure.bound.pattern import Pattern

Devices = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """`number` nodes of class `node` that hold `counts` int64 [P] each; `devices`: pod classes on each GPU."""

    node: int
    number: int
    counts: Int64
    devices: Devices


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """Which nodes hold what; nodes that are not named are empty."""

    loads: tuple[Load, ...]

    def placed(self, classes: int) -> Int64:
        """Pods placed of each class, int64 [P]."""
        total = np.zeros(classes, np.int64)
        for load in self.loads:
            total += load.number * load.counts
        return total

    def worth(self, instance: Instance) -> int:
        """In units of the objective."""
        cost = sum(load.number * int(instance.node_cost[load.node]) for load in self.loads if load.counts.any())
        return int(self.placed(len(instance.pod_count)) @ instance.value) - cost

    def faults(self, instance: Instance) -> list[str]:
        """What makes it illegal, in words; empty for a legal packing. Trusts nothing of how it was made."""
        faults = []
        placed = self.placed(len(instance.pod_count))
        if (placed > instance.pod_count).any():
            faults.append("more pods are placed than there are")
        if (placed < instance.least).any():
            faults.append("pods that had to be placed are not")
        used: Counter[int] = Counter()
        fits = fits_alone(instance)
        for load in self.loads:
            used[load.node] += load.number
            if not fits[load.counts > 0, load.node].all():
                faults.append(f"a pod lies on node class {load.node}, where it may not")
            if (load.counts @ instance.request > instance.capacity[load.node]).any():
                faults.append(f"a node of class {load.node} is over its capacity")
            faults.extend(_device_faults(instance, load))
        faults.extend(
            f"more nodes of class {node} are used than there are"
            for node, number in sorted(used.items())
            if number > instance.node_count[node]
        )
        return faults


def _device_faults(instance: Instance, load: Load) -> list[str]:
    faults = []
    if len(load.devices) > instance.devices[load.node]:
        faults.append(f"a node of class {load.node} has fewer GPUs")
    on_all: Counter[int] = Counter()
    for device in load.devices:
        if sum(int(instance.gpu_milli[pod]) for pod in device) > instance.device_milli[load.node]:
            faults.append(f"a GPU on node class {load.node} is over its capacity")
        for pod, number in sorted(Counter(device).items()):
            on_all[pod] += number
            # With at most one share a device and pod, the shares can be dealt out so that no pod meets itself.
            if number > load.counts[pod]:
                faults.append(f"a pod on node class {load.node} lies twice on one GPU")
    faults.extend(
        f"pods of class {pod} have not the GPUs that they asked for"
        for pod in np.flatnonzero(instance.gpu_total).tolist()
        if on_all[pod] != load.counts[pod] * instance.gpu_count[pod]
    )
    return faults


def repaired(instance: Instance, node: int, pattern: Pattern) -> Load:
    """The pattern less the pods that are too many for a real node, the least valuable for the room they take."""
    cut = (instance.gpu_count > 1) & (instance.gpu_milli < instance.device_milli[node]) & (instance.gpu_total > 0)
    counts = np.where(cut, 0, np.floor(pattern.counts + 1e-9)).astype(np.int64)
    devices = [[pod for pod in device if not cut[pod]] for device in pattern.devices]
    on_devices: Counter[int] = Counter(pod for device in devices for pod in device)
    for pod in np.flatnonzero(counts * instance.gpu_total):
        # What the pattern took for too small to need a device has none.
        counts[pod] = min(int(counts[pod]), on_devices[int(pod)] // int(instance.gpu_count[pod]))
    while True:
        over = counts @ instance.request - instance.capacity[node]
        if (over <= 0).all():
            break
        r = int(np.argmax(over / np.maximum(instance.capacity[node], 1)))
        present = np.flatnonzero((counts > 0) & (instance.request[:, r] > 0))
        rate = instance.value[present] / np.minimum(instance.request[present, r], over[r])
        _take_off(instance, int(present[np.argmin(rate)]), counts, devices)
    return Load(node, 1, counts, tuple(tuple(device) for device in devices))


def _take_off(instance: Instance, pod: int, counts: Int64, devices: list[list[int]]) -> None:
    counts[pod] -= 1
    left = int(instance.gpu_count[pod]) if instance.gpu_total[pod] else 0
    for device in devices:
        if left and pod in device:
            device.remove(pod)
            left -= 1


class Unfinished:
    """A packing that grows pattern by pattern, and what is left to place and to use."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._loads: list[Load] = []
        self.pods, self.nodes = instance.pod_count.copy(), instance.node_count.copy()

    @property
    def owed(self) -> Int64:
        """Pods that must still be placed, int64 [P]."""
        placed = self._instance.pod_count - self.pods
        return np.asarray(np.maximum(self._instance.least - placed, 0))

    def use(self, load: Load, number: int) -> bool:
        """Fill `number` nodes like `load`, fewer where nodes or pods run out, the last of them cut to what is left.

        Whether that used any node.
        """
        wanted = min(number, int(self.nodes[load.node]))
        held = load.counts > 0
        unchanged = min([wanted, *(self.pods[held] // load.counts[held]).tolist()])
        used = False
        for count in (unchanged, 1 if wanted > unchanged else 0):
            here = self.cut(load)
            if count and here.counts.any():
                self._loads.append(Load(load.node, count, here.counts, here.devices))
                self.pods -= count * here.counts
                self.nodes[load.node] -= count
                used = True
        return used

    def cut(self, load: Load) -> Load:
        """The load less the pods of which there are not so many left."""
        if (load.counts <= self.pods).all():
            return load
        counts, devices = load.counts.copy(), [list(device) for device in load.devices]
        for pod in np.flatnonzero(counts > self.pods).tolist():
            while counts[pod] > self.pods[pod]:
                _take_off(self._instance, pod, counts, devices)
        return Load(load.node, load.number, counts, tuple(tuple(device) for device in devices))

    def finished(self) -> Packing:
        """With whatever still fits added."""
        return filled(self._instance, Packing(tuple(self._loads)))


@dataclass(slots=True, eq=False)
class _Group:
    """Nodes with the same contents, while pods are still being added."""

    node: int
    number: int
    counts: Int64
    devices: list[list[int]] = field(default_factory=list)


def filled(instance: Instance, packing: Packing) -> Packing:
    """The packing with every pod added that still fits: those that must be placed first, then the most valuable.

    Each goes where it leaves the least room: on its devices first, then of the other resources. Pods that are worth
    nothing and need not be placed are left out.
    """
    room = _Room(instance, packing)
    left = instance.pod_count - packing.placed(len(instance.pod_count))
    owed = np.maximum(instance.least - packing.placed(len(instance.pod_count)), 0)
    fits = fits_alone(instance)
    size = (instance.request / np.maximum(instance.capacity.max(axis=0, initial=1), 1)).sum(axis=1)
    order = np.lexsort((-size, -instance.gpu_total, -instance.value))
    for forced in (True, False):
        for pod in order.tolist():
            rest = int(owed[pod]) if forced else int(left[pod])
            if not rest or not (forced or instance.value[pod]):
                continue
            while rest and room.place(pod, fits[pod], forced):
                rest -= 1
                left[pod] -= 1
    return room.packing()


class _Room:
    """What is free on each group of equal nodes, in columns."""

    def __init__(self, instance: Instance, packing: Packing) -> None:
        self._instance = instance
        self._width = int(instance.devices.max(initial=0))
        self._groups = [
            _Group(load.node, load.number, load.counts.copy(), [list(device) for device in load.devices])
            for load in packing.loads
        ]
        unused = instance.node_count.copy()
        for load in packing.loads:
            unused[load.node] -= load.number
        nothing = np.zeros(len(instance.pod_count), np.int64)
        self._groups += [_Group(node, int(n), nothing.copy()) for node, n in enumerate(unused) if n]
        self._node = np.array([group.node for group in self._groups], np.int64)
        self._empty = np.array([not group.counts.any() for group in self._groups], bool)
        self._free = np.array([self._free_of(group) for group in self._groups], np.int64)
        self._idle = np.array([self._idle_of(group) for group in self._groups], np.int64)
        self._free = self._free.reshape(len(self._groups), instance.capacity.shape[1])
        self._idle = self._idle.reshape(len(self._groups), self._width)

    def packing(self) -> Packing:
        return Packing(
            tuple(
                Load(group.node, group.number, group.counts, tuple(tuple(device) for device in group.devices))
                for group in self._groups
                if group.counts.any()
            )
        )

    def place(self, pod: int, allowed: Bool, forced: bool) -> bool:
        """Put one pod where it fits best; False where it fits nowhere, or is not worth the node that it would open."""
        instance = self._instance
        count, milli = int(instance.gpu_count[pod]), int(instance.gpu_milli[pod])
        ok = allowed[self._node] & (self._free >= instance.request[pod]).all(axis=1)
        waste = np.zeros(len(ok))
        if count and milli:
            fitting = self._idle >= milli
            ok &= fitting.sum(axis=1) >= count
            best = np.where(fitting, self._idle, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
            waste += np.where(ok, best - milli, 0)
        cost = instance.node_cost[self._node]
        opens = self._empty & (cost > 0)
        if not forced:
            ok &= ~(opens & (cost >= instance.value[pod]))
        if not ok.any():
            return False
        capacity = np.maximum(instance.capacity[self._node], 1)
        slack = (self._free / capacity).mean(axis=1)
        # Lexicographic: no new node, then devices, then the rest.
        choice = np.lexsort((slack, waste, opens, ~ok))[0]
        self._put(int(choice), pod, count if milli else 0, milli)
        return True

    def _put(self, at: int, pod: int, count: int, milli: int) -> None:
        group = self._groups[at]
        if group.number > 1:
            group.number -= 1
            group = _Group(group.node, 1, group.counts.copy(), [list(device) for device in group.devices])
            self._groups.append(group)
            self._node = np.append(self._node, group.node)
            self._empty = np.append(self._empty, False)
            self._free = np.vstack([self._free, self._free[at]])
            self._idle = np.vstack([self._idle, self._idle[at]])
            at = len(self._groups) - 1
        group.counts[pod] += 1
        while len(group.devices) < self._instance.devices[group.node]:
            group.devices.append([])
        fitting = np.flatnonzero(self._idle[at] >= milli)
        for device in fitting[np.argsort(self._idle[at][fitting], kind="stable")][:count].tolist():
            group.devices[device].append(pod)
        self._empty[at] = False
        self._free[at] = self._free_of(group)
        self._idle[at] = self._idle_of(group)

    def _free_of(self, group: _Group) -> Int64:
        return np.asarray(self._instance.capacity[group.node] - group.counts @ self._instance.request)

    def _idle_of(self, group: _Group) -> Int64:
        idle = np.full(self._width, -1, np.int64)
        devices = int(self._instance.devices[group.node])
        idle[:devices] = self._instance.device_milli[group.node]
        for device, pods in enumerate(group.devices):
            idle[device] -= sum(int(self._instance.gpu_milli[pod]) for pod in pods)
        return idle
