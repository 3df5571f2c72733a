"""The containers of a pod, each with its own start and end: init containers one after the other, sidecars before and
behind the app containers, restarts with their backoff, probes and hooks.

Level-triggered, as the kubelet's computePodActions: `advance` lets happen what is due, starts and stops what that
allows, and asks to be woken for the next. Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go,
kuberuntime_container.go (1.32).
"""

from __future__ import annotations

from collections.abc import Callable

from harness.engine.component import SECOND, Effect, Instant, Record, WakeAt
from harness.model.core import Pod
from harness.node.container_starter import ContainerStarter
from harness.node.containers.plan import ContainerPlan, Role, plans_of
from harness.node.containers.run import CONTAINERS, ContainerRun, PodRun, State, new_run, terminated
from harness.node.containers.timeline import What, timeline
from harness.node.pod_worker import PodWorker, Stage
from harness.node.restart_backoff import next_wait, told
from harness.node.settings import NodeSettings

KILLED, ASKED_TO_STOP = 137, 143
"""Exit codes of SIGKILL and of SIGTERM's default action: 128 and the signal's number."""

MIN_GRACE_NS = 2 * SECOND
"""Left for SIGTERM when a preStop hook has taken all of the grace period. Source: minimumGracePeriodInSeconds."""

_FAILURES = {
    What.STARTUP_FAILED: ("Startup probe failed", "Container {} failed startup probe, will be restarted"),
    What.LIVENESS_FAILED: ("Liveness probe failed", "Container {} failed liveness probe, will be restarted"),
}


