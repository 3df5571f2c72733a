"""GPUs as Kubernetes and open-gpu-share name them, and the default choice of devices on a node."""

from __future__ import annotations

from collections.abc import Sequence

from harness.scheduling.strategy import GpuRequest

DEVICE_MILLI = 1000
"""What one device offers (open-gpu-share MILLI)."""

WHOLE_GPU = "nvidia.com/gpu"
"""Resource: whole devices, of a pod or a node (NVIDIA device plugin)."""

GPU_COUNT = "alibaba.com/gpu-count"
"""Pod annotation: devices wanted. Node allocatable: devices there. Source: open-gpu-share utils/const.go."""

GPU_MILLI = "alibaba.com/gpu-milli"
"""Pod annotation: milli of each device."""

GPU_MODEL = "alibaba.com/gpu-card-model"
"""Node label: the model; pod annotation: accepted models, 'A|B'."""

GPU_INDEX = "alibaba.com/gpu-index"
"""Pod annotation, written by the binding: chosen devices, '0-1'."""


def choose_devices(request: GpuRequest, idle: Sequence[int]) -> tuple[int, ...] | None:
    """Where the strategy leaves it to the harness: whole devices by index, a share on the tightest fitting device.

    `idle`: milli of each device. None when it does not fit. Ties go to the lowest index.
    Source: open-gpu-share AllocateExclusiveGpuId, and its "best" device choice.
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


def devices_text(devices: Sequence[int]) -> str:
    """Annotation value of GPU_INDEX."""
    return "-".join(map(str, devices))


def parse_devices(text: str) -> tuple[int, ...]:
    """Of an annotation value of GPU_INDEX; () when it is empty. Raises ValueError on anything but indices."""
    return tuple(int(part) for part in text.split("-")) if text else ()
