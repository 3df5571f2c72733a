"""One pod on its node: what the container runtime does with it, and the status that the kubelet tells."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from harness.model.core import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodStatus,
)
from harness.model.meta import Condition
from harness.model.wire import Time
from harness.node.plans import Plan


class Stage(IntEnum):
    STARTING = 0  # images, init containers, the container itself
    RUNNING = 1
    WAITING = 2  # for its next start
    STOPPING = 3
    ENDED = 4


class Worker(msgspec.Struct):
    pod: Pod
    plan: Plan
    stage: Stage = Stage.STARTING
    turn: int = 0  # grows with each container, so that timers of earlier ones are known as stale
    admitted_ns: int = 0
    started_ns: int = 0
    ends_ns: int = -1  # of the container by itself
    ready: bool = False
    serving: bool = False
    restarts: int = 0
    backoff_ns: int = 0
    devices: tuple[int, ...] = ()
    flows: dict[tuple[str, str], int] = {}
    reported_milli: int = -1
    last: ContainerState = ContainerState()
    holds: bool = True  # whether its resources are taken


def running(worker: Worker, now: int, ip: str, host: str) -> PodStatus:
    """Running, ready or not."""
    state = ContainerState(running=ContainerStateRunning(started_at=Time(worker.started_ns)))
    return _status(worker, "Running", worker.ready, state, now, ip, host)


def waiting(worker: Worker, now: int, ip: str, host: str, reason: str, message: str) -> PodStatus:
    state = ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message))
    return _status(worker, "Running", False, state, now, ip, host)


def ended(worker: Worker, now: int, ip: str, host: str, exit_code: int) -> PodStatus:
    phase = "Succeeded" if exit_code == 0 else "Failed"
    return _status(worker, phase, False, terminated(worker, now, exit_code), now, ip, host, completed=exit_code == 0)


def terminated(worker: Worker, now: int, exit_code: int) -> ContainerState:
    return ContainerState(
        terminated=ContainerStateTerminated(
            exit_code=exit_code,
            reason="Completed" if exit_code == 0 else "Error",
            started_at=Time(worker.started_ns),
            finished_at=Time(now),
        )
    )


def rejected(pod: Pod, reason: str, message: str, now: int) -> PodStatus:
    """Source: pkg/kubelet rejectPod: phase Failed, reason and message of the predicate."""
    return PodStatus(
        phase="Failed", reason=reason, message=message, qos_class=pod.status.qos_class, start_time=Time(now)
    )


def _status(
    worker: Worker,
    phase: str,
    ready: bool,
    state: ContainerState,
    now: int,
    ip: str,
    host: str,
    *,
    completed: bool = False,
) -> PodStatus:
    at = Time(now)
    why = "" if ready else "PodCompleted" if completed else "ContainersNotReady"
    flag = "True" if ready else "False"
    status = worker.pod.status
    return PodStatus(
        phase=phase,
        conditions=(
            Condition(type="Initialized", status="True", last_transition_time=Time(worker.admitted_ns)),
            Condition(type="Ready", status=flag, reason=why, last_transition_time=at),
            Condition(type="ContainersReady", status=flag, reason=why, last_transition_time=at),
            Condition(type="PodScheduled", status="True", last_transition_time=Time(worker.admitted_ns)),
        ),
        qos_class=status.qos_class,
        host_ip=host,
        pod_ip=ip,
        start_time=Time(worker.admitted_ns),
        container_statuses=tuple(
            ContainerStatus(
                name=container.name,
                ready=ready,
                started=state.running is not None,
                restart_count=worker.restarts,
                image=container.image,
                state=state,
                last_state=worker.last,
            )
            for container in worker.plan.keep
        ),
        extra=status.extra,
    )