class ContainerRuntime:
    """`next_relist`: when the kubelet looks at its containers next."""

    __slots__ = ("_next_relist", "_settings", "_starter")

    def __init__(
        self, settings: NodeSettings, starter: ContainerStarter, next_relist: Callable[[Instant], Instant]
    ) -> None:
        self._settings = settings
        self._starter = starter
        self._next_relist = next_relist

    def admit(self, now: Instant, worker: PodWorker, effects: list[Effect]) -> None:
        """It is new here, or ran here before the node lost power."""
        plans, wrong = plans_of(worker.pod, by_commands=self._settings.commands)
        if wrong:
            text = f"not understood, ignored: {', '.join(wrong)}"
            effects.append(Record(worker.pod, "Warning", "InvalidAnnotation", text))
        status = worker.pod.status
        if status.container_statuses:
            worker.admitted_ns = status.start_time or now
        worker.composed = new_run(worker.pod, plans, now)
        if worker.composed.lost_for_good(worker.pod):
            return
        self._starter.admit(now, worker, worker.composed)
        self.advance(now, worker, effects)

    def take_over(self, now: Instant, worker: PodWorker, effects: list[Effect]) -> None:
        """A pod of one container goes on here, since that has to wait for its image."""
        worker.composed = new_run(worker.pod, plans_of(worker.pod, by_commands=self._settings.commands)[0], now)
        (container,) = worker.composed.containers
        container.restarts, container.again = worker.restarts, worker.again
        container.last, container.backoff_ns = worker.last, worker.backoff_ns
        self.advance(now, worker, effects)

    def replan(self, now: Instant, worker: PodWorker, effects: list[Effect]) -> None:
        """Annotations have changed: containers that run end at another time, or go on."""
        run = worker.composed
        assert run is not None
        plans = {plan.name: plan for plan in plans_of(worker.pod, by_commands=self._settings.commands)[0]}
        for container in run.containers:
            plan = plans[container.plan.name]
            moved = plan.duration_ns != container.plan.duration_ns
            container.plan = plan
            if moved and container.state == State.RUNNING:
                container.timeline = [item for item in container.timeline if item[1] != What.ENDED]
                if plan.duration_ns >= 0:
                    container.add(max(now, container.started_ns + plan.duration_ns), What.ENDED)
        self.advance(now, worker, effects)

    def change_images(self, now: Instant, worker: PodWorker, before: Pod, effects: list[Effect]) -> None:
        """Containers that have another image than `before` are begun anew, whatever the restart policy says.

        Source: kuberuntime_manager.go computePodActions, containerChanged (1.32).
        """
        pod = worker.pod
        if before.spec is pod.spec or _images(before) == _images(pod) or worker.stage in (Stage.STOPPING, Stage.ENDED):
            return
        if worker.composed is None:
            if worker.stage != Stage.RUNNING:
                worker.turn = -1  # what was to happen to its container does not
                self.take_over(now, worker, effects)
                return
            worker.composed = _running(now, worker, plans_of(before, by_commands=self._settings.commands)[0], before)
        plans = {plan.name: plan for plan in plans_of(pod, by_commands=self._settings.commands)[0]}
        for container in worker.composed.containers:
            plan = plans[container.plan.name]
            if plan.container.image == container.plan.container.image:
                continue
            container.plan = plan
            if container.state == State.RUNNING:
                text = f"Container {plan.name} definition changed, will be restarted"
                self._say(worker, "Killing", text, effects)
                container.changed = True
                self._kill(now, worker, container, None)
            elif container.state in (State.WAITING, State.STARTING) and container.timeline:
                container.state, container.timeline = State.WAITING, [(now, What.AGAIN)]
                container.pull_wait_ns = container.backoff_ns = 0
        self.advance(now, worker, effects)

    def advance(self, now: Instant, worker: PodWorker, effects: list[Effect]) -> None:
        run = worker.composed
        assert run is not None
        if run.mounts is not None and not run.is_ending:
            self._starter.mount(now, worker, run, run.mounts, effects)
        while True:
            due = run.next_due()
            if due is None or due[0] > now:
                break
            at, container = due
            what = container.timeline.pop(0)[1]
            self._happens(at, worker, run, container, what, effects)
            self._order(at, worker, run, effects)
        self._order(now, worker, run, effects)
        _update_worker(worker, run)
        due_ns = run.due_ns
        if due_ns is not None and due_ns != run.wake_ns:
            run.wake_ns = due_ns
            effects.append(WakeAt(due_ns, (worker.pod.metadata.uid, 0, CONTAINERS)))

    def stop(self, now: Instant, worker: PodWorker, effects: list[Effect]) -> None:
        """The pod is deleted; again, with less grace."""
        run = worker.composed
        assert run is not None
        latest = now + (worker.pod.metadata.deletion_grace_period_seconds or 0) * SECOND
        if run.deadline_ns >= 0 and latest >= run.deadline_ns:
            return
        run.deadline_ns = latest
        for container in run.containers:
            if container.state == State.STOPPING:
                container.shorten(latest)
        self.advance(now, worker, effects)

    def crash(self, now: Instant, worker: PodWorker, code: int, effects: list[Effect]) -> bool:
        """The first app container that runs ends although nobody asked it to; whether one does."""
        run = worker.composed
        assert run is not None
        for container in run.containers:
            if container.plan.role == Role.APP and container.state == State.RUNNING:
                self._ends(now, container, code)
                self.advance(now, worker, effects)
                return True
        return False

    # -- what happens --------------------------------------------------------------------------------------------------

    def _happens(
        self, at: Instant, worker: PodWorker, run: PodRun, container: ContainerRun, what: What, effects: list[Effect]
    ) -> None:
        name = container.plan.name
        match what:
            case What.PULLED:
                image = container.plan.container.image
                self._say(worker, "Pulled", f'Successfully pulled image "{image}"', effects)
            case What.CREATED:
                self._starter.create(at, worker, container, effects)
            case What.NOT_PULLED:
                self._starter.not_pulled(at, worker, container, effects)
            case What.BACK_OFF:
                self._starter.back_off(at, worker, container, effects)
            case What.STARTED:
                self._started(at, worker, container, effects)
            case What.PASSED:
                container.passed = True
            case What.READY:
                container.ready = not container.sick
            case What.SICK:
                container.sick = True
            case What.UNREADY:
                container.ready = False
                effects.append(Record(worker.pod, "Warning", "Unhealthy", "Readiness probe failed"))
            case What.STARTUP_FAILED | What.LIVENESS_FAILED:
                failed, killing = _FAILURES[what]
                effects.append(Record(worker.pod, "Warning", "Unhealthy", failed))
                self._say(worker, "Killing", killing.format(name), effects)
                self._kill(at, worker, container, None)
            case What.HOOK_FAILED:
                effects.append(Record(worker.pod, "Warning", "FailedPostStartHook", "PostStartHook failed"))
                self._say(worker, "Killing", "FailedPostStartHook", effects)
                self._kill(at, worker, container, None)
            case What.ENDED:
                self._ends(at, container, container.plan.exit_code)
            case What.STOPPED:  # whoever stops it waits for that
                self._ends(at, container, container.stop_code)
                self._seen(at, worker, run, container, effects)
            case What.SEEN:
                self._seen(at, worker, run, container, effects)
            case What.AGAIN:
                self._starter.start(at, worker, container, at, effects)

    def _started(self, at: Instant, worker: PodWorker, container: ContainerRun, effects: list[Effect]) -> None:
        name = container.plan.name
        self._say(worker, "Created", f"Created container: {name}", effects)
        self._say(worker, "Started", f"Started container {name}", effects)
        container.state = State.RUNNING
        container.pull_wait_ns = 0
        container.shown = False
        container.started_ns = at
        container.ready = container.passed = container.sick = False
        hook = container.plan.post_start
        container.timeline = timeline(container.plan, at)
        container.add(self._next_relist(at + (hook.duration_ns if hook is not None else 0)), What.SEEN)

    def _ends(self, at: Instant, container: ContainerRun, code: int) -> None:
        """It answers nobody any more; the kubelet sees it later."""
        container.state = State.GONE
        container.ended = terminated(container.started_ns, at, code)
        container.timeline = [(self._next_relist(at), What.SEEN)]

    def _seen(
        self, at: Instant, worker: PodWorker, run: PodRun, container: ContainerRun, effects: list[Effect]
    ) -> None:
        container.count()
        if container.state != State.GONE:
            container.shown = True
            return
        assert container.ended is not None
        assert container.ended.terminated is not None
        container.ready = container.passed = False
        container.state = State.ENDED
        changed, container.changed = container.changed, False
        if changed:
            container.backoff_ns = 0
        if run.is_ending or not (changed or _restarts(worker, container, container.ended.terminated.exit_code)):
            return
        container.last, container.ended = container.ended, None
        container.again = True
        constants = self._settings.constants
        wait, container.backoff_ns = next_wait(constants, at, container.started_ns, container.backoff_ns)
        container.state = State.WAITING
        if not wait:
            self._starter.start(at, worker, container, at, effects)
            return
        event, container.message = told(worker.pod, container.plan.name, wait)
        container.reason = "CrashLoopBackOff"
        effects.append(Record(worker.pod, "Warning", "BackOff", event))
        container.timeline = [(at + wait, What.AGAIN)]

    # -- what to do ----------------------------------------------------------------------------------------------------

    def _order(self, now: Instant, worker: PodWorker, run: PodRun, effects: list[Effect]) -> None:
        """Starts whose turn it is; once the pod is to end, stops those whose turn it is."""
        if not run.is_ending:
            self._begin(now, worker, run, effects)
            if run.failed_init() or (run.initialized and all(c.state == State.ENDED for c in run.of(Role.APP))):
                run.finishing = True
        if not run.is_ending:
            return
        for container in run.containers:
            if container.state in (State.WAITING, State.STARTING):
                container.give_up()
        deadline = run.deadline_ns if run.deadline_ns >= 0 else None
        others = [c for c in run.containers if c.plan.role != Role.SIDECAR and c.is_live]
        for container in others:
            self._stop(now, worker, container, deadline, effects)
        if others:
            return
        for container in reversed(run.of(Role.SIDECAR)):  # the last to start is the first to stop
            if container.is_live:
                self._stop(now, worker, container, deadline, effects)
                return
        run.over = True

    def _begin(self, now: Instant, worker: PodWorker, run: PodRun, effects: list[Effect]) -> None:
        if run.mounts is not None:
            return
        if not run.initialized:
            for container in run.containers:
                if container.plan.role == Role.APP:
                    break
                if container.state == State.WAITING and not container.timeline:
                    self._starter.start(now, worker, container, now, effects)
                if not container.lets_next_start:
                    return
            run.initialized = True
        at = now
        for container in run.of(Role.APP):
            if container.state == State.WAITING and not container.timeline:
                at = self._starter.start(now, worker, container, at, effects)

    def _stop(
        self, now: Instant, worker: PodWorker, container: ContainerRun, deadline: Instant | None, effects: list[Effect]
    ) -> None:
        if container.state == State.RUNNING:
            self._say(worker, "Killing", f"Stopping container {container.plan.name}", effects)
            self._kill(now, worker, container, deadline)

    def _kill(self, now: Instant, worker: PodWorker, container: ContainerRun, deadline: Instant | None) -> None:
        """preStop, SIGTERM, and SIGKILL at the end of the grace period. Source: killContainer."""
        if deadline is None:
            grace = worker.pod.spec.termination_grace_period_seconds
            deadline = now + (30 if grace is None else grace) * SECOND
        hook = container.plan.pre_stop
        asked = now
        if hook is not None and deadline > now:
            asked = min(now + hook.duration_ns, deadline)
            if now + hook.duration_ns >= deadline:
                deadline += MIN_GRACE_NS
        by_itself = asked + container.plan.stop_after_ns
        container.state = State.STOPPING
        container.stop_code = ASKED_TO_STOP if by_itself <= deadline else KILLED
        ends = [at for at, what in container.timeline if what == What.ENDED]
        container.timeline = [item for item in container.timeline if item[1] == What.SEEN]
        at = max(min(by_itself, deadline), now)
        if ends and ends[0] <= at:
            container.add(ends[0], What.ENDED)
        else:
            container.add(at, What.STOPPED)

    # -- words ---------------------------------------------------------------------------------------------------------

    def _say(self, worker: PodWorker, reason: str, message: str, effects: list[Effect]) -> None:
        if self._settings.record_events:
            effects.append(Record(worker.pod, "Normal", reason, message))


