"""The state of a pod's containers on their node."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from harness.engine.component import Instant
from harness.model.core import ContainerState, ContainerStateTerminated, Pod
from harness.model.wire import Time
from harness.node.containers.configuration import Mounts
from harness.node.containers.plan import ContainerPlan, Role
from harness.node.containers.timeline import What

CONTAINERS = 13
"""What a timer of such a pod is about; see harness.node.kubelet."""


class State(IntEnum):
    WAITING = 0  # for its turn, or for the end of its backoff
    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    GONE = 4  # it has ended, and the kubelet has not seen it yet
    ENDED = 5  # for good


class ContainerRun(msgspec.Struct):
    """`timeline`: what is to happen to it, in order. `shown`: the kubelet has seen it run. `passed`: it has started, as
    the startup probe says. `start_ns`: what its start will take. `pull_error`: why its image could not be pulled last,
    and when it is tried again. `ended`: its end, while it is over; `last`: that of
    the one before."""

    plan: ContainerPlan
    reason: str  # why it waits
    state: State = State.WAITING
    message: str = ""
    timeline: list[tuple[Instant, What]] = []
    started_ns: Instant = -1
    shown: bool = False
    passed: bool = False
    ready: bool = False
    sick: bool = False
    stop_code: int = 0
    restarts: int = 0
    again: bool = False  # its next start is a restart
    changed: bool = False  # it stops since its image is to be another
    backoff_ns: int = 0
    start_ns: int = 0
    pull_error: str = ""
    pull_wait_ns: int = 0
    pull_again_ns: Instant = -1
    ended: ContainerState | None = None
    last: ContainerState = ContainerState()

    def add(self, at: Instant, what: What) -> None:
        self.timeline = sorted([*self.timeline, (at, what)])

    def count(self) -> None:
        """The kubelet sees that it has started."""
        self.restarts += self.again
        self.again = False

    def give_up(self) -> None:
        """It will not start any more."""
        self.state = State.ENDED
        self.timeline = []

    def shorten(self, latest: Instant) -> None:
        """It is to have stopped by then."""
        if any(at > latest for at, what in self.timeline if what == What.STOPPED):
            self.timeline = [item for item in self.timeline if item[1] != What.STOPPED]
            self.add(latest, What.STOPPED)

    @property
    def is_live(self) -> bool:
        return self.state in (State.RUNNING, State.STOPPING, State.GONE)

    @property
    def succeeded(self) -> bool:
        ended = None if self.ended is None else self.ended.terminated
        return self.state == State.ENDED and ended is not None and ended.exit_code == 0

    @property
    def lets_next_start(self) -> bool:
        """Of an init container: it has done its work; of a sidecar: it has started."""
        if self.plan.role == Role.SIDECAR:
            return self.state == State.RUNNING and self.passed
        return self.succeeded


class PodRun(msgspec.Struct):
    """`deadline_ns`: when all must have stopped, as the pod is deleted; -1: it is not. `finishing`: its app containers
    have ended for good, or an init container has failed. `wake_ns`: the last timer that was asked for. `mounts`: no
    container starts before there are none."""

    containers: tuple[ContainerRun, ...]
    initialized: bool = False
    finishing: bool = False
    over: bool = False
    deadline_ns: Instant = -1
    wake_ns: Instant = -1
    mounts: Mounts | None = None

    @property
    def is_ending(self) -> bool:
        return self.finishing or self.deadline_ns >= 0

    def of(self, role: Role) -> list[ContainerRun]:
        return [container for container in self.containers if container.plan.role == role]

    def next_due(self) -> tuple[Instant, ContainerRun] | None:
        """The earliest; at one instant the first container's."""
        found: tuple[Instant, ContainerRun] | None = None
        for container in self.containers:
            if container.timeline and (found is None or container.timeline[0][0] < found[0]):
                found = (container.timeline[0][0], container)
        return found

    @property
    def due_ns(self) -> Instant | None:
        """When it is to be looked at."""
        due = self.next_due()
        if self.mounts is not None and not self.is_ending:
            return self.mounts.due_ns if due is None else min(due[0], self.mounts.due_ns)
        return None if due is None else due[0]

    def shift(self, for_ns: int) -> None:
        """The node has stood still for so long."""
        for container in self.containers:
            container.timeline = [(at + for_ns, what) for at, what in container.timeline]
        self.wake_ns = -1
        if self.mounts is not None:
            self.mounts.next_ns += for_ns
            self.mounts.told_ns += for_ns

    def lost_for_good(self, pod: Pod) -> bool:
        """Whether it ran here before the node lost power, and is not to run again: nothing in it is ever restarted.

        Source: kuberuntime computePodActions: a pod that is never restarted does not get a second sandbox.
        """
        begun = any(container.last.terminated is not None for container in self.of(Role.APP))
        if pod.spec.restart_policy != "Never" or not begun:
            return False
        for container in self.containers:
            ended = container.last if container.last.terminated is not None else None
            container.state, container.ended, container.last = State.ENDED, ended, ContainerState()
        self.over = self.initialized = True
        return True

    def kill(self, now: Instant, code: int) -> None:
        """All at once."""
        for container in self.containers:
            if container.is_live:
                container.count()
                container.ended = terminated(container.started_ns, now, code)
            container.give_up()
        self.over = True

    def failed_init(self) -> bool:
        return any(container.state == State.ENDED and not container.succeeded for container in self.of(Role.INIT))

    @property
    def ready(self) -> bool:
        """Source: status.GenerateContainersReadyCondition: sidecars count, too."""
        return self.initialized and all(
            container.ready and container.shown and container.state in (State.RUNNING, State.STOPPING)
            for container in self.containers
            if container.plan.role != Role.INIT
        )

    @property
    def succeeded(self) -> bool:
        return all(container.succeeded for container in self.containers if container.plan.role != Role.SIDECAR)


def new_run(pod: Pod, plans: tuple[ContainerPlan, ...], now: Instant) -> PodRun:
    """Of a pod that comes to this node, or ran here before the node lost power."""
    reason = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
    run = PodRun(tuple(ContainerRun(plan, reason) for plan in plans))
    was = {status.name: status for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)}
    for container in run.containers:
        status = was.get(container.plan.name)
        if status is None:
            continue
        container.restarts = status.restart_count or 0
        running, ended = status.state.running, status.state.terminated
        container.last = status.last_state
        container.again = container.last.terminated is not None and status.state.waiting is not None
        if running is not None:
            container.started_ns = running.started_at or now
            container.last = terminated(container.started_ns, now, 137, "ContainerStatusUnknown")
        elif ended is not None and ended.exit_code == 0 and pod.spec.restart_policy == "OnFailure":
            if container.plan.role == Role.APP:  # it is done
                container.state, container.ended = State.ENDED, status.state
                continue
        elif ended is not None:
            container.last = status.state
        if running is not None or ended is not None:
            container.again = True
    return run


def terminated(started_ns: int, at: Instant, code: int, reason: str = "") -> ContainerState:
    """The state of a container that ran from `started_ns` to `at`. `reason`: by the exit code where none is given."""
    return ContainerState(
        terminated=ContainerStateTerminated(
            exit_code=code,
            reason=reason or ("Completed" if code == 0 else "Error"),
            started_at=Time(started_ns),
            finished_at=Time(at),
        )
    )
