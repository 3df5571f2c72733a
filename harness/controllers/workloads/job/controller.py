"""The Job controller: pods until enough have succeeded or too many failed, each counted exactly once.

A pod carries a finalizer until the status has counted it, so that none is lost or counted twice, whoever deletes it
and whenever this controller restarts. Source: pkg/controller/job/job_controller.go (1.32).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from harness.controllers.runtime.controller_refs import Orphans, adopted
from harness.controllers.runtime.deletion_order import first_to_go
from harness.controllers.runtime.pod_control import BURST, Managing, PodControl
from harness.controllers.runtime.pods import controller_of, is_active
from harness.controllers.runtime.reconciler import Reconciler
from harness.controllers.workloads.job.failure_policy import only_failed_are_replaced
from harness.controllers.workloads.job.indexes import (
    all_failures_of,
    counts_per_index,
    index_of,
    is_indexed,
    next_indexes,
    superfluous,
)
from harness.controllers.workloads.job.new_pods import NewPods, reference_to
from harness.controllers.workloads.job.pods import FINALIZER, Backoff, JobPods, backoff_until, finished_at
from harness.controllers.workloads.job.status import status_of
from harness.controllers.workloads.job.verdict import (
    FAILURE_TARGET,
    JobOutcome,
    deadline_at,
    decided_before,
    ended_pods,
    judge,
)
from harness.engine.component import Create, Instant, LazyWatch, Outcome, Update
from harness.model.core import Pod
from harness.model.meta import OwnerReference, condition
from harness.model.workloads import COMPLETE, Job, finished_condition

MANAGER = "kubernetes.io/job-controller"
"""Jobs whose managedBy says otherwise are another controller's. Source: batch/v1 JobControllerName."""

_LOOSE = "pod "
"""Begins the key of a pod whose Job is gone or over; a Job's key has no space."""


