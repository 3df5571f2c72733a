"""What a pod requests, in the four numbers that measures count; computed once for all pods of a template."""

from __future__ import annotations

from typing import Any

from harness.model.core import Container, Pod, ResourceList
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_MILLI, WHOLE_GPU
from harness.model.pod_amounts import pod_amounts, thousandths
from harness.model.whole_numbers import whole_number

_CACHE_SIZE = 65_536


class Requests:
    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Any, tuple[int, int, int], int]] = {}

    def of(self, pod: Pod) -> tuple[tuple[int, int, int], int]:
        """((milli-CPU, bytes, GPU milli), milli of each device): what the scheduler counts for it, with its sidecars
        and overhead."""
        annotations, spec = pod.metadata.annotations, pod.spec
        count, share = annotations.get(GPU_COUNT, ""), annotations.get(GPU_MILLI, "")
        overhead = tuple(spec.overhead.items()) if spec.overhead else ()
        key = (id(spec.containers), id(spec.init_containers), overhead, count, share)
        known = self._known.get(key)
        if known is not None:
            return known[1], known[2]
        asked = pod_amounts(spec, _requests)
        said_milli, said_devices = whole_number(share) or 0, whole_number(count)
        devices = (1 if said_milli else 0) if said_devices is None else said_devices
        milli = (said_milli or DEVICE_MILLI) if devices else DEVICE_MILLI
        devices = devices or _whole(asked, WHOLE_GPU)
        amounts = (asked.get("cpu", 0), _whole(asked, "memory"), devices * milli)
        if len(self._known) > _CACHE_SIZE:
            self._known.clear()
        # holding them keeps their identity from being used again
        self._known[key] = ((spec.containers, spec.init_containers), amounts, milli)
        return amounts, milli


def _requests(container: Container) -> dict[str, int]:
    return thousandths(container.resources.requests)


def _whole(asked: dict[str, int], name: str) -> int:
    return -(-asked.get(name, 0) // 1000)


def milli_of(requests: ResourceList, name: str) -> int:
    amount = requests.get(name)
    return 0 if amount is None else amount.milli
