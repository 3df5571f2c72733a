"""What a kubelet reads from a pod, once for all pods that share it."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.core import Container, Pod, Probe, ResourceList
from harness.model.gpu import GPU_COUNT, GPU_MILLI, WHOLE_GPU
from harness.model.quantity import parse_quantity

DURATION = "podyard.dev/duration"
EXIT_CODE = "podyard.dev/exit-code"
READY_AFTER = "podyard.dev/ready-after"
STOP_AFTER = "podyard.dev/stop-after"
UNHEALTHY_AFTER = "podyard.dev/unhealthy-after"
CPU_USAGE = "podyard.dev/cpu-usage"
CPU_PER_REQUEST = "podyard.dev/cpu-per-request"

STOP_AFTER_NS = 10**9
"""How long a container takes to stop after SIGTERM where the pod does not say."""

IDLE_PERCENT = 10
"""CPU that a pod uses without traffic where it does not say, in percent of its request."""

SECOND = 10**9


class Plan(msgspec.Struct, gc=False):
    """`needs`: (resource, milli) of everything counted. Probe spans in ns; 0 where there is no such probe."""

    needs: tuple[tuple[str, int], ...]
    cpu_milli: int
    cpu_limit_milli: int
    images: tuple[str, ...]
    inits: int
    ready_probe_ns: int  # from start to ready
    ready_fail_ns: int  # from failing to not ready
    ready_period_ns: int
    live_fail_ns: int  # from failing to killed; 0: no liveness probe
    live_period_ns: int
    live_delay_ns: int
    keep: tuple[Container, ...]


_plans: dict[int, Plan] = {}
_MOST = 8192


def plan_of(pod: Pod) -> Plan:
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
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, container.resources.requests)
    sidecars: dict[str, int] = {}
    for container in spec.init_containers:
        requests = {name: amount.milli for name, amount in container.resources.requests.items()}
        if container.restart_policy == "Always":
            for name, milli in requests.items():
                sidecars[name] = sidecars.get(name, 0) + milli
        else:
            for name, milli in requests.items():
                total[name] = max(total.get(name, 0), milli + sidecars.get(name, 0))
    for name, milli in sidecars.items():
        total[name] = total.get(name, 0) + milli
    _add(total, spec.overhead)
    total["pods"] = 1000
    limits = [container.resources.limits.get("cpu") for container in spec.containers]
    limit = sum(amount.milli for amount in limits if amount is not None) if all(limits) else 0
    ready = [probe for container in spec.containers if (probe := container.readiness_probe) is not None]
    live = [probe for container in spec.containers if (probe := container.liveness_probe) is not None]
    startup = [probe for container in spec.containers if (probe := container.startup_probe) is not None]
    begin = max((_first(probe) for probe in (*ready, *startup)), default=0)
    return Plan(
        needs=tuple(sorted((name, milli) for name, milli in total.items() if milli)),
        cpu_milli=total.get("cpu", 0),
        cpu_limit_milli=limit,
        images=tuple(dict.fromkeys(c.image for c in (*spec.init_containers, *spec.containers))),
        inits=sum(c.restart_policy != "Always" for c in spec.init_containers),
        ready_probe_ns=begin,
        ready_fail_ns=min((_fails(probe) for probe in ready), default=0),
        ready_period_ns=min((_period(probe) for probe in ready), default=0),
        live_fail_ns=min((_fails(probe) for probe in live), default=0),
        live_period_ns=min((_period(probe) for probe in live), default=0),
        live_delay_ns=min(((probe.initial_delay_seconds or 0) * SECOND for probe in live), default=0),
        keep=spec.containers,
    )


def _add(total: dict[str, int], amounts: ResourceList) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount.milli


def _period(probe: Probe) -> int:
    return (probe.period_seconds or 10) * SECOND


def _first(probe: Probe) -> int:
    """The earliest that a healthy container passes: after its delay, successThreshold probes."""
    return (probe.initial_delay_seconds or 0) * SECOND + ((probe.success_threshold or 1) - 1) * _period(probe)


def _fails(probe: Probe) -> int:
    """From the first failing probe to the verdict: failureThreshold probes, the last one with its timeout."""
    return ((probe.failure_threshold or 3) - 1) * _period(probe) + (probe.timeout_seconds or 1) * SECOND


def span(annotations: dict[str, str], name: str, default: int = -1) -> int:
    """A duration annotation in ns: '90s', '1.5s', '5m', '2h'; `default` when it is absent or unreadable."""
    text = annotations.get(name)
    if text is None:
        return default
    unit = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}.get(text[-1:])
    if text.endswith("ms"):
        unit, text = 10**6, text[:-1]
    if unit is None:
        return default
    whole, _, part = text[:-1].partition(".")
    if not whole.isdecimal() or (part and not part.isdecimal()):
        return default
    return int(whole) * unit + (int(part) * unit // 10 ** len(part) if part else 0)


def milli(annotations: dict[str, str], name: str) -> int | None:
    text = annotations.get(name)
    if text is None:
        return None
    try:
        return parse_quantity(text).milli
    except ValueError:
        return None


def devices_wanted(annotations: dict[str, str]) -> tuple[int, int]:
    """(devices, milli of each) by open-gpu-share's annotations."""
    count, share = annotations.get(GPU_COUNT, ""), annotations.get(GPU_MILLI, "")
    return (int(count) if count.isdecimal() else 0, int(share) if share.isdecimal() else 1000)


def device_count(allocatable: ResourceList) -> int:
    amount: Any = allocatable.get(GPU_COUNT) or allocatable.get(WHOLE_GPU)
    return 0 if amount is None else int(amount.milli) // 1000
