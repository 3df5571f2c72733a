"""The pod statuses that a kubelet reports."""

from __future__ import annotations

from zlib import crc32

from msgspec.structs import replace

from harness.model.core import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodStatus,
)
from harness.model.meta import Condition, is_ready
from harness.model.wire import Time
from harness.node.containers.run import terminated
from harness.node.pod_annotations import read_pod_annotations
from harness.node.pod_worker import Host, PodWorker, Stage
from harness.node.run_spec import RunSpec, run_spec_of


def running(worker: PodWorker, now: int, host: Host) -> PodStatus:
    """Running, ready or not."""
    state = _running(worker.started_ns)
    return _status(worker, now, host, "Running", state, "" if worker.ready else "ContainersNotReady")


def waiting(worker: PodWorker, now: int, host: Host, reason: str, message: str = "") -> PodStatus:
    state = ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message))
    return _status(worker, now, host, "Running", state, "ContainersNotReady")


def pending(worker: PodWorker, now: int, host: Host) -> PodStatus:
    """Its containers are being made. Source: pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses (1.32)."""
    state = ContainerState(waiting=ContainerStateWaiting(reason="ContainerCreating"))
    return replace(_status(worker, now, host, "Pending", state, "ContainersNotReady"), pod_ip="")


def ended(
    worker: PodWorker, now: int, host: Host, state: ContainerState, reason: str = "", message: str = ""
) -> PodStatus:
    """The end of the pod, its containers being in `state`: terminated."""
    assert state.terminated is not None
    good = state.terminated.exit_code == 0 and not reason
    phase, why = ("Succeeded", "PodCompleted") if good else ("Failed", "PodFailed")
    return _status(worker, now, host, phase, state, why, reason, message)


def rejected(pod: Pod, reason: str, message: str, now: int) -> PodStatus:
    """Source: pkg/kubelet/kubelet.go rejectPod; the API server's quota and the scheduler count it no longer."""
    return PodStatus(
        phase="Failed",
        reason=reason,
        message=f"Pod was rejected: {message}",
        qos_class=pod.status.qos_class,
        start_time=Time(now),
        extra=pod.status.extra,
    )


def lost(pod: Pod, now: int, host: Host) -> PodWorker | None:
    """Of a pod that is being deleted and does not run here (any more): power may have gone before its end was said.

    A worker that says it, where finalizers keep the pod and somebody will look at it; else None: it can be deleted.
    Source: pkg/kubelet/status/status_manager.go TerminatePod (1.32): a pod that is deleted gets a terminal phase.
    """
    if not pod.metadata.finalizers or pod.status.phase in ("Succeeded", "Failed"):
        return None
    worker = PodWorker(pod, run_spec_of(pod), read_pod_annotations(pod), pod.status.start_time or now)
    worker.stage = Stage.ENDED
    was = pod.status.container_statuses
    worker.restarts = (was[0].restart_count or 0) if was else 0
    running = was[0].state.running if was else None
    worker.started_ns = (running.started_at if running is not None else None) or now
    worker.status = ended(worker, now, host, terminated(worker.started_ns, now, 137, "ContainerStatusUnknown"))
    return worker


def with_ephemeral(worker: PodWorker) -> PodStatus:
    """As reported last, with the ephemeral containers that there are now."""
    assert worker.status is not None
    return replace(worker.status, ephemeral_container_statuses=worker.ephemeral)


def says(there: PodStatus, status: PodStatus, *, ready: bool = True) -> bool:
    """Whether the API server's status is, for all that a kubelet tells, the one that it would send.

    `ready`: also of its condition Ready, which others write, too.
    """
    return (
        there.phase == status.phase
        and there.container_statuses == status.container_statuses
        and there.init_container_statuses == status.init_container_statuses
        and there.ephemeral_container_statuses == status.ephemeral_container_statuses
        and (not ready or is_ready(there.conditions) == is_ready(status.conditions))
    )


def pod_ip(uid: str) -> str:
    """In 10.128.0.0/9, by the uid: the API server counts them up, so 8 million in a row differ. Those of a dump may be
    any text."""
    try:
        number = int(uid[-12:], 16)
    except ValueError:
        number = crc32(uid.encode())
    return f"10.{128 + (number >> 16) % 128}.{(number >> 8) & 255}.{number & 255}"


def _status(
    worker: PodWorker,
    now: int,
    host: Host,
    phase: str,
    state: ContainerState,
    unready: str,
    reason: str = "",
    message: str = "",
) -> PodStatus:
    """`unready`: why it is not ready; empty when it is."""
    status = worker.pod.status
    return PodStatus(
        phase=phase,
        conditions=_conditions(_scheduled(status), worker.admitted_ns, now, unready),
        reason=reason,
        message=message,
        qos_class=status.qos_class,
        host_ip=host.ip,
        pod_ip=pod_ip(worker.pod.metadata.uid),
        start_time=Time(worker.admitted_ns),
        container_statuses=_container_statuses(worker, state, ready=not unready),
        ephemeral_container_statuses=worker.ephemeral,
        extra=status.extra,
    )


def _scheduled(status: PodStatus) -> int:
    for item in status.conditions:
        if item.type == "PodScheduled":
            return item.last_transition_time or 0
    return 0


# Pods of one template that are started at one instant say the same: the last thing said is remembered.
_said_conditions: tuple[tuple[int, int, int, str], tuple[Condition, ...]] = ((-1, 0, 0, ""), ())
_said_running: tuple[int, ContainerState] = (-1, ContainerState())
_said_containers: tuple[tuple[RunSpec, ContainerState, bool] | None, tuple[ContainerStatus, ...]] = (None, ())


def _running(started_ns: int) -> ContainerState:
    global _said_running
    if _said_running[0] != started_ns:
        state = ContainerState(running=ContainerStateRunning(started_at=Time(started_ns)))
        _said_running = (started_ns, state)
    return _said_running[1]


def _conditions(scheduled_ns: int, admitted_ns: int, now: int, unready: str) -> tuple[Condition, ...]:
    """In the order that they have in the API server, whose merge then has nothing to do."""
    global _said_conditions
    key = (scheduled_ns, admitted_ns, now, unready)
    if _said_conditions[0] == key:
        return _said_conditions[1]
    at = Time(now)
    flag = "False" if unready else "True"
    done = unready if unready == "PodCompleted" else ""
    conditions = (
        Condition(type="PodScheduled", status="True", last_transition_time=Time(scheduled_ns)),
        Condition(type="Initialized", status="True", reason=done, last_transition_time=Time(admitted_ns)),
        Condition(type="Ready", status=flag, reason=unready, last_transition_time=at),
        Condition(type="ContainersReady", status=flag, reason=unready, last_transition_time=at),
    )
    _said_conditions = (key, conditions)
    return conditions


def _container_statuses(worker: PodWorker, state: ContainerState, *, ready: bool) -> tuple[ContainerStatus, ...]:
    global _said_containers
    first = worker.restarts == 0 and state.running is not None
    if first:
        key = _said_containers[0]
        if key is not None and key[0] is worker.run_spec and key[1] is state and key[2] is ready:
            return _said_containers[1]
    statuses = tuple(
        ContainerStatus(
            name=container.name,
            ready=ready,
            started=state.running is not None,
            restart_count=worker.restarts,
            image=container.image,
            state=state,
            last_state=worker.last,
        )
        for container in worker.run_spec.keep
    )
    if first:
        _said_containers = ((worker.run_spec, state, ready), statuses)
    return statuses
