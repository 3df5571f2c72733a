"""What a node has to give, and what of it is taken: resources by name, and GPUs device by device."""

from __future__ import annotations

import msgspec

from harness.model.core import ResourceList
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_MILLI, WHOLE_GPU
from harness.node.plans import Plan, Wishes


class Offer(msgspec.Struct, gc=False):
    """Allocatable in milli, and devices; one for all nodes of a shape."""

    milli: dict[str, int]
    devices: int
    keep: ResourceList


_offers: dict[int, Offer] = {}
_MOST = 8192


def offer_of(allocatable: ResourceList) -> Offer:
    offer = _offers.get(id(allocatable))
    if offer is not None and offer.keep is allocatable:
        return offer
    gpus = allocatable.get(GPU_COUNT) or allocatable.get(WHOLE_GPU)
    offer = Offer(
        milli={name: amount.milli for name, amount in allocatable.items()},
        devices=0 if gpus is None else gpus.milli // 1000,
        keep=allocatable,
    )
    if len(_offers) >= _MOST:
        _offers.clear()
    _offers[id(allocatable)] = offer
    return offer


class Room:
    __slots__ = ("_devices", "_offer", "_used")

    def __init__(self, allocatable: ResourceList) -> None:
        self._offer = offer_of(allocatable)
        self._used: dict[str, int] = {}
        self._devices: list[int] | None = None  # milli taken of each

    def lacks(self, plan: Plan, wishes: Wishes) -> tuple[str, str] | None:
        """(reason, message) of the first thing that there is not enough of.

        Source: pkg/kubelet/lifecycle/predicate.go, InsufficientResourceError: OutOfcpu, OutOfmemory, OutOfpods, ..
        CPU is told in milli, everything else in whole units.
        """
        used, have = self._used, self._offer.milli
        for name, amount in plan.needs:
            if used.get(name, 0) + amount > have.get(name, 0):
                scale = 1 if name == "cpu" else 1000
                return _short(name, amount // scale, used.get(name, 0) // scale, have.get(name, 0) // scale)
        if wishes.devices:
            share, count = wishes.device_milli, self._offer.devices
            for device in wishes.devices:
                if device >= count:
                    return _short(f"{GPU_MILLI} of device {device}", share, 0, 0, GPU_MILLI)
                taken = 0 if self._devices is None else self._devices[device]
                if taken + share * wishes.devices.count(device) > DEVICE_MILLI:
                    return _short(f"{GPU_MILLI} of device {device}", share, taken, DEVICE_MILLI, GPU_MILLI)
        return None

    def take(self, plan: Plan, wishes: Wishes) -> None:
        used = self._used
        for name, amount in plan.needs:
            used[name] = used.get(name, 0) + amount
        self._move(wishes, 1)

    def give_back(self, plan: Plan, wishes: Wishes) -> None:
        used = self._used
        for name, amount in plan.needs:
            used[name] -= amount
        self._move(wishes, -1)

    def _move(self, wishes: Wishes, sign: int) -> None:
        if not wishes.devices:
            return
        if self._devices is None:
            self._devices = [0] * self._offer.devices
        for device in wishes.devices:
            self._devices[device] += sign * wishes.device_milli


def _short(what: str, asked: int, used: int, capacity: int, resource: str = "") -> tuple[str, str]:
    return (
        f"OutOf{resource or what}",
        f"Node didn't have enough resource: {what}, requested: {asked}, used: {used}, capacity: {capacity}",
    )
