"""When a run without a duration is over: nothing of its workload is left to happen."""

from __future__ import annotations

from harness.cluster.cluster import Cluster
from harness.cluster.workload_driver import WorkloadDriver
from harness.controllers.workloads.dependencies import DependencyController
from harness.controllers.workloads.rounds.scheduler import RoundScheduler
from harness.engine.component import SECOND
from harness.experiment.workload import SETTLE_NS
from harness.measure.pods import PodLives
from harness.model.training import TRAINING
from harness.scheduling.cycle.scheduler import Scheduler
from workloads.manifests import DURATION

QUIET_NS = 20 * 60 * SECOND
"""Pods that nobody has placed for so long stay where they are: each was flushed (after 5 minutes, kube-scheduler) and
tried again at least twice, and a node that was asked for is there or given up (15 minutes, cluster autoscaler)."""


UNSEEN_NS = 10 * SECOND
"""What was written so long ago has reached every watch, and the scheduler has taken it in."""


class Completion:
    """Asked now and then. A strategy that is slow, or has many pods waiting, always has some of them in hand; so pods
    that wait end a run either at an instant at which none is being tried or bound and none fits anywhere, or after a
    time in which nothing came, was placed, ended or went."""

    def __init__(self, cluster: Cluster, driver: WorkloadDriver, lives: PodLives, scheduler: Scheduler) -> None:
        self._cluster = cluster
        self._driver = driver
        self._lives = lives
        self._scheduler = scheduler
        components = cluster.components.values()
        found = [item for item in components if isinstance(item, DependencyController)]
        self._dependencies = found[0] if found else None
        self._rounds = next((item for item in components if isinstance(item, RoundScheduler)), None)
        self._state: tuple[int, ...] = ()
        self._since = 0  # instant at which something last came, was placed, ended, or went

    def over(self) -> bool:
        now = self._cluster.now
        lives = self._lives
        dependencies = self._dependencies
        let_go = 0 if dependencies is None else dependencies.let_go
        state = (len(lives.all), len(lives.alive), lives.ended, self._scheduler.tally.decisions, let_go)
        if state != self._state:
            self._state, self._since = state, now
        if not self._driver.done or now < SETTLE_NS or (dependencies is not None and dependencies.thinking):
            return False
        if self._rounds_to_settle():
            return False
        pending = on_its_way = False
        for key, life in lives.alive.items():
            if life.phase in ("Succeeded", "Failed"):
                continue
            pod = self._cluster.server.objects("Pod").get(key)
            if pod is None:
                continue
            if not pod.spec.node_name:
                pending = True
                on_its_way = on_its_way or self._scheduler.snapshot.where(key) is not None
            elif DURATION in pod.metadata.annotations or life.running_ns < 0:
                return False
        if self._jobs_between_pods():
            return False
        if not pending or now - self._since >= QUIET_NS:
            return True
        if on_its_way or now - self._since < UNSEEN_NS:
            return False
        counts = self._scheduler.queue.counts()
        return not counts["active"] and not counts["backoff"] and not self._one_fits()

    def _one_fits(self) -> bool:
        """Whether some pod that waits fits on some node, so that its next attempt may place it: it was not woken with
        others of its class, say, or a gang has room for some of its members."""
        queue, snapshot = self._scheduler.queue, self._scheduler.snapshot
        return any(snapshot.feasible(queue.waiting(cls)).any() for cls in queue.waiting_classes())

    def _rounds_to_settle(self) -> bool:
        """Whether the book of training jobs is behind the cluster: who keeps it was away when the last ones ended."""
        return self._rounds is not None and self._rounds.loop.next_s is not None

    def _jobs_between_pods(self) -> bool:
        """Whether some Job is about to make a pod: its first, or one for a pod that it lost. A training job goes on in
        rounds until it is complete, whether it has pods now or not."""
        jobs = self._cluster.server.objects("Job")
        if not jobs:
            return False
        with_pod = {
            owner.uid
            for pod in self._cluster.server.objects("Pod").values()
            if pod.metadata.deletion_timestamp is None
            for owner in pod.metadata.owner_references
        }
        return any(
            (job.metadata.uid not in with_pod or TRAINING in job.metadata.annotations)
            and (not job.spec.suspend or TRAINING in job.metadata.annotations)  # those are suspended between rounds
            and not any(told.type in ("Complete", "Failed") and told.status == "True" for told in job.status.conditions)
            for job in jobs.values()
        )
