"""The kubelet: admits pods, runs their containers, and tells the API server; it knows only what its watch brought.

Source: pkg/kubelet. Containers are modelled by when they start, become ready, fail and end; images by their bytes.
"""

from __future__ import annotations

from random import Random

from harness.engine.component import SECOND, Effect, Observe, Record, WakeAt, next_tick
from harness.model.core import Node, Pod, PodStatus, ResourceList
from harness.node import pod_status
from harness.node import pod_timers as on
from harness.node.container_runtime import ASKED_TO_STOP, KILLED, ContainerRuntime
from harness.node.container_starter import ContainerStarter
from harness.node.container_statuses import composed, says_all
from harness.node.containers.configuration import Configuration
from harness.node.containers.run import CONTAINERS, terminated
from harness.node.ephemeral import run_ephemeral
from harness.node.images import Images
from harness.node.node_allocator import NodeAllocator
from harness.node.pod_annotations import read_pod_annotations, unreadable_devices
from harness.node.pod_commands import said_of
from harness.node.pod_duration import set_pod
from harness.node.pod_worker import Host, PodWorker, Stage, gone
from harness.node.restart_backoff import next_wait, told
from harness.node.run_spec import RunSpec, run_spec_of, tick
from harness.node.settings import NodeSettings
from harness.node.status_manager import StatusManager
from harness.node.usage import Usage
from harness.node.volume_manager import VolumeManager


