"""The choice of GPU devices on a node where the strategy leaves it to the harness."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.gpu import DEVICE_MILLI
from harness.scheduling.strategy import GpuRequest


def choose_devices(request: GpuRequest, idle: Sequence[int]) -> tuple[int, ...] | None:
    """Whole devices by index, a share on the tightest device that takes it; None when it does not fit.

    `idle`: milli of each device. Ties go to the lowest index.
    Source: open-gpu-share AllocateExclusiveGpuId, and its "best" choice of a device.
    """
    milli = request.milli
    if request.count == 1:
        best = -1
        least = 0
        for index, free in enumerate(idle):
            if free >= milli and (best < 0 or free < least):
                best, least = index, free
        return None if best < 0 else (best,)
    fitting = [index for index, free in enumerate(idle) if free >= milli]
    if len(fitting) < request.count:
        return None
    if milli < DEVICE_MILLI:
        fitting.sort(key=lambda index: (idle[index], index))
    return tuple(sorted(fitting[: request.count]))
