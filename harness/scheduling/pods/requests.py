"""What a pod requests: amounts by resource, GPUs, and what scores assume where it requests nothing."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.core import Container, Pod, PodSpec
from harness.model.gpu import DEVICE_MILLI, GPU_COUNT, GPU_INDEX, GPU_MILLI, GPU_MODEL, WHOLE_GPU, parse_devices
from harness.model.pod_amounts import pod_amounts, thousandths
from harness.model.whole_numbers import whole_number
from harness.scheduling.state.resource_names import counted
from harness.scheduling.strategy import NO_GPU, GpuRequest

GPU_ANNOTATIONS = (GPU_COUNT, GPU_MILLI, GPU_MODEL)
"""All annotations that `gpu_request` reads."""

ASSUMED: Mapping[str, int] = {"cpu": 100, "memory": 200 << 20}
"""Milli-CPU and bytes that kube-scheduler's scores assume for a container that requests none.
Source: kube-scheduler 1.32 util/pod_resources.go DefaultMilliCPURequest, DefaultMemoryRequest."""


def non_requested(spec: PodSpec, amounts: Mapping[str, int]) -> tuple[int, ...]:
    assumed, _ = requests_of(spec, ASSUMED)
    out = tuple(assumed.get(name, 0) - amounts.get(name, 0) for name in ASSUMED)
    return out if any(out) else ()


def requests_of(spec: PodSpec, assumed: Mapping[str, int] | None = None) -> tuple[dict[str, int], int]:
    """What a pod holds on a node by resource (milli-CPU, bytes, units), and its whole GPUs.

    `assumed`: amounts of a container that requests none of that resource.
    """

    def asked(container: Container) -> dict[str, int]:
        mine = thousandths(container.resources.requests)
        return mine if not assumed else {**{name: amount * _WHOLE[name] for name, amount in assumed.items()}, **mine}

    total = {
        name: amount if name == "cpu" else -(-amount // 1000)
        for name, amount in pod_amounts(spec, asked).items()
        if counted(name)
    }
    return total, total.pop(WHOLE_GPU, 0)


_WHOLE = {"cpu": 1, "memory": 1000}  # thousandths of what ASSUMED counts in


def gpu_request(pod: Pod, whole: int) -> GpuRequest:
    """From the annotations of open-gpu-share, else from `whole` devices. Raises ValueError when one is no integer."""
    annotations = pod.metadata.annotations
    milli = _int(annotations, GPU_MILLI, 0)
    count = _int(annotations, GPU_COUNT, 1 if milli else 0)
    models = tuple(filter(None, annotations.get(GPU_MODEL, "").split("|")))  # as written, a repeated one included
    if count:
        return GpuRequest(count, milli or DEVICE_MILLI, models)
    return GpuRequest(whole, DEVICE_MILLI, models) if whole else NO_GPU


def _int(annotations: Mapping[str, str], key: str, default: int) -> int:
    text = annotations.get(key)
    if not text:
        return default
    number = whole_number(text)
    if number is None:
        raise ValueError(f"annotation {key}: {text[:80]!r} is not a whole number")
    return number


def bound_devices(pod: Pod) -> tuple[int, ...] | None:
    """The devices that a bound pod holds, from its GPU_INDEX annotation; None when it says nothing."""
    text = pod.metadata.annotations.get(GPU_INDEX)
    return parse_devices(text) if text else None