# size: one pod from admission to its end, a short method a step; all of them change the same few fields of a node.
class Kubelet:
    """`turn`: that of the last container that ever started here, on kubelets before this one too. `images`: what is on
    the node's disk."""

    __slots__ = (
        "_allocator",
        "_containers",
        "_images",
        "_relist_phase_ns",
        "_rng",
        "_settings",
        "_starter",
        "configuration",
        "host",
        "pods",
        "reachable",
        "statuses",
        "turn",
        "usage",
        "volumes",
    )

    def __init__(
        self, node: Node, settings: NodeSettings, rng: Random, host: Host, images: Images, usage: Usage, phase_ns: int
    ) -> None:
        """`phase_ns`: its containers are looked at so long after each whole number of relist periods."""
        self.pods: dict[str, PodWorker] = {}  # by uid, in order of admission
        self.statuses = StatusManager(self.pods)
        self.host = host
        self.usage = usage
        self.turn = 0
        self.volumes: VolumeManager | None = None  # from the first that must be attached
        self._relist_phase_ns = phase_ns
        self.reachable = True  # over the network
        self._settings = settings
        self._rng = rng
        self._allocator = NodeAllocator(node.status.allocatable)
        self._images = images
        self.configuration = Configuration() if settings.references else None
        self._starter = ContainerStarter(settings, rng, images, self.configuration, self._next_relist)
        self._containers = ContainerRuntime(settings, self._starter, self._next_relist)

    def set_allocatable(self, allocatable: ResourceList) -> None:
        """The node has more or less to give than before."""
        self._allocator.set_allocatable(allocatable)

    # -- what the watch brings -----------------------------------------------------------------------------------------

    def update_pod(self, now: int, pod: Pod, effects: list[Effect]) -> None:
        """A pod of this node, new or changed."""
        meta = pod.metadata
        worker = self.pods.get(meta.uid)
        if worker is None:
            if meta.deletion_timestamp is not None:
                if (lost := pod_status.lost(pod, now, self.host)) is None:
                    effects.append(gone(pod))
                else:
                    self.pods[meta.uid] = lost
                    self.statuses.report(lost, effects)
            elif pod.status.phase not in ("Succeeded", "Failed"):
                self._admit(now, pod, effects)
            return
        before = worker.pod
        set_pod(now, worker, pod, on.ENDS, effects)
        if worker.composed is not None and before.metadata.annotations != meta.annotations:
            self._containers.replan(now, worker, effects)
        reported = self.statuses.compare(worker, effects)
        if self._settings.commands:
            self._containers.change_images(now, worker, before, effects)
            self._debug(now, worker, effects)
        if worker.stage == Stage.ENDED:
            # It stays known until it is deleted, and is deleted when the API server has its last status.
            if meta.deletion_timestamp is not None and reported:
                del self.pods[meta.uid]
                effects.append(gone(pod))
        elif pod.status.phase in ("Succeeded", "Failed"):
            self._kill(worker, effects)
        elif meta.deletion_timestamp is not None:
            self._stop(now, worker, effects)

    def remove_pod(self, pod: Pod, effects: list[Effect]) -> None:
        """It is gone from the API, or could not be handled: kill what is left of it."""
        if (worker := self.pods.pop(pod.metadata.uid, None)) is not None:
            self._kill(worker, effects)
        self.usage.forget(pod.metadata.uid)

    def _kill(self, worker: PodWorker, effects: list[Effect]) -> None:
        """At once: nobody waits for it. Source: pod_workers.go UpdatePod: a pod whose phase is terminal is ended."""
        worker.stage = Stage.ENDED
        worker.ready = False
        worker.status = None  # the API server says how it ended
        self._serve(worker, effects)
        self._release(worker)

    def keep_only(self, now: int, pods: tuple[Pod, ...], effects: list[Effect]) -> None:
        """The watch was lost and this is the list: what is not in it is gone."""
        there = {pod.metadata.uid for pod in pods}
        for uid in [uid for uid in self.pods if uid not in there]:
            self.remove_pod(self.pods[uid].pod, effects)
        for pod in pods:
            self.update_pod(now, pod, effects)

    def _admit(self, now: int, pod: Pod, effects: list[Effect]) -> None:
        run_spec = run_spec_of(pod)
        annotations = said_of(pod) if self._settings.commands else read_pod_annotations(pod)
        worker = PodWorker(pod, run_spec, annotations, now, ephemeral=pod.status.ephemeral_container_statuses)
        self.pods[pod.metadata.uid] = worker
        if annotations.wrong:
            effects.append(
                Record(pod, "Warning", "InvalidAnnotation", f"not understood, ignored: {', '.join(annotations.wrong)}")
            )
        refusal = unreadable_devices(annotations.wrong) or self._allocator.lacks(run_spec, annotations)
        if refusal is not None:
            reason, message = refusal
            worker.stage = Stage.ENDED
            self.statuses.set_status(worker, pod_status.rejected(pod, reason, message, now), effects)
            effects.append(Record(pod, "Warning", reason, message))
            return
        self._allocator.take(run_spec, annotations)
        worker.holds = True
        again = bool(pod.status.container_statuses)
        parts = self._has_parts(pod, run_spec)
        if again and not parts and not self._resume(now, worker, effects):
            return
        limit = pod.spec.active_deadline_seconds
        if limit is not None:
            effects.append(WakeAt(worker.admitted_ns + limit * SECOND, (pod.metadata.uid, 0, on.DEADLINE)))
        waits = self.volumes is not None and self.volumes.hold(now, pod)
        if not again and (waits or (self._settings.commands and not parts)):  # people look on
            self.statuses.set_status(worker, pod_status.pending(worker, now, self.host), effects)
        if not waits:
            self.begin(now, worker, effects)

    def _has_parts(self, pod: Pod, run_spec: RunSpec) -> bool:
        """Whether its containers have starts and ends of their own."""
        return run_spec.composed or (self.configuration is not None and self.configuration.concerns(pod))

    def begin(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        """Its volumes are there."""
        if self._has_parts(worker.pod, worker.run_spec):
            self._containers.admit(now, worker, effects)
            self._report_composed(now, worker, effects)
        else:
            self._start(now, worker, effects)

    def _resume(self, now: int, worker: PodWorker, effects: list[Effect]) -> bool:
        """It ran here before the node lost power. Whether it is to run again.

        Source: kuberuntime computePodActions: a pod that is never restarted does not get a second sandbox.
        """
        status = worker.pod.status
        was = status.container_statuses[0]
        worker.admitted_ns = status.start_time or now
        worker.restarts = was.restart_count or 0
        if was.state.running is None:
            worker.last = was.last_state
            worker.again = worker.last.terminated is not None
            return True
        worker.started_ns = was.state.running.started_at or now
        lost = terminated(worker.started_ns, now, KILLED, "ContainerStatusUnknown")
        if worker.pod.spec.restart_policy == "Never":
            self._end(now, worker, pod_status.ended(worker, now, self.host, lost), effects)
            return False
        worker.again = True
        worker.last = lost
        self.statuses.set_status(worker, pod_status.waiting(worker, now, self.host, "ContainerCreating"), effects)
        return True

    # -- containers ----------------------------------------------------------------------------------------------------

    def _start(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        settings = self._settings
        latencies, uid = settings.latencies, worker.pod.metadata.uid
        self.turn += 1
        worker.turn = self.turn
        if self._images.careful and self._starter.must_wait(now, worker):
            self._containers.take_over(now, worker, effects)
            self._report_composed(now, worker, effects)
            return
        at = now
        for image in worker.run_spec.images:
            there = self._images.there_at(image)
            if there is None or there > now:
                self._say(worker, "Pulling", f'Pulling image "{image}"', effects)
                if there is None:
                    there = self._images.pull(now, image, latencies, self._rng)
                if there > at:
                    at = there
            else:
                self._say(worker, "Pulled", f'Container image "{image}" already present on machine', effects)
        if at > now and settings.record_events:
            effects.append(WakeAt(at, (uid, worker.turn, on.PULLED)))
        for _ in range(worker.run_spec.inits + 1):
            at += latencies.container_start.draw(self._rng)
        worker.stage = Stage.STARTING
        worker.until_ns = at
        worker.sick = False
        effects.append(WakeAt(at, (uid, worker.turn, on.STARTED)))

    def due(self, now: int, uid: str, turn: int, what: int, effects: list[Effect]) -> None:
        """A timer of a pod's container came due."""
        worker = self.pods.get(uid)
        if worker is None or worker.stage == Stage.ENDED:
            return
        if what in (on.DEADLINE, on.EPHEMERAL, CONTAINERS):
            if what == CONTAINERS:
                self._containers.advance(now, worker, effects)
                self._report_composed(now, worker, effects)
            else:
                (self._deadline if what == on.DEADLINE else self._debug)(now, worker, effects)
            return
        if worker.turn != turn:
            return
        if what in (on.STARTED, on.ENDS, on.STOPPED):
            if what == on.ENDS and worker.until_ns < 0:
                return  # it was said otherwise
            if now < worker.until_ns:  # the node stood still meanwhile, or it was said otherwise
                effects.append(WakeAt(worker.until_ns, (uid, turn, what)))
            elif what == on.STARTED:
                self._started(now, worker, effects)
            elif what == on.ENDS:
                self._ended(now, worker, worker.annotations.exit_code, effects)
            else:
                self._stopped(now, worker, effects)
        elif what == on.READY:
            if not worker.sick:
                worker.ready = True
                self.statuses.set_status(worker, pod_status.running(worker, now, self.host), effects)
        elif what == on.UNREADY:
            worker.ready = False
            effects.append(Record(worker.pod, "Warning", "Unhealthy", "Readiness probe failed"))
            self.statuses.set_status(worker, pod_status.running(worker, now, self.host), effects)
        elif what == on.SICK:
            worker.sick = True
            self._serve(worker, effects)
        elif what == on.UNHEALTHY:
            name = worker.run_spec.keep[0].name
            effects.append(Record(worker.pod, "Warning", "Unhealthy", "Liveness probe failed"))
            self._say(worker, "Killing", f"Container {name} failed liveness probe, will be restarted", effects)
            self.exit(now, worker, KILLED, effects)
        elif what == on.SEEN_STARTED:
            self.statuses.report(worker, effects)
        elif what == on.SEEN_ENDED:
            self.exit(now, worker, worker.ended[1], effects, worker.ended[0])
        elif what == on.PULLED:
            for image in worker.run_spec.images:
                self._say(worker, "Pulled", f'Successfully pulled image "{image}"', effects)
        else:
            assert what == on.AGAIN, what
            self._start(now, worker, effects)

    def _started(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        run_spec, annotations, turn = worker.run_spec, worker.annotations, worker.turn
        uid = worker.pod.metadata.uid
        worker.stage = Stage.RUNNING
        worker.restarts += worker.again
        worker.again = False
        worker.started_ns = now
        worker.until_ns = -1
        if self._settings.record_events:
            for container in run_spec.keep:
                self._say(worker, "Created", f"Created container: {container.name}", effects)
                self._say(worker, "Started", f"Started container {container.name}", effects)
        if annotations.duration_ns >= 0:
            worker.until_ns = now + annotations.duration_ns
            effects.append(WakeAt(worker.until_ns, (uid, turn, on.ENDS)))
        wait = run_spec.begin_ns
        if annotations.ready_after_ns:
            after = annotations.ready_after_ns
            if run_spec.ready_period_ns:
                repeats = max(0, run_spec.begin_ns - run_spec.ready_delay_ns)
                after = tick(after, run_spec.ready_delay_ns, run_spec.ready_period_ns) + repeats
            wait = max(wait, after)
        worker.ready = not wait
        if wait:
            effects.append(WakeAt(now + wait, (uid, turn, on.READY)))
        if annotations.unhealthy_after_ns >= 0:
            effects += on.will_fail(now, worker, now + annotations.unhealthy_after_ns)
        worker.status = pod_status.running(worker, now, self.host)
        seen_ns = self._next_relist(now)
        if seen_ns == now:
            self.statuses.report(worker, effects)
        else:
            effects.append(WakeAt(seen_ns, (uid, turn, on.SEEN_STARTED)))
        if annotations.request_micro >= 0:
            self._serve(worker, effects)
            self.usage.changed(now, worker, effects)

    def _next_relist(self, now: int) -> int:
        """When what containers do is seen next. Source: pkg/kubelet/pleg/generic.go."""
        period_ns = self._settings.constants.pleg_relist_period_ns
        return next_tick(now - 1, period_ns, self._relist_phase_ns % period_ns) if period_ns else now

    def _ended(self, now: int, worker: PodWorker, code: int, effects: list[Effect]) -> None:
        """The container has ended by itself: it answers nobody any more, and is seen to have ended later."""
        seen_ns = self._next_relist(now)
        if seen_ns == now:
            self.exit(now, worker, code, effects)
            return
        self.turn += 1
        worker.turn, worker.stage, worker.until_ns, worker.ended = self.turn, Stage.WAITING, -1, (now, code)
        self._serve(worker, effects)
        effects.append(WakeAt(seen_ns, (worker.pod.metadata.uid, worker.turn, on.SEEN_ENDED)))

    def crash(self, now: int, key: str, exit_code: int, effects: list[Effect]) -> None:
        """The container of the pod `key`, or of the first that runs, ends although nobody asked it to."""
        for worker in self.pods.values():
            if worker.stage == Stage.RUNNING and key in ("", worker.pod.metadata.key):
                if worker.composed is None:
                    self._ended(now, worker, exit_code, effects)
                elif self._containers.crash(now, worker, exit_code, effects):
                    self._report_composed(now, worker, effects)
                return

    def exit(self, now: int, worker: PodWorker, code: int, effects: list[Effect], ended_ns: int = -1) -> None:
        """The container has ended by itself (at `ended_ns`, else now), or was killed; the restart policy says what
        follows."""
        pod = worker.pod
        meta, policy = pod.metadata, pod.spec.restart_policy or "Always"
        state = terminated(worker.started_ns, now if ended_ns < 0 else ended_ns, code)
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            self._end(now, worker, pod_status.ended(worker, now, self.host, state), effects)
            return
        self.turn += 1
        worker.turn = self.turn  # nothing that was to happen to that container happens
        worker.stage = Stage.WAITING
        worker.ready = False
        worker.last = state
        worker.again = True
        worker.until_ns = -1
        self._serve(worker, effects)
        if worker.annotations.request_micro >= 0:
            self.usage.changed(now, worker, effects)
        wait, worker.backoff_ns = next_wait(self._settings.constants, now, worker.started_ns, worker.backoff_ns)
        if wait:
            event, text = told(pod, worker.run_spec.keep[0].name, wait)
            effects.append(Record(pod, "Warning", "BackOff", event))
            self.statuses.set_status(
                worker, pod_status.waiting(worker, now, self.host, "CrashLoopBackOff", text), effects
            )
        else:
            self.statuses.set_status(worker, pod_status.waiting(worker, now, self.host, "ContainerCreating"), effects)
        effects.append(WakeAt(now + wait, (meta.uid, worker.turn, on.AGAIN)))

    def _stop(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        """SIGTERM; the container takes its time, at most the grace period, which a second deletion can shorten."""
        meta = worker.pod.metadata
        if worker.composed is not None:
            worker.stage = Stage.STOPPING
            self._containers.stop(now, worker, effects)
            self._report_composed(now, worker, effects)
            return
        latest = now + (meta.deletion_grace_period_seconds or 0) * SECOND
        if worker.stage == Stage.STOPPING:
            if latest < worker.until_ns:
                worker.until_ns = latest
                effects.append(WakeAt(latest, (meta.uid, worker.turn, on.STOPPED)))
            return
        self._say(worker, "Killing", f"Stopping container {worker.run_spec.keep[0].name}", effects)
        runs = worker.stage == Stage.RUNNING
        worker.stage = Stage.STOPPING
        self.turn += 1
        worker.turn = self.turn
        if not runs:
            self._stopped(now, worker, effects)
            return
        stopped = min(now + worker.annotations.stop_after_ns, latest)
        worker.until_ns = stopped if worker.until_ns < 0 else min(stopped, worker.until_ns)
        effects.append(WakeAt(worker.until_ns, (meta.uid, worker.turn, on.STOPPED)))

    def _stopped(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        pod = worker.pod
        if pod.metadata.finalizers:  # it will be looked at, so say how it ended, and delete it when that is known
            if worker.composed is not None:
                self._end(now, worker, composed(worker, now, self.host), effects)
                return
            state = terminated(worker.started_ns, now, ASKED_TO_STOP)
            self._end(now, worker, pod_status.ended(worker, now, self.host, state), effects)
            return
        worker.stage = Stage.ENDED
        self._serve(worker, effects)
        self._release(worker)
        del self.pods[pod.metadata.uid]
        effects.append(gone(pod))

    def _debug(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        """Ephemeral containers, which somebody adds to a pod that runs."""
        if run_ephemeral(now, worker, on.EPHEMERAL, effects) and worker.status is not None:
            self.statuses.set_status(worker, pod_status.with_ephemeral(worker), effects)

    def _deadline(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        """Source: pkg/kubelet/active_deadline.go."""
        limit = worker.pod.spec.active_deadline_seconds
        if limit is None or now < worker.admitted_ns + limit * SECOND or worker.stage == Stage.STOPPING:
            return
        text = "Pod was active on the node longer than the specified deadline"
        effects.append(Record(worker.pod, "Normal", "DeadlineExceeded", text))
        if worker.composed is not None:
            worker.composed.kill(now, KILLED)
            self._end(now, worker, composed(worker, now, self.host, "DeadlineExceeded", text), effects)
            return
        state = terminated(worker.started_ns, now, KILLED)
        self._end(now, worker, pod_status.ended(worker, now, self.host, state, "DeadlineExceeded", text), effects)

    def _report_composed(self, now: int, worker: PodWorker, effects: list[Effect]) -> None:
        """What became of containers that have starts and ends of their own."""
        run = worker.composed
        assert run is not None
        if run.over:
            if worker.pod.metadata.deletion_timestamp is not None:
                self._stopped(now, worker, effects)
            else:
                self._end(now, worker, composed(worker, now, self.host), effects)
            return
        status = composed(worker, now, self.host)
        if worker.status is None or not says_all(worker.status, status):
            self.statuses.set_status(worker, status, effects)
        self._serve(worker, effects)
        if worker.annotations.request_micro >= 0 and worker.started_ns:
            self.usage.changed(now, worker, effects)

    def _end(self, now: int, worker: PodWorker, status: PodStatus, effects: list[Effect]) -> None:
        worker.stage = Stage.ENDED
        worker.ready = False
        self._serve(worker, effects)
        self._release(worker)
        self.statuses.set_status(worker, status, effects)
        if worker.reported_milli >= 0:
            self.usage.changed(now, worker, effects)

    def _release(self, worker: PodWorker) -> None:
        if self.volumes is not None:
            self.volumes.release(worker.pod)
        if worker.holds:
            worker.holds = False
            self._allocator.give_back(worker.run_spec, worker.annotations)

    # -- faults --------------------------------------------------------------------------------------------------------

    def report_serving(self, effects: list[Effect]) -> None:
        """What can be reached from outside has changed for all pods."""
        for worker in self.pods.values():
            self._serve(worker, effects)

    def stood_still(self, for_ns: int) -> None:
        """What containers were at takes so much longer."""
        for worker in self.pods.values():
            if worker.until_ns >= 0:
                worker.until_ns += for_ns
            if worker.composed is not None:
                worker.composed.shift(for_ns)

    # -- words ---------------------------------------------------------------------------------------------------------

    def _serve(self, worker: PodWorker, effects: list[Effect]) -> None:
        """Whether requests sent to it would be answered, from now on; told for pods that requests cost something."""
        able = self.reachable and worker.able
        if worker.serving == able or worker.annotations.request_micro < 0:
            return
        worker.serving = able
        meta = worker.pod.metadata
        effects.append(Observe("serving", (meta.key, meta.uid, int(able))))

    def _say(self, worker: PodWorker, reason: str, message: str, effects: list[Effect]) -> None:
        if self._settings.record_events:
            effects.append(Record(worker.pod, "Normal", reason, message))
