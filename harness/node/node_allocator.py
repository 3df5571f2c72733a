"""What a node has to give, and what of it is taken: resources by name, and GPUs device by device."""

from __future__ import annotations

import msgspec

from harness.model.core import ResourceList
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_MILLI, WHOLE_GPU
from harness.node.pod_annotations import PodAnnotations
from harness.node.run_spec import RunSpec


class Allocatable(msgspec.Struct, gc=False):
    """Allocatable in milli, and devices; one for all nodes of a shape."""

    milli: dict[str, int]
    devices: int
    keep: ResourceList


_known: dict[int, Allocatable] = {}
_MOST = 8192


def allocatable_of(allocatable: ResourceList) -> Allocatable:
    known = _known.get(id(allocatable))
    if known is not None and known.keep is allocatable:
        return known
    gpus = allocatable.get(GPU_COUNT) or allocatable.get(WHOLE_GPU)
    milli = {name: amount.milli for name, amount in allocatable.items()}
    if gpus is not None:
        # The same devices, by either name: a pod asks for whole ones, or by annotation for shares.
        milli.setdefault(WHOLE_GPU, gpus.milli)
    known = Allocatable(
        milli=milli,
        devices=0 if gpus is None else gpus.milli // 1000,
        keep=allocatable,
    )
    if len(_known) >= _MOST:
        _known.clear()
    _known[id(allocatable)] = known
    return known


class NodeAllocator:
    __slots__ = ("_allocatable", "_devices", "_used")

    def __init__(self, allocatable: ResourceList) -> None:
        self._allocatable = allocatable_of(allocatable)
        self._used: dict[str, int] = {}
        self._devices: list[int] | None = None  # milli taken of each

    def set_allocatable(self, allocatable: ResourceList) -> None:
        """The node has more or less to give; what is taken stays so."""
        self._allocatable = allocatable_of(allocatable)

    def lacks(self, run_spec: RunSpec, annotations: PodAnnotations) -> tuple[str, str] | None:
        """(reason, message) of the first thing that there is not enough of.

        Source: pkg/kubelet/lifecycle/predicate.go, InsufficientResourceError: OutOfcpu, OutOfmemory, OutOfpods, ..
        CPU is told in milli, everything else in whole units.
        """
        used, have = self._used, self._allocatable.milli
        for name, amount in run_spec.needs:
            if used.get(name, 0) + amount > have.get(name, 0):
                scale = 1 if name == "cpu" else 1000
                return _short(name, amount // scale, used.get(name, 0) // scale, have.get(name, 0) // scale)
        if annotations.devices:
            share, count = annotations.device_milli, self._allocatable.devices
            for device in annotations.devices:
                if device >= count:
                    return _short(f"{GPU_MILLI} of device {device}", share, 0, 0, GPU_MILLI)
                taken = 0 if self._devices is None else self._devices[device]
                if taken + share * annotations.devices.count(device) > DEVICE_MILLI:
                    return _short(f"{GPU_MILLI} of device {device}", share, taken, DEVICE_MILLI, GPU_MILLI)
        return None

    def take(self, run_spec: RunSpec, annotations: PodAnnotations) -> None:
        used = self._used
        for name, amount in run_spec.needs:
            used[name] = used.get(name, 0) + amount
        self._move(annotations, 1)

    def give_back(self, run_spec: RunSpec, annotations: PodAnnotations) -> None:
        used = self._used
        for name, amount in run_spec.needs:
            used[name] -= amount
        self._move(annotations, -1)

    def _move(self, annotations: PodAnnotations, sign: int) -> None:
        if not annotations.devices:
            return
        if self._devices is None:
            self._devices = [0] * self._allocatable.devices
        for device in annotations.devices:
            self._devices[device] += sign * annotations.device_milli


def _short(what: str, asked: int, used: int, capacity: int, resource: str = "") -> tuple[str, str]:
    return (
        f"OutOf{resource or what}",
        f"Node didn't have enough resource: {what}, requested: {asked}, used: {used}, capacity: {capacity}",
    )
