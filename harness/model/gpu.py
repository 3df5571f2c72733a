"""GPUs as Kubernetes and open-gpu-share name them.

Source: NVIDIA's device plugin for whole devices; open-gpu-share (utils/const.go) for shares of a device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from harness.model.quantity import Quantity
from harness.model.whole_numbers import whole_number

DEVICE_MILLI = 1000
"""What one device offers."""

WHOLE_GPU = "nvidia.com/gpu"
"""Resource: whole devices, of a pod or a node."""

GPU_COUNT = "alibaba.com/gpu-count"
"""Pod annotation: devices wanted. Node allocatable: devices there."""

GPU_MILLI = "alibaba.com/gpu-milli"
"""Pod annotation: milli of each device."""

GPU_MODEL = "alibaba.com/gpu-card-model"
"""Node label: the model. Pod annotation: accepted models, 'A|B'."""

GPU_INDEX = "alibaba.com/gpu-index"
"""Pod annotation, written by the binding: chosen devices, '0-1'."""


def gpus_of(allocatable: Mapping[str, Quantity]) -> int:
    """Whole devices that a node offers."""
    found = allocatable.get(WHOLE_GPU) or allocatable.get(GPU_COUNT)
    return 0 if found is None else found.milli // 1000


def devices_text(devices: Sequence[int]) -> str:
    """Annotation value of GPU_INDEX."""
    return "-".join(map(str, devices))


@lru_cache(maxsize=4096)
def parse_devices(text: str) -> tuple[int, ...]:
    """Of an annotation value of GPU_INDEX; () when it is empty. Raises ValueError on anything but indices."""
    if not text:
        return ()
    found = tuple(whole_number(part) for part in text.split("-"))
    if None in found:
        raise ValueError(f"{text[:80]!r} is no list of devices (expected e.g. 0-1)")
    return tuple(index for index in found if index is not None)
