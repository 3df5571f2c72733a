"""What nodes have and what is free of it: by node in plain ints, and the same in columns.

Each number lives twice: in numpy columns (for whole-cluster work) and in plain lists by node (for the work on one
node, where a numpy call costs more than the arithmetic).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.state.columns import frozen, grown
from harness.scheduling.strategy import Int64


class NodeResources:
    """Amounts are milli-CPU, bytes, pods and units, of GPU devices thousandths.

    Plain ints by node: `capacity_of` and `free_of` [resource], `devices_of` idle milli [device], `model_of` index into
    `models`, -1 without GPUs. Read-only columns over the nodes that there are: `capacity` and `free` int64
    [resources, nodes], `gpu_capacity` and `gpu_free` int64 [nodes, devices], `gpu_model` int64 [nodes].
    """

    capacity: Int64
    free: Int64
    gpu_capacity: Int64
    gpu_free: Int64
    gpu_model: Int64

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.free_of: list[list[int]] = []
        self.capacity_of: list[list[int]] = []
        self.devices_of: list[list[int]] = []
        self.model_of: list[int] = []
        self.models: dict[str, int] = {}
        # (milli-CPU, bytes) that scores assume beyond the requests of the pods that run, by node where there are any.
        self.non_requested_of: dict[int, tuple[int, int]] = {}
        self.width = 0  # devices of the widest node, so far
        self._capacity: Int64 = np.zeros((rows, 0), dtype=np.int64)
        self._free: Int64 = np.zeros((rows, 0), dtype=np.int64)
        self._free_rows = list(self._free)
        self._gpu_capacity: Int64 = np.zeros((0, 0), dtype=np.int64)
        self._gpu_free: Int64 = np.zeros((0, 0), dtype=np.int64)
        self._gpu_model: Int64 = np.zeros(0, dtype=np.int64)
        self._non_requested: Int64 = np.zeros((2, 0), dtype=np.int64)
        self._slice_views()

    def copy(self) -> NodeResources:
        twin = NodeResources(self.rows)
        for name in ("free_of", "capacity_of", "devices_of"):
            setattr(twin, name, [list(row) for row in getattr(self, name)])
        for name in ("_free", "_capacity", "_gpu_capacity", "_gpu_free", "_gpu_model", "_non_requested"):
            setattr(twin, name, getattr(self, name).copy())
        twin.model_of, twin.models, twin.width = list(self.model_of), dict(self.models), self.width
        twin.non_requested_of = dict(self.non_requested_of)
        twin._free_rows = list(twin._free)
        twin._slice_views()
        return twin

    # -- nodes --------------------------------------------------------------------------------------------------

    def append(self) -> None:
        """One node more, of which nothing is known yet."""
        self.free_of.append([])
        self.capacity_of.append([])
        self.devices_of.append([])
        self.model_of.append(-1)
        self._slice_views()

    def set_node(self, node: int, amounts: list[int], devices: int, model: str) -> None:
        """A node on which nothing runs. `amounts`: [resource]."""
        self.capacity_of[node], self.free_of[node] = amounts, list(amounts)
        self.set_devices(node, devices, model)
        self.write(node)

    def clear_node(self, node: int) -> None:
        self.set_node(node, [0] * self.rows, 0, "")

    def set_capacity(self, node: int, amounts: list[int]) -> None:
        """What runs there stays; `write` is up to the caller."""
        old = self.capacity_of[node]
        self.free_of[node] = [free + now - was for free, now, was in zip(self.free_of[node], amounts, old, strict=True)]
        self.capacity_of[node] = amounts

    def set_devices(self, node: int, devices: int, model: str) -> None:
        """All of them idle; `write` is up to the caller."""
        assert devices <= self.width, "widen first"
        self.devices_of[node] = [DEVICE_MILLI] * devices
        self.model_of[node] = self.models.setdefault(model, len(self.models)) if devices else -1
        self._gpu_capacity[node] = 0
        self._gpu_capacity[node, :devices] = DEVICE_MILLI

    def model(self, node: int) -> str:
        index = self.model_of[node]
        return "" if index < 0 else tuple(self.models)[index]

    def write(self, node: int) -> None:
        """Lists into columns."""
        self._free[:, node] = self.free_of[node]
        self._capacity[:, node] = self.capacity_of[node]
        devices = self.devices_of[node]
        self._gpu_free[node] = 0
        self._gpu_free[node, : len(devices)] = devices
        self._gpu_model[node] = self.model_of[node]

    # -- pods ---------------------------------------------------------------------------------------------------

    def allocate(self, amounts: Sequence[tuple[int, int]], node: int) -> None:
        """`amounts`: (row, amount). What is free may fall below zero."""
        free = self.free_of[node]
        columns = self._free_rows
        for row, amount in amounts:
            left = free[row] = free[row] - amount
            columns[row][node] = left

    def release(self, amounts: Sequence[tuple[int, int]], node: int) -> None:
        free = self.free_of[node]
        columns = self._free_rows
        for row, amount in amounts:
            left = free[row] = free[row] + amount
            columns[row][node] = left

    def allocate_devices(self, devices: Sequence[int], milli: int, node: int) -> None:
        idle = self.devices_of[node]
        for device in devices:
            left = idle[device] = idle[device] - milli
            self._gpu_free[node, device] = left

    def release_devices(self, devices: Sequence[int], milli: int, node: int) -> None:
        """Devices that the node has lost since are passed over."""
        idle = self.devices_of[node]
        for device in devices:
            if device < len(idle):
                left = idle[device] = idle[device] + milli
                self._gpu_free[node, device] = left

    def add_non_requested(self, amounts: tuple[int, ...], node: int, sign: int) -> None:
        cpu, memory = self.non_requested_of.get(node, (0, 0))
        cpu, memory = cpu + sign * amounts[0], memory + sign * amounts[1]
        if cpu or memory:
            self.non_requested_of[node] = (cpu, memory)
        else:
            self.non_requested_of.pop(node, None)
        self._non_requested[:, node] = cpu, memory

    @property
    def non_requested(self) -> Int64:
        """`non_requested_of` as columns, int64 [2, nodes]: milli-CPU, bytes."""
        return self._non_requested[:, : len(self.free_of)]

    # -- columns ------------------------------------------------------------------------------------------------

    def widen(self, devices: int) -> None:
        """Columns for so many devices a node."""
        self.width = devices
        self.grow(len(self._gpu_model))

    def fit_rows(self, rows: int) -> None:
        missing = rows - self.rows
        for amounts in (*self.free_of, *self.capacity_of):
            amounts.extend([0] * missing)
        self.rows = rows
        self.grow(len(self._gpu_model))

    def grow(self, room: int) -> None:
        """Columns for so many nodes, rows and devices."""
        self._free = grown(self._free, (self.rows, room))
        self._capacity = grown(self._capacity, (self.rows, room))
        self._gpu_capacity = grown(self._gpu_capacity, (room, self.width))
        self._gpu_free = grown(self._gpu_free, (room, self.width))
        self._gpu_model = grown(self._gpu_model, (room,), -1)
        self._non_requested = grown(self._non_requested, (2, room))
        self._free_rows = list(self._free)
        self._slice_views()

    def _slice_views(self) -> None:
        n = len(self.free_of)
        self.free = frozen(self._free[:, :n])
        self.capacity = frozen(self._capacity[:, :n])
        self.gpu_free = frozen(self._gpu_free[:n])
        self.gpu_capacity = frozen(self._gpu_capacity[:n])
        self.gpu_model = frozen(self._gpu_model[:n])
