"""What a pod requests, in the four numbers that measures count; computed once for all pods of a template."""

from __future__ import annotations

from typing import Any

from harness.model.core import Pod, ResourceList
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_MILLI, WHOLE_GPU
from harness.model.whole_numbers import whole_number

_CACHE_SIZE = 65_536


class Requests:
    def __init__(self) -> None:
        self._known: dict[tuple[int, str, str], tuple[Any, tuple[int, int, int], int]] = {}

    def of(self, pod: Pod) -> tuple[tuple[int, int, int], int]:
        """((milli-CPU, bytes, GPU milli), milli of each device)."""
        annotations = pod.metadata.annotations
        count, share = annotations.get(GPU_COUNT, ""), annotations.get(GPU_MILLI, "")
        containers = pod.spec.containers
        key = (id(containers), count, share)
        known = self._known.get(key)
        if known is not None:
            return known[1], known[2]
        cpu = memory = whole = 0
        for container in containers:
            requests = container.resources.requests
            cpu += milli_of(requests, "cpu")
            memory += milli_of(requests, "memory") // 1000
            whole += milli_of(requests, WHOLE_GPU) // 1000
        for container in pod.spec.init_containers:
            requests = container.resources.requests
            cpu = max(cpu, milli_of(requests, "cpu"))
            memory = max(memory, milli_of(requests, "memory") // 1000)
        said_milli, said_devices = whole_number(share), whole_number(count)
        milli = DEVICE_MILLI if said_milli is None else said_milli
        devices = whole if said_devices is None else said_devices
        amounts = (cpu, memory, devices * milli)
        if len(self._known) > _CACHE_SIZE:
            self._known.clear()
        self._known[key] = (containers, amounts, milli)  # holding them keeps their identity from being used again
        return amounts, milli


def milli_of(requests: ResourceList, name: str) -> int:
    amount = requests.get(name)
    return 0 if amount is None else amount.milli