class JobController(PodControl):
    """Keys are 'namespace/name' of Jobs, and of pods that are to be let go (see _LOOSE)."""

    def __init__(self, name: str = "job-controller") -> None:
        super().__init__(name, "Job", {"Job": self._job_changed, "Pod": self._pod_changed})
        self.lazy_watches = (LazyWatch(("Pod",), {"Job": None, "Pod": _is_uncounted}),)
        self._keys: dict[str, str] = {}  # uid -> key
        self._pods: dict[str, JobPods] = {}  # uid ->
        self._backoffs: dict[str, Backoff] = {}  # uid ->
        self._orphans = Orphans()
        self._new_pods = NewPods()
        self._before: dict[str, Job] = {}  # as it was when its status was last written

    def forget_all(self) -> None:
        super().forget_all()
        self._keys.clear()
        self._pods.clear()
        self._backoffs.clear()
        self._orphans.clear()
        self._new_pods.clear()
        self._before.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        if new is None:
            assert old is not None
            meta = old.metadata
            del self._keys[meta.uid]
            self.expected.forget(meta.uid)
            self._backoffs.pop(meta.uid, None)
            self._new_pods.forget(meta.uid)
            self._orphans.adopter(meta.key, meta.namespace, None)
            self._before.pop(meta.key, None)
            self._let_all_go(meta.uid)
            return
        meta = new.metadata
        key = self._keys[meta.uid] = meta.key
        self._orphans.adopter(key, meta.namespace, None if finished_condition(new) else new.spec.selector)
        self.queue.add(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        was = None if old is None else controller_of(old, "Job")
        now = None if new is None else controller_of(new, "Job")
        if old is not None and was is not None and (now is None or now.uid != was.uid):
            self._pod_removed(old, was)
        if new is not None and now is not None:
            known = old is not None and was is not None and was.uid == now.uid
            self._pod_added(old if known else None, new, now)
        if old is not None and not old.metadata.owner_references and (new is None or new.metadata.owner_references):
            self._orphans.drop(old.metadata.key, old)
        elif new is not None and not new.metadata.owner_references:
            before = old if old is not None and not old.metadata.owner_references else None
            if FINALIZER in new.metadata.finalizers:  # no Job counts it any more
                self.queue.add(_LOOSE + new.metadata.key)
            if is_active(new):
                for adopter in self._orphans.put(new.metadata.key, before, new):
                    self.queue.add(adopter)
            elif before is not None:
                self._orphans.drop(new.metadata.key, before)

    def _pod_added(self, old: Pod | None, pod: Pod, owner: OwnerReference) -> None:
        meta, uid = pod.metadata, owner.uid
        key = f"{meta.namespace}/{meta.name}"
        self._pods_of(uid).put(key, pod)
        if meta.deletion_timestamp is not None:
            self.expected.deleted(uid, key)
        elif old is None:
            self.expected.created(uid)
        found = self._keys.get(uid)
        if found is not None:
            self.queue.add(found)
        if FINALIZER in meta.finalizers and (found is None or finished_condition(self.informer.get("Job", found))):
            self.queue.add(_LOOSE + key)

    def _pods_of(self, uid: str) -> JobPods:
        pods = self._pods.get(uid)
        if pods is None:
            pods = self._pods[uid] = JobPods()
        return pods

    def _pod_removed(self, pod: Pod, owner: OwnerReference) -> None:
        uid, key = owner.uid, pod.metadata.key
        self.expected.deleted(uid, key)
        backoff = self._backoffs.get(uid)
        if backoff is not None:
            backoff.forget(pod.metadata.uid)
        found = self._keys.get(uid)
        pods = self._pods.get(uid)
        if pods is not None:
            pods.remove(key)
            if found is None and pods.empty:
                del self._pods[uid]
        if found is not None:
            self.queue.add(found)

    def _let_all_go(self, uid: str) -> None:
        pods = self._pods.get(uid)
        if pods is not None:
            for key in (*pods.active, *pods.uncounted):
                self.queue.add(_LOOSE + key)
            if pods.empty:
                del self._pods[uid]

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        if key.startswith(_LOOSE):
            self._let_go(key)
            return
        job: Job | None = self.informer.get("Job", key)
        if job is None or (job.spec.managed_by or MANAGER) != MANAGER:
            return
        uid = job.metadata.uid
        if finished_condition(job) is not None:
            self._backoffs.pop(uid, None)
            self._new_pods.forget(uid)
            return
        pods = self._pods_of(uid)
        backoff = self._backoffs.get(uid)
        if backoff is None:
            backoff = self._backoffs[uid] = Backoff()
        if pods.uncounted:
            backoff.see(ended_pods(job, pods))
        if self._claim(key, job):
            return
        verdict = judge(now, job, pods)
        if verdict.released:
            for pod in verdict.released:
                self.write(key, Update(_untracked(pod), "", key))
            return
        if self.expected.satisfied(uid, now):
            if verdict.condition is not None:
                # Which indexes have failed is written before pods are deleted, which would look like it.
                if pods.active and (verdict.lost is None or decided_before(job) is not None):
                    self._end(now, key, uid, pods, list(pods.active.values())[:BURST], verdict)
                    return
            elif job.metadata.deletion_timestamp is None and self._manage(now, key, job, pods, verdict):
                return
        else:
            until = self.expected.until(uid)
            if until is not None:
                self.queue.add_at(key, until)
        self._conclude(now, key, job, pods, verdict)

    def _manage(self, now: Instant, key: str, job: Job, pods: JobPods, verdict: JobOutcome) -> bool:
        """As many active pods as there should be. Source: manageJob."""
        spec, active = job.spec, len(pods.active)
        parallelism = 1 if spec.parallelism is None else spec.parallelism
        if spec.suspend:
            wanted = 0
        elif spec.completions is None:
            wanted = active if verdict.succeeded else parallelism
        else:
            wanted = max(min(parallelism, spec.completions - verdict.succeeded), 0)
        extra = superfluous(job, pods.active.values()) if is_indexed(job) else []
        count = min(max(active - wanted, len(extra)), BURST)
        if count > 0:
            # Those that have lost their finalizer were chosen before, and are only to be deleted yet.
            chosen = [pod for pod in pods.active.values() if FINALIZER not in pod.metadata.finalizers][:count]
            taken = {pod.metadata.uid for pod in chosen}
            chosen += [pod for pod in extra if pod.metadata.uid not in taken][: count - len(chosen)]
            taken = {pod.metadata.uid for pod in chosen}
            others = (pod for pod in pods.active.values() if pod.metadata.uid not in taken)
            chosen += first_to_go(others, count - len(chosen), {}, now)
            self._end(now, key, job.metadata.uid, pods, chosen, verdict)
            return True
        going = len(pods.going) if only_failed_are_replaced(job) else 0
        missing = min(wanted - active - going, BURST)
        creations = self._creations(now, key, job, pods, verdict, missing) if missing > 0 else ()
        if not creations:
            return False
        self.create_pods(now, key, job.metadata.uid, creations)
        return True

    def _creations(
        self, now: Instant, key: str, job: Job, pods: JobPods, verdict: JobOutcome, count: int
    ) -> Sequence[Create]:
        """None while it backs off, all indexes or each of its own. Source: getPodCreationInfoForIndependentIndexes."""
        if not counts_per_index(job):
            until = self._backoffs[job.metadata.uid].until(self.constants)
            if until > now:
                self.queue.add_at(key, until)
                return ()
        if verdict.done is None:
            return self._new_pods.alike(key, job, count)
        taken = {*verdict.done, *(verdict.lost or ()), *map(index_of, pods.active.values())}
        if only_failed_are_replaced(job):
            taken.update(index_of(self.informer.get("Pod", going)) for going in pods.going)
        wanted = next_indexes(job.spec.completions or 0, taken, count)
        waits = {
            index: backoff_until(all_failures_of(last) + 1, finished_at(last), self.constants)
            for index, last in verdict.last_failed.items()
        }
        due = [index for index in wanted if waits.get(index, 0) <= now]
        if wanted and not due:
            self.queue.add_at(key, min(waits[index] for index in wanted))
        return self._new_pods.indexed(key, job, due, verdict.last_failed)

    def _end(self, now: Instant, key: str, uid: str, pods: JobPods, chosen: Sequence[Pod], verdict: JobOutcome) -> None:
        """Delete active pods. Those of a Job that fails count as failed; others do not, so they lose their finalizer
        first. Source: deleteActivePods, deleteJobPods."""
        if verdict.condition is None or verdict.condition.type != FAILURE_TARGET:
            marked = [pod for pod in chosen if FINALIZER in pod.metadata.finalizers]
            if marked:
                for pod in marked:
                    self.write(key, Update(_untracked(pod), "", key))
                return
        self.delete_pods(now, key, uid, chosen)

    def _claim(self, key: str, job: Job) -> bool:
        meta, selector = job.metadata, job.spec.selector
        if selector is None or meta.deletion_timestamp is not None:
            return False
        claimed = False
        for pod in list(self._orphans.selected(meta.namespace, selector)):
            mine = adopted(pod, reference_to(job))
            if FINALIZER not in mine.metadata.finalizers:
                finalizers = (*mine.metadata.finalizers, FINALIZER)
                mine = replace(mine, metadata=replace(mine.metadata, finalizers=finalizers))
            self.write(key, Update(mine, "", key))
            claimed = True
        return claimed

    def _let_go(self, key: str) -> None:
        """Source: syncOrphanPod."""
        pod: Pod | None = self.informer.get("Pod", key.removeprefix(_LOOSE))
        if pod is None or FINALIZER not in pod.metadata.finalizers:
            return
        owner = controller_of(pod, "Job")
        found = self._keys.get(owner.uid) if owner is not None else None
        if found is not None and finished_condition(self.informer.get("Job", found)) is None:
            return
        self.write(key, Update(_untracked(pod), "", key))

    def conclude(self, now: Instant, key: str, managed: Managing | None) -> bool:
        job: Job = self.informer.get("Job", key)
        pods = self._pods_of(job.metadata.uid)
        return self._conclude(now, key, job, pods, judge(now, job, pods))

    def _conclude(self, now: Instant, key: str, job: Job, pods: JobPods, verdict: JobOutcome) -> bool:
        uid = job.metadata.uid
        status = status_of(now, job, pods, verdict, self.expected.creations(uid))
        at = deadline_at(job, status)
        if at is not None and verdict.condition is None:
            self.queue.add_at(key, at)
        if status == job.status:
            return False
        self._before[key] = job
        self.write(key, Update(replace(job, status=status), "status", key))
        return True

    def _say(self, old: Job, new: Job) -> None:
        over = finished_condition(new)
        if over is not None:
            if over.type == COMPLETE:
                if new.spec.completions is not None and (new.status.succeeded or 0) > new.spec.completions:
                    text = "Too many succeeded pods running after completion count reached"
                    self.record(new, "Warning", "TooManySucceededPods", text)
                self.record(new, "Normal", "Completed", "Job completed")
            else:
                self.record(new, "Warning", over.reason, over.message)
        was = condition(old.status.conditions, "Suspended")
        now = condition(new.status.conditions, "Suspended")
        if now is not None and (was is None or was.status != now.status):
            self.record(new, "Normal", "Suspended" if now.status == "True" else "Resumed", now.message)

    def succeeded(self, key: str, outcome: Outcome) -> None:
        super().succeeded(key, outcome)
        if isinstance(outcome.effect, Update) and outcome.effect.subresource == "status":
            before = self._before.pop(key, None)
            if before is not None:
                assert outcome.obj is not None
                self._say(before, outcome.obj)

    def failed(self, key: str, outcome: Outcome) -> bool:
        if key.startswith(_LOOSE):
            return Reconciler.failed(self, key, outcome)
        return super().failed(key, outcome)


def _untracked(pod: Pod) -> Pod:
    kept = tuple(item for item in pod.metadata.finalizers if item != FINALIZER)
    return replace(pod, metadata=replace(pod.metadata, finalizers=kept))


def _is_uncounted(pod: Pod) -> bool:
    """It waits to be counted by a Job, which may be gone."""
    return FINALIZER in pod.metadata.finalizers
