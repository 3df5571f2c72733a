"""What happens to one container from its start on, unless somebody stops it: hooks, probes, its own end.

Source: pkg/kubelet/prober/worker.go, kuberuntime_container.go startContainer (1.32).
"""

from __future__ import annotations

from enum import IntEnum

from harness.engine.component import SECOND, Instant
from harness.model.core import Probe
from harness.node.containers.plan import ContainerPlan
from harness.node.run_spec import tick


class What(IntEnum):
    """At one instant in this order."""

    PULLED = 0
    CREATED = 1  # its image is there
    STARTED = 2  # its process runs, and postStart has gone well
    HOOK_FAILED = 3
    PASSED = 4  # its startup probe has passed, or it has none
    SICK = 5  # it answers nobody any more
    READY = 6
    UNREADY = 7
    STARTUP_FAILED = 8
    LIVENESS_FAILED = 9
    ENDED = 10  # by itself
    STOPPED = 11
    SEEN = 12  # the kubelet looks at its containers
    AGAIN = 13
    NOT_PULLED = 14
    BACK_OFF = 15  # the pod is looked at, as long as its image cannot be pulled


Timeline = list[tuple[Instant, What]]


def timeline(plan: ContainerPlan, started: Instant) -> Timeline:
    """In order of time; what comes after its end, or after it is killed, does not come."""
    out: Timeline = []
    container, hook = plan.container, plan.post_start
    begun = started + (hook.duration_ns if hook is not None else 0)
    if hook is not None and hook.exit_code:
        out.append((begun, What.HOOK_FAILED))
        return _until_end(out, plan, started)
    healthy = started + plan.ready_after_ns
    sick = started + plan.unhealthy_after_ns if plan.unhealthy_after_ns >= 0 else None
    passed = begun
    startup = container.startup_probe
    if startup is not None:
        first, period = started + delay_ns(startup), period_ns(startup)
        passed = tick(max(begun, healthy), first, period)
        last = first + (threshold(startup) - 1) * period
        if passed > last or (sick is not None and sick <= passed):
            out.append((last + timeout_ns(startup), What.STARTUP_FAILED))
            return _until_end(out, plan, started)
    out.append((passed, What.PASSED))
    probe = container.readiness_probe
    at = max(passed, healthy)
    if probe is not None:
        at = tick(at, started + delay_ns(probe), period_ns(probe)) + repeats_ns(probe)
    out.append((at, What.READY))
    if sick is not None:
        out.append((sick, What.SICK))
        probes = ((probe, What.UNREADY), (container.liveness_probe, What.LIVENESS_FAILED))
        for failing, what in probes:
            if failing is not None:
                first_failure = tick(max(sick, passed), started + delay_ns(failing), period_ns(failing))
                spans = (threshold(failing) - 1) * period_ns(failing) + timeout_ns(failing)
                out.append((first_failure + spans, what))
    return _until_end(out, plan, started)


def _until_end(out: Timeline, plan: ContainerPlan, started: Instant) -> Timeline:
    if plan.duration_ns >= 0:
        out.append((started + plan.duration_ns, What.ENDED))
    out.sort()
    return out


def delay_ns(probe: Probe) -> int:
    return (probe.initial_delay_seconds or 0) * SECOND


def period_ns(probe: Probe) -> int:
    return (probe.period_seconds or 10) * SECOND


def timeout_ns(probe: Probe) -> int:
    return (probe.timeout_seconds or 1) * SECOND


def threshold(probe: Probe) -> int:
    return probe.failure_threshold or 3


def repeats_ns(probe: Probe) -> int:
    """From the first probe that passes to the verdict."""
    return ((probe.success_threshold or 1) - 1) * period_ns(probe)
