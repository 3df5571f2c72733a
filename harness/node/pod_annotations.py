"""The annotations of a pod that a kubelet reads: how long it runs, what it uses, when it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from harness.engine.component import SECOND
from harness.model.core import Pod
from harness.model.gpu import DEVICE_MILLI, GPU_INDEX, GPU_MILLI, parse_devices
from harness.model.pod_usage import CPU_PER_REQUEST, CPU_USAGE, DURATION, EXIT_CODE, MEMORY_PER_RPS, MEMORY_USAGE
from harness.model.quantity import parse_quantity
from harness.model.times import parse_duration
from harness.model.whole_numbers import whole_number

READY_AFTER = "podyard.dev/ready-after"
"""Readiness probes fail until so long after the start; without such a probe the pod is ready then."""
STOP_AFTER = "podyard.dev/stop-after"
"""How long they take to stop after SIGTERM."""
UNHEALTHY_AFTER = "podyard.dev/unhealthy-after"
"""From then on they answer neither probes nor requests."""

OF_CONTAINERS = (DURATION, EXIT_CODE, READY_AFTER, STOP_AFTER, UNHEALTHY_AFTER)
"""Those that may be about one container: with its name behind a dot, as podyard.dev/duration.sidecar."""

STOP_AFTER_NS = SECOND
_MOST_S = 1 << 33
"""Below which whole seconds are nanoseconds of 64 bits."""


class PodAnnotations(msgspec.Struct, frozen=True, gc=False):
    """Of a pod's annotations. `request_micro`: micro-CPU-seconds a request, -1: it serves none. `wrong`: what could
    not be read, and counts as not said."""

    duration_ns: int = -1
    exit_code: int = 0
    ready_after_ns: int = 0
    stop_after_ns: int = STOP_AFTER_NS
    unhealthy_after_ns: int = -1
    idle_milli: int = -1
    request_micro: int = -1
    memory_milli: int = -1
    memory_per_rps_milli: int = 0
    devices: tuple[int, ...] = ()
    device_milli: int = DEVICE_MILLI
    wrong: tuple[str, ...] = ()


NO_ANNOTATIONS = PodAnnotations()


def read_annotations(annotations: Mapping[str, str]) -> PodAnnotations:
    if not annotations:
        return NO_ANNOTATIONS
    found: dict[str, object] = {}
    wrong: list[str] = []
    for name, text in annotations.items():
        reader = _READERS.get(name)
        if reader is not None:
            try:
                found[reader[0]] = reader[1](text)
            except (ValueError, ArithmeticError):
                wrong.append(f"{name}: {text[:80]!r}")
    if not found and not wrong:
        return NO_ANNOTATIONS
    return PodAnnotations(**found, wrong=tuple(wrong))  # type: ignore[arg-type]


def read_pod_annotations(pod: Pod) -> PodAnnotations:
    return read_annotations(own_annotations(pod))


def own_annotations(pod: Pod) -> Mapping[str, str]:
    """Of a pod with one container, what is said of that container by name holds before what is said of the pod."""
    annotations = pod.metadata.annotations
    if annotations and len(pod.spec.containers) == 1:
        name = pod.spec.containers[0].name
        own = {known: text for known in OF_CONTAINERS if (text := annotations.get(f"{known}.{name}")) is not None}
        if own:
            return {**annotations, **own}
    return annotations


def unreadable_devices(wrong: tuple[str, ...]) -> tuple[str, str] | None:
    """Devices that cannot be told must not be given out twice. Source: UnexpectedAdmissionError, as from the device
    manager."""
    for text in wrong:
        if text.startswith((GPU_INDEX, GPU_MILLI)):
            return "UnexpectedAdmissionError", f"devices are not understood: {text}"
    return None


def unreadable(annotations: Mapping[str, str]) -> list[tuple[str, str]]:
    """(name, text) of those that a kubelet reads and cannot read; READ_AS says what it expects."""
    out = []
    for name, text in annotations.items():
        known = shared_name(name)
        if known in _READERS and read_annotations({known: text}).wrong:
            out.append((name, text))
    return out


def shared_name(name: str) -> str:
    """Without the name of a container, where there is one and may be one."""
    for known in OF_CONTAINERS:
        if name.startswith(known + "."):
            return known
    return name


def _span(text: str) -> int:
    # Traces write '123.5s', and there are many of them.
    whole, _, part = text[:-1].partition(".")
    seconds, rest = whole_number(whole), whole_number(part) if part else 0
    if text[-1:] == "s" and seconds is not None and seconds < _MOST_S and rest is not None and len(part) <= 9:
        below: int = rest * SECOND // 10 ** len(part)
        return seconds * SECOND + below
    return parse_duration(text)


def _milli(text: str) -> int:
    return _positive(parse_quantity(text).milli)


def _micro(text: str) -> int:
    """Quantities of a thousandth and more; '200u' too, which is finer than a Quantity is."""
    if text.endswith("u"):
        return _whole(text[:-1].partition(".")[0])
    return _milli(text) * 1000


def _whole(text: str) -> int:
    found = whole_number(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no whole number")
    return found


def _code(text: str) -> int:
    found = _whole(text)
    if found > 255:
        raise ValueError(f"{found} is no exit code")
    return found


def _positive(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


_READERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    DURATION: ("duration_ns", _span),
    EXIT_CODE: ("exit_code", _code),
    READY_AFTER: ("ready_after_ns", _span),
    STOP_AFTER: ("stop_after_ns", _span),
    UNHEALTHY_AFTER: ("unhealthy_after_ns", _span),
    CPU_USAGE: ("idle_milli", _milli),
    CPU_PER_REQUEST: ("request_micro", _micro),
    MEMORY_USAGE: ("memory_milli", _milli),
    MEMORY_PER_RPS: ("memory_per_rps_milli", _milli),
    GPU_INDEX: ("devices", parse_devices),
    GPU_MILLI: ("device_milli", _whole),
}
READ_AS = {
    DURATION: "a duration, as 90s or 1h30m",
    EXIT_CODE: "an exit code, 0 to 255",
    READY_AFTER: "a duration, as 90s or 1h30m",
    STOP_AFTER: "a duration, as 90s or 1h30m",
    UNHEALTHY_AFTER: "a duration, as 90s or 1h30m",
    CPU_USAGE: "an amount of CPU, as 250m",
    CPU_PER_REQUEST: "CPU-seconds, as 5m or 200u",
    MEMORY_USAGE: "an amount of memory, as 64Mi",
    MEMORY_PER_RPS: "an amount of memory, as 64Ki",
    GPU_INDEX: "a list of devices, as 0-1",
    GPU_MILLI: "a whole number",
}
