"""What one node can hold at most, pods being paid for: an integer upper bound by dynamic programming on a grid.

A pattern is how many pods of each class lie on one node. The program is exact in the structure of the GPU devices
and in one resource, the main one, up to the width of its grid: requests are rounded down to the grid, so that every
real pattern stays allowed and the result can only be too high. The other resources are left out here; whoever
prices them in (see `certificate`) loses little.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from harness.measure.bound.instance import Bool, Instance, Int64
from harness.measure.bound.knapsack import Device, Items, Loose, Node, Way, mixes

DEVICE_STEPS = 256
"""Finest grid of one device: openb's requests are multiples of 10 milli, so its 100 steps are exact."""

WIDTHS = 257
"""Grids to choose from."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """`worth`: no real pattern is worth more. `counts`: one that reaches it on the grid, float64 [P].

    `devices`: the pod classes on each device that holds any.
    """

    worth: int
    counts: npt.NDArray[np.float64]
    devices: tuple[tuple[int, ...], ...]


class NodePatterns:
    """The patterns of one node class."""

    def __init__(self, instance: Instance, node: int, fits: Bool, most: Int64) -> None:
        """`fits` is `fits_alone(instance)`; `most`: how many pods of each class there can be, int64 [P]."""
        self._instance, self._node, self._fits = instance, node, fits[:, node]
        self._devices, size = int(instance.devices[node]), int(instance.device_milli[node])
        gpu = (instance.gpu_count > 0) & (instance.gpu_milli > 0)
        unit = max(1, gcd(size, *(int(milli) for milli in instance.gpu_milli[self._fits & gpu])))
        if size > unit * DEVICE_STEPS:
            unit = -(-size // DEVICE_STEPS)
        self._full = size // unit
        self._unit, self._milli = unit, instance.gpu_milli // unit
        self._whole = gpu & (instance.gpu_milli == size) & (instance.gpu_count > 1)
        # What is smaller than a step of the device's grid counts as needing no device at all.
        self._single = gpu & ~self._whole & (self._milli > 0)
        self._loose = ~self._single & ~self._whole
        # A pod on several devices that leaves a part of each to others is cut into one piece a device.
        self._pieces = np.where(self._single, np.maximum(instance.gpu_count, 1), 1)
        self._widths: dict[tuple[int, int, bool], int] = {}
        self._most = np.minimum(most, _room_for(instance, node))

    def best(self, net: Int64, main: int, steps: int, *, inner: bool = False) -> Pattern:
        """The pattern worth most when a pod of class p is worth `net[p]`, on a grid of some `steps` of `main`.

        `inner` rounds requests up instead: then the pattern really fits as far as `main`, a resource, and the devices
        go, and its worth bounds nothing.
        """
        capacity = int(self._instance.capacity[self._node, main])
        width = self._width(main, steps, inner)
        budget = capacity // width
        # Rounded so that cutting a pod into pieces neither costs it worth nor makes it dearer.
        worth, request = -(-net // self._pieces), self._instance.request[:, main]
        cost = -(-request // width) if inner else request // self._pieces // width
        milli = -(-self._instance.gpu_milli // self._unit) if inner else self._milli
        counts = np.zeros(len(net))
        wanted = self._fits & (net > 0) & (self._most > 0) & (cost <= budget)
        if inner:
            wanted &= (self._pieces == 1) & ~(self._loose & (self._instance.gpu_total > 0))

        def items(which: Bool) -> Items:
            label = np.flatnonzero(which & wanted)
            return Items(label, milli=milli[label], main=cost[label], worth=worth[label])

        free = self._loose & (cost == 0)
        counts[free & wanted] = self._most[free & wanted]
        base = int((net[free & wanted] * self._most[free & wanted]).sum())
        paid = items(self._loose & (cost > 0))
        loose = Loose(paid, self._most[paid.label], budget)
        device = Device(items(self._single), self._full, budget)
        ways = [mixes(device)]
        for n in np.unique(self._instance.gpu_count[self._whole & wanted]).tolist():
            whole = items(self._whole & (self._instance.gpu_count == n)).undominated()
            ways.append(Way(n, whole.label, whole.main, whole.worth))
        node = Node(self._devices, ways, loose.table)

        taken, left = node.chosen()
        devices: list[tuple[int, ...]] = []
        for label, step in taken:
            mix = (label,) if label >= 0 else device.chosen(step)
            devices.extend([mix] * (int(self._instance.gpu_count[label]) if label >= 0 else 1))
            for pod in mix:
                counts[pod] += 1 / self._pieces[pod]
        for pod, number in loose.chosen(left):
            counts[pod] += number
        return Pattern(base + node.worth, counts, tuple(devices))

    def _width(self, main: int, steps: int, inner: bool) -> int:
        """The grid's step, in units of the resource: of those that give `steps` to twice as many, the one at which
        rounding distorts the node's pods least."""
        key = main, steps, inner
        if key not in self._widths:
            capacity = int(self._instance.capacity[self._node, main])
            widths = np.unique(np.linspace(-(-capacity // (2 * steps)), -(-capacity // steps), WIDTHS).astype(np.int64))
            widths = np.maximum(widths, 1)
            count = np.where(self._fits, self._most, 0)
            request = self._instance.request[:, main] // (1 if inner else self._pieces)
            lost = (-request if inner else request)[:, None] % widths
            self._widths[key] = int(widths[np.argmin(count @ lost / max(1, int(count.sum())) + capacity % widths / 8)])
        return self._widths[key]


def _room_for(instance: Instance, node: int) -> Int64:
    """How many pods of each class one node's resources admit, each class alone, int64 [P]."""
    request = instance.request
    unlimited = np.iinfo(np.int64).max
    room = np.where(request > 0, instance.capacity[node] // np.maximum(request, 1), unlimited)
    return np.asarray(room.min(axis=1, initial=unlimited))
