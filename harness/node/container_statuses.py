"""What a kubelet says of a pod whose containers have starts and ends of their own.

Source: pkg/kubelet/kubelet_pods.go getPhase, convertToAPIContainerStatuses; pkg/kubelet/status/generate.go (1.32).
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.engine.component import Instant
from harness.model.core import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateWaiting,
    ContainerStatus,
    PodStatus,
)
from harness.model.meta import Condition
from harness.model.wire import Time
from harness.node.containers.plan import Role
from harness.node.containers.run import ContainerRun, PodRun, State
from harness.node.pod_status import pod_ip
from harness.node.pod_worker import Host, PodWorker


def composed(worker: PodWorker, now: Instant, host: Host, reason: str = "", message: str = "") -> PodStatus:
    run, status = worker.composed, worker.pod.status
    assert run is not None
    phase = _phase(worker, run)
    if reason:
        phase = "Failed"
    return PodStatus(
        phase=phase,
        conditions=_conditions(worker, run, phase, now),
        reason=reason,
        message=message,
        qos_class=status.qos_class,
        host_ip=host.ip,
        pod_ip=pod_ip(worker.pod.metadata.uid) if run.mounts is None else "",
        start_time=Time(worker.admitted_ns),
        init_container_statuses=tuple(_status(c) for c in run.containers if c.plan.role != Role.APP),
        container_statuses=tuple(_status(c) for c in run.of(Role.APP)),
        ephemeral_container_statuses=worker.ephemeral,
        extra=status.extra,
    )


def _phase(worker: PodWorker, run: PodRun) -> str:
    if run.over:
        return "Succeeded" if run.succeeded else "Failed"
    if worker.pod.status.phase == "Running" or (worker.status is not None and worker.status.phase == "Running"):
        return "Running"  # power was lost meanwhile, and it begins anew
    waits = any(c.state in (State.WAITING, State.STARTING) and c.last == ContainerState() for c in run.of(Role.APP))
    unseen = any(c.state == State.RUNNING and not c.shown and c.last == ContainerState() for c in run.of(Role.APP))
    return "Pending" if not run.initialized or waits or unseen else "Running"


def _status(container: ContainerRun) -> ContainerStatus:
    runs = container.state in (State.RUNNING, State.STOPPING, State.GONE) and container.shown
    plan = container.plan
    if runs:
        state = ContainerState(running=ContainerStateRunning(started_at=Time(container.started_ns)))
    elif container.ended is not None and container.state == State.ENDED:
        state = container.ended
    else:
        state = ContainerState(waiting=ContainerStateWaiting(reason=container.reason, message=container.message))
    return ContainerStatus(
        name=plan.name,
        ready=container.succeeded if plan.role == Role.INIT else runs and container.ready,
        started=runs and container.passed,
        restart_count=container.restarts,
        image=plan.container.image,
        state=state,
        last_state=container.last,
    )


def _conditions(worker: PodWorker, run: PodRun, phase: str, now: Instant) -> tuple[Condition, ...]:
    inits = [c for c in run.containers if c.plan.role != Role.APP and not c.lets_next_start]
    unready = [c for c in run.containers if c.plan.role != Role.INIT and not (c.ready and c.shown)]
    over = phase in ("Succeeded", "Failed")
    why, text = "", ""
    if over:
        why = "PodCompleted" if phase == "Succeeded" else "PodFailed"
    elif not run.ready:
        why, text = "ContainersNotReady", f"containers with unready status: [{_names(unready)}]"
    initialized = run.initialized or phase == "Succeeded"
    begun = (
        ("True", "PodCompleted" if phase == "Succeeded" else "", "")
        if initialized
        else ("False", "ContainersNotInitialized", f"containers with incomplete status: [{_names(inits)}]")
    )
    ready = ("True", "", "") if run.ready and not over else ("False", why, text)
    found = {item.type: item for item in worker.pod.status.conditions if item.type == "PodScheduled"}
    wanted = {
        "PodReadyToStartContainers": ("False" if over else "True", "", ""),
        "Initialized": begun,
        "Ready": ready,
        "ContainersReady": ready,
    }
    before = {} if worker.status is None else {item.type: item for item in worker.status.conditions}
    out = [*found.values()]
    for kind, (status, reason, message) in wanted.items():
        was = before.get(kind)
        since = was.last_transition_time if was is not None and was.status == status else Time(now)
        out.append(Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=since))
    return tuple(out)


def _names(containers: Iterable[ContainerRun]) -> str:
    return " ".join(container.plan.name for container in containers)


def says_all(before: PodStatus, now: PodStatus) -> bool:
    """Whether nothing has changed that a kubelet tells."""
    return (
        before.phase == now.phase
        and before.container_statuses == now.container_statuses
        and before.init_container_statuses == now.init_container_statuses
        and before.conditions == now.conditions
    )
