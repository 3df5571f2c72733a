"""What a kubelet reads from a pod: once for all pods that share a spec, and each pod's own annotations."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from harness.engine.component import SECOND
from harness.model.core import Container, Pod, Probe, ResourceList
from harness.model.gpu import DEVICE_MILLI, GPU_INDEX, GPU_MILLI, parse_devices
from harness.model.quantity import parse_quantity
from harness.model.times import parse_duration

DURATION = "podyard.dev/duration"
"""Its containers end by themselves so long after they started."""
EXIT_CODE = "podyard.dev/exit-code"
"""What they end with; 0."""
READY_AFTER = "podyard.dev/ready-after"
"""Readiness probes fail until so long after the start; without such a probe the pod is ready then."""
STOP_AFTER = "podyard.dev/stop-after"
"""How long they take to stop after SIGTERM."""
UNHEALTHY_AFTER = "podyard.dev/unhealthy-after"
"""From then on they answer neither probes nor requests."""
CPU_USAGE = "podyard.dev/cpu-usage"
"""CPU that the pod uses without requests."""
CPU_PER_REQUEST = "podyard.dev/cpu-per-request"
"""CPU-seconds a request; marks a pod that serves requests."""

STOP_AFTER_NS = SECOND
IDLE_PERCENT = 10
"""CPU that a pod uses without requests where it does not say, in percent of what it asks for."""


class Plan(msgspec.Struct, gc=False):
    """Of a spec. `needs`: (resource, milli) of all that counts. Probe spans in ns; 0 where there is no such probe."""

    needs: tuple[tuple[str, int], ...]
    cpu_milli: int
    cpu_limit_milli: int
    images: tuple[str, ...]
    inits: int
    begin_ns: int  # from the start of a healthy container to ready
    ready_delay_ns: int
    ready_period_ns: int
    ready_fail_ns: int  # from the first failing probe to not ready
    live_delay_ns: int
    live_period_ns: int
    live_fail_ns: int  # from the first failing probe to killed
    keep: tuple[Container, ...]  # also that its identity stays taken


_plans: dict[int, Plan] = {}
_MOST = 8192


def plan_of(pod: Pod) -> Plan:
    # Pods of one template share their containers, so these are what is known by identity.
    containers = pod.spec.containers
    plan = _plans.get(id(containers))
    if plan is not None and plan.keep is containers:
        return plan
    plan = _read(pod)
    if len(_plans) >= _MOST:
        _plans.clear()
    _plans[id(containers)] = plan
    return plan


def _read(pod: Pod) -> Plan:
    spec = pod.spec
    limits = [container.resources.limits.get("cpu") for container in spec.containers]
    limit = sum(amount.milli for amount in limits if amount is not None) if all(limits) else 0
    needs = _needs(pod)
    ready = [probe for container in spec.containers if (probe := container.readiness_probe) is not None]
    live = [probe for container in spec.containers if (probe := container.liveness_probe) is not None]
    startup = [probe for container in spec.containers if (probe := container.startup_probe) is not None]
    return Plan(
        needs=tuple(sorted((name, milli) for name, milli in needs.items() if milli)),
        cpu_milli=needs.get("cpu", 0),
        cpu_limit_milli=limit,
        images=tuple(dict.fromkeys(c.image for c in (*spec.init_containers, *spec.containers))),
        inits=sum(c.restart_policy != "Always" for c in spec.init_containers),
        begin_ns=max((_delay(probe) + _repeats(probe) for probe in (*ready, *startup)), default=0),
        ready_delay_ns=max((_delay(probe) for probe in ready), default=0),
        ready_period_ns=min((_period(probe) for probe in ready), default=0),
        ready_fail_ns=min((_fails(probe) for probe in ready), default=0),
        live_delay_ns=min((_delay(probe) for probe in live), default=0),
        live_period_ns=min((_period(probe) for probe in live), default=0),
        live_fail_ns=min((_fails(probe) for probe in live), default=0),
        keep=spec.containers,
    )


def _needs(pod: Pod) -> dict[str, int]:
    """Source: component-helpers resource PodRequests: containers and sidecars together, or the largest init container
    with the sidecars before it; and the overhead."""
    spec = pod.spec
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, container.resources.requests)
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers:
        if container.restart_policy == "Always":
            _add(sidecars, container.resources.requests)
            _most(peak, sidecars)
        else:
            alone = dict(sidecars)
            _add(alone, container.resources.requests)
            _most(peak, alone)
    for name, milli in sidecars.items():
        total[name] = total.get(name, 0) + milli
    _most(total, peak)
    _add(total, spec.overhead)
    total["pods"] = 1000
    return total


def _add(total: dict[str, int], amounts: ResourceList) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount.milli


def _most(total: dict[str, int], other: Mapping[str, int]) -> None:
    for name, milli in other.items():
        if milli > total.get(name, 0):
            total[name] = milli


def _delay(probe: Probe) -> int:
    return (probe.initial_delay_seconds or 0) * SECOND


def _period(probe: Probe) -> int:
    return (probe.period_seconds or 10) * SECOND


def _repeats(probe: Probe) -> int:
    """From the first probe that passes to the verdict."""
    return ((probe.success_threshold or 1) - 1) * _period(probe)


def _fails(probe: Probe) -> int:
    """From the first failing probe to the verdict: failureThreshold probes, the last one with its timeout."""
    return ((probe.failure_threshold or 3) - 1) * _period(probe) + (probe.timeout_seconds or 1) * SECOND


def tick(at: int, first: int, period: int) -> int:
    """The first probe at or after `at`, of probes every `period` from `first`."""
    return first if at <= first else first + -(-(at - first) // period) * period


class Wishes(msgspec.Struct, frozen=True, gc=False):
    """Of a pod's annotations. `request_micro`: micro-CPU-seconds a request, -1: it serves none. `wrong`: what could
    not be read, and counts as not said."""

    duration_ns: int = -1
    exit_code: int = 0
    ready_after_ns: int = 0
    stop_after_ns: int = STOP_AFTER_NS
    unhealthy_after_ns: int = -1
    idle_milli: int = -1
    request_micro: int = -1
    devices: tuple[int, ...] = ()
    device_milli: int = DEVICE_MILLI
    wrong: tuple[str, ...] = ()


NO_WISHES = Wishes()


def wishes_of(annotations: Mapping[str, str]) -> Wishes:
    if not annotations:
        return NO_WISHES
    found: dict[str, object] = {}
    wrong: list[str] = []
    for name, text in annotations.items():
        reader = _READERS.get(name)
        if reader is not None:
            try:
                found[reader[0]] = reader[1](text)
            except (ValueError, ArithmeticError):
                wrong.append(f"{name}: {text!r}")
    if not found and not wrong:
        return NO_WISHES
    return Wishes(**found, wrong=tuple(wrong))  # type: ignore[arg-type]


def _span(text: str) -> int:
    # Traces write '123.5s', and there are many of them.
    whole, _, part = text[:-1].partition(".")
    if text[-1:] == "s" and whole.isdecimal() and (not part or (part.isdecimal() and len(part) <= 9)):
        return int(whole) * SECOND + (int(part) * SECOND // 10 ** len(part) if part else 0)
    return parse_duration(text)


def _milli(text: str) -> int:
    return _positive(parse_quantity(text).milli)


def _micro(text: str) -> int:
    """Quantities of a thousandth and more; '200u' too, which is finer than a Quantity is."""
    if text.endswith("u"):
        return _positive(int(Decimal(text[:-1])))
    return _milli(text) * 1000


def _positive(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


_READERS = {
    DURATION: ("duration_ns", _span),
    EXIT_CODE: ("exit_code", lambda text: _positive(int(text))),
    READY_AFTER: ("ready_after_ns", _span),
    STOP_AFTER: ("stop_after_ns", _span),
    UNHEALTHY_AFTER: ("unhealthy_after_ns", _span),
    CPU_USAGE: ("idle_milli", _milli),
    CPU_PER_REQUEST: ("request_micro", _micro),
    GPU_INDEX: ("devices", lambda text: tuple(map(_positive, parse_devices(text)))),
    GPU_MILLI: ("device_milli", lambda text: _positive(int(text))),
}