def _running(now: Instant, worker: PodWorker, plans: tuple[ContainerPlan, ...], pod: Pod) -> PodRun:
    """The state of a pod of one container that has run outside of this until now."""
    worker.turn = -1
    run = new_run(pod, plans, now)
    (container,) = run.containers
    container.state, container.shown, container.passed = State.RUNNING, True, True
    container.ready, container.again = worker.ready, False
    container.started_ns, container.restarts, container.last = worker.started_ns, worker.restarts, worker.last
    container.timeline = [item for item in timeline(container.plan, worker.started_ns) if item[0] > now]
    run.initialized = True
    return run


def _update_worker(worker: PodWorker, run: PodRun) -> None:
    """What others ask of the pod as a whole."""
    apps = run.of(Role.APP)
    worker.ready = run.ready
    worker.sick = any(container.sick for container in apps)
    if worker.stage in (Stage.STOPPING, Stage.ENDED):
        return
    if all(container.state == State.RUNNING for container in apps):
        if worker.stage != Stage.RUNNING:
            worker.started_ns = max(container.started_ns for container in apps)
        worker.stage = Stage.RUNNING
    elif worker.stage == Stage.RUNNING:
        worker.stage = Stage.WAITING


def _images(pod: Pod) -> list[str]:
    return [container.image for container in (*pod.spec.init_containers, *pod.spec.containers)]


def _restarts(worker: PodWorker, container: ContainerRun, code: int) -> bool:
    """Source: kubecontainer.ShouldContainerBeRestarted."""
    policy = worker.pod.spec.restart_policy or "Always"
    if container.plan.role == Role.SIDECAR:
        return True
    if container.plan.role == Role.INIT:
        return code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and code != 0)
