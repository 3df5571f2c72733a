"""What a kubelet reads from a pod's spec, once for all pods that share it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.engine.component import SECOND
from harness.model.core import Container, Pod, Probe, ResourceList
from harness.node.pod_annotations import OF_CONTAINERS


class RunSpec(msgspec.Struct, gc=False):
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
    keep_inits: tuple[Container, ...]
    composed: bool  # its containers have starts and ends of their own


_run_specs: dict[int, RunSpec] = {}
_MOST = 8192


def run_spec_of(pod: Pod) -> RunSpec:
    run_spec = _shared(pod)
    annotations = pod.metadata.annotations
    if annotations and not run_spec.composed:
        # Something is said of its one container by name.
        name = pod.spec.containers[0].name
        if any(f"{known}.{name}" in annotations for known in OF_CONTAINERS):
            return msgspec.structs.replace(run_spec, composed=True)
    return run_spec


def _shared(pod: Pod) -> RunSpec:
    # Pods of one template share their containers, so these are what is known by identity.
    containers = pod.spec.containers
    run_spec = _run_specs.get(id(containers))
    if run_spec is not None and run_spec.keep is containers and run_spec.keep_inits is pod.spec.init_containers:
        return run_spec
    run_spec = _read(pod)
    if len(_run_specs) >= _MOST:
        _run_specs.clear()
    _run_specs[id(containers)] = run_spec
    return run_spec


def _read(pod: Pod) -> RunSpec:
    spec = pod.spec
    limits = [container.resources.limits.get("cpu") for container in spec.containers]
    limit = sum(amount.milli for amount in limits if amount is not None) if all(limits) else 0
    needs = _needs(pod)
    ready = [probe for container in spec.containers if (probe := container.readiness_probe) is not None]
    live = [probe for container in spec.containers if (probe := container.liveness_probe) is not None]
    startup = [probe for container in spec.containers if (probe := container.startup_probe) is not None]
    return RunSpec(
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
        keep_inits=spec.init_containers,
        composed=bool(startup or spec.init_containers or len(spec.containers) > 1)
        or any((container.extra or {}).get("lifecycle") for container in spec.containers),
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
