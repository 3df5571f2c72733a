"""How the containers of a pod start: volumes, then for each its image, its variables, the container itself."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from zlib import crc32

from harness.engine.component import SECOND, Effect, Instant, Record
from harness.model.pod_references import variables_of
from harness.node.containers.configuration import PATIENCE_NS, Configuration, Mounts
from harness.node.containers.run import ContainerRun, PodRun, State
from harness.node.containers.timeline import What
from harness.node.images import Images, Trouble
from harness.node.pod_worker import PodWorker
from harness.node.settings import NodeSettings

RETRY_NS = 10 * SECOND

FIRST_PULL_WAIT_NS, LONGEST_PULL_WAIT_NS = 10 * SECOND, 300 * SECOND
"""Until an image is asked for again; it doubles. Source: pkg/kubelet/kubelet.go imageBackOff: backOffPeriod,
MaxImageBackOff (1.32)."""


class ContainerStarter:
    """`configuration`: None where pods need nothing of it."""

    __slots__ = ("_configuration", "_images", "_next_relist", "_rng", "_settings")

    def __init__(
        self,
        settings: NodeSettings,
        rng: Random,
        images: Images,
        configuration: Configuration | None,
        next_relist: Callable[[Instant], Instant],
    ) -> None:
        self._next_relist = next_relist
        self._settings = settings
        self._rng = rng
        self._images = images
        self._configuration = configuration

    def admit(self, now: Instant, worker: PodWorker, run: PodRun) -> None:
        """Whether it has to wait for volumes."""
        if self._configuration is not None and (problems := self._configuration.volume_problems(worker.pod)):
            run.mounts = Mounts(tuple(name for name, _ in problems), now, now + PATIENCE_NS)

    def mount(self, now: Instant, worker: PodWorker, run: PodRun, mounts: Mounts, effects: list[Effect]) -> None:
        """Volumes that wait for something are tried again. Source: pkg/kubelet/volumemanager,
        operationexecutor/operation_generator.go GenerateMountVolumeFunc; kubelet.go SyncPod (1.32)."""
        assert self._configuration is not None
        if now >= mounts.next_ns:
            problems = self._configuration.volume_problems(worker.pod, mounts.volumes)
            mounts.volumes = tuple(name for name, _ in problems)
            for name, why in problems:
                text = f'MountVolume.SetUp failed for volume "{name}" : {why}'
                effects.append(Record(worker.pod, "Warning", "FailedMount", text))
            if not problems:
                run.mounts = None
                return
            mounts.try_again(now)
        if now >= mounts.told_ns:
            waiting = f"unmounted volumes=[{' '.join(mounts.volumes)}], unattached volumes=[]"
            text = (
                f"Unable to attach or mount volumes: {waiting}, failed to process volumes=[]: context deadline exceeded"
            )
            effects.append(Record(worker.pod, "Warning", "FailedMount", text))
            mounts.told_ns = now + _retry_ns(worker) + PATIENCE_NS

    def must_wait(self, now: Instant, worker: PodWorker) -> bool:
        """Whether an image cannot be had."""
        return any(
            self._images.trouble(now, container.image, container.image_pull_policy) is not None
            for container in worker.pod.spec.containers
        )

    def start(
        self, now: Instant, worker: PodWorker, container: ContainerRun, not_before: Instant, effects: list[Effect]
    ) -> Instant:
        """When the next one may be started: the kubelet starts one after the other, and waits for its hook."""
        image, settings = container.plan.container.image, self._settings
        if self._images.careful:
            trouble = self._images.trouble(now, image, container.plan.container.image_pull_policy)
            if trouble is not None:
                return self._cannot(now, worker, container, trouble, effects)
        there = self._images.there_at(image)
        pulled = there is None or there > now
        if pulled:
            self._say(worker, "Pulling", f'Pulling image "{image}"', effects)
            if there is None:
                there = self._images.pull(now, image, settings.latencies, self._rng)
        else:
            text = f'Container image "{image}" already present on machine'
            self._say(worker, "Pulled", text, effects)
        assert there is not None
        created = max(not_before, there)
        container.start_ns = settings.latencies.container_start.draw(self._rng)
        at = created + container.start_ns
        container.state = State.STARTING
        container.timeline = [(at, What.STARTED)]
        if self._configuration is not None and variables_of(container.plan.container):
            container.timeline = [(created, What.CREATED)]
        if pulled:
            container.add(there, What.PULLED)
        hook = container.plan.post_start
        return at + (hook.duration_ns if hook is not None else 0)

    def _cannot(
        self, now: Instant, worker: PodWorker, container: ContainerRun, trouble: Trouble, effects: list[Effect]
    ) -> Instant:
        """Its image is not to be had. Source: image_manager.go EnsureImageExists, kuberuntime_container.go
        startContainer (1.32)."""
        if trouble.after_pull:
            self._say(worker, "Pulling", f'Pulling image "{container.plan.container.image}"', effects)
            at = self._images.ask(now, self._settings.latencies, self._rng)
            container.state, container.pull_error = State.STARTING, trouble.message
            container.timeline = [(at, What.NOT_PULLED)]
            return at
        effects.append(Record(worker.pod, "Warning", trouble.event, trouble.message))
        self._wait(worker, container, trouble.reason, trouble.message, effects)
        container.timeline = [(now + _retry_ns(worker), What.AGAIN)]
        return now

    def not_pulled(self, at: Instant, worker: PodWorker, container: ContainerRun, effects: list[Effect]) -> None:
        """The registry has said no: it is asked again after a wait that doubles."""
        image = container.plan.container.image
        text = f'Failed to pull image "{image}": {container.pull_error}'
        effects.append(Record(worker.pod, "Warning", "Failed", text))
        self._wait(worker, container, "ErrImagePull", container.pull_error, effects)
        container.pull_wait_ns = min(2 * container.pull_wait_ns or FIRST_PULL_WAIT_NS, LONGEST_PULL_WAIT_NS)
        container.pull_again_ns = at + container.pull_wait_ns
        container.timeline = [(self._next_relist(at), What.BACK_OFF)]

    def back_off(self, at: Instant, worker: PodWorker, container: ContainerRun, effects: list[Effect]) -> None:
        """The pod is looked at while its image waits to be pulled again."""
        if at >= container.pull_again_ns:
            self.start(at, worker, container, at, effects)
            return
        text = f'Back-off pulling image "{container.plan.container.image}"'
        self._say(worker, "BackOff", text, effects)
        self._wait(worker, container, "ImagePullBackOff", f"{text}: ErrImagePull: {container.pull_error}", effects)
        container.timeline = [(at + _retry_ns(worker), What.BACK_OFF)]

    def _wait(
        self, worker: PodWorker, container: ContainerRun, reason: str, message: str, effects: list[Effect]
    ) -> None:
        effects.append(Record(worker.pod, "Warning", "Failed", f"Error: {reason}"))
        container.state, container.reason, container.message = State.WAITING, reason, message

    def create(self, at: Instant, worker: PodWorker, container: ContainerRun, effects: list[Effect]) -> None:
        """It is made, where its variables are known. Source: kuberuntime_container.go startContainer (1.32)."""
        assert self._configuration is not None
        problem = self._configuration.variable_problem(worker.pod, container.plan)
        if not problem:
            container.reason, container.message = "ContainerCreating", ""
            container.timeline = [(at + container.start_ns, What.STARTED)]
            return
        effects.append(Record(worker.pod, "Warning", "Failed", f"Error: {problem}"))
        container.state = State.WAITING
        container.reason, container.message = "CreateContainerConfigError", problem
        container.timeline = [(at + _retry_ns(worker), What.AGAIN)]

    def _say(self, worker: PodWorker, reason: str, message: str, effects: list[Effect]) -> None:
        if self._settings.record_events:
            effects.append(Record(worker.pod, "Normal", reason, message))


def _retry_ns(worker: PodWorker) -> int:
    """Until a pod that could not be brought to where it should be is looked at again: 10 to 15 s.

    Source: pkg/kubelet/pod_workers.go completeWork: backOffPeriod, workerBackOffJitterFactor 0.5 (1.32). Which of
    these goes by the pod.
    """
    return RETRY_NS + crc32(worker.pod.metadata.uid.encode()) * (RETRY_NS // 2) // (1 << 32)
