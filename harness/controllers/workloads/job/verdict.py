"""The verdict on a Job: what has succeeded and failed, whether that is enough or too much, and whom to let go.

Source: pkg/controller/job/job_controller.go syncJob, trackJobStatusAndRemoveFinalizers (1.32).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from harness.controllers.workloads.job.failure_policy import has_failed, matched_rule
from harness.controllers.workloads.job.indexes import (
    all_failures_of,
    counts_per_index,
    fails_index,
    is_indexed,
    parsed,
    valid_index,
)
from harness.controllers.workloads.job.pods import FINALIZER, JobPods, finished_at, restarts
from harness.controllers.workloads.job.success_policy import met_rule
from harness.engine.component import SECOND, Instant
from harness.model.core import Pod
from harness.model.meta import Condition, condition
from harness.model.wire import Time
from harness.model.workloads import Job, JobStatus, UncountedTerminatedPods

MAX_UNCOUNTED = 500
"""Pods that one status holds between ended and counted. Source: job.MaxUncountedPods."""

CRITERIA_MET, FAILURE_TARGET = "SuccessCriteriaMet", "FailureTarget"
"""Decided, and waiting for the last pods to be gone. Source: batch/v1 JobConditionType."""

_NOTHING = UncountedTerminatedPods()


class JobOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """`succeeded` and `failed` count every pod that was ever seen to, each once. `done`: indexes, of Indexed Jobs;
    `lost`: those that have failed, where each has a limit of its own. `last_failed`: by index, pods that are kept for
    their count of failures until another pod takes their place. `released`: whose finalizer has done its work."""

    succeeded: int
    failed: int
    done: frozenset[int] | None
    lost: frozenset[int] | None
    last_failed: Mapping[int, Pod]
    counted_succeeded: int  # of them in the status for good
    counted_failed: int
    waiting: UncountedTerminatedPods  # on their way there
    released: tuple[Pod, ...]
    condition: Condition | None  # CRITERIA_MET or FAILURE_TARGET


class _Tally:
    """The pods that a Job has not counted, sorted."""

    def __init__(self, job: Job, pods: JobPods) -> None:
        status = job.status
        held = status.uncounted_terminated_pods or _NOTHING
        self.job = job
        self.here: dict[str, Pod] = {pod.metadata.uid: pod for pod in pods.uncounted.values()}
        self.succeeded = [uid for uid in held.succeeded if uid in self.here]
        self.failed = [uid for uid in held.failed if uid in self.here]
        self.counted_succeeded = (status.succeeded or 0) + len(held.succeeded) - len(self.succeeded)
        self.counted_failed = (status.failed or 0) + len(held.failed) - len(self.failed)
        self.more_succeeded: list[Pod] = []
        self.more_failed: list[Pod] = []  # that count
        self.passed: list[Pod] = []  # that have ended, and count nowhere
        self.going: list[Pod] = []  # neither
        self.before: frozenset[int] = frozenset()  # done, as the status says it
        self.done: set[int] | None = None
        if is_indexed(job):
            self.before = frozenset(parsed(status.completed_indexes, job.spec.completions or 0))
            self.done = set(self.before)
        known = {*self.succeeded, *self.failed}
        for uid, pod in self.here.items():
            if uid not in known:
                self._sort(pod)
        self.all_failed = self.counted_failed + len(self.failed) + len(self.more_failed)
        self.all_succeeded = self.counted_succeeded + len(self.succeeded) + len(self.more_succeeded)
        if self.done is not None:
            self.all_succeeded = len(self.done)

    def _sort(self, pod: Pod) -> None:
        index = None if self.done is None else valid_index(self.job, pod)
        off = self.done is not None and index is None
        if pod.status.phase == "Succeeded":
            if self.done is not None and index is not None:
                self.done.add(index)
            (self.passed if off else self.more_succeeded).append(pod)
        elif not has_failed(self.job, pod):
            self.going.append(pod)
        elif off or not matched_rule(self.job.spec.pod_failure_policy, pod).counts:
            self.passed.append(pod)
        else:
            self.more_failed.append(pod)


def ended_pods(job: Job, pods: JobPods) -> Iterator[Pod]:
    """Those that are not counted yet. Source: getNewFinishedPods."""
    for pod in pods.uncounted.values():
        ended = pod.status.phase == "Succeeded" or has_failed(job, pod)
        if ended and (not is_indexed(job) or valid_index(job, pod) is not None):
            yield pod


def judge(now: Instant, job: Job, pods: JobPods) -> JobOutcome:
    tally = _Tally(job, pods)
    lost = _lost(job, pods)
    last_failed = {} if lost is None or tally.done is None else _last_failed(job, pods, tally.done | lost)
    said = _condition(now, job, pods, tally, lost)
    if said is not None or job.metadata.deletion_timestamp is not None:
        last_failed = {}
    kept = {pod.metadata.uid for pod in last_failed.values()}
    failing = tally.more_failed
    if said is not None and said.type == FAILURE_TARGET:
        failing = [*failing, *tally.going]  # whatever has not ended has failed
    succeeded, failed = list(tally.succeeded), list(tally.failed)
    if tally.done is None:
        room = max(MAX_UNCOUNTED - len(succeeded) - len(failed), 0)
        succeeded += [pod.metadata.uid for pod in tally.more_succeeded[:room]]
    for pod in failing:
        if len(succeeded) + len(failed) < MAX_UNCOUNTED and pod.metadata.uid not in kept:
            failed.append(pod.metadata.uid)
    return JobOutcome(
        succeeded=tally.all_succeeded,
        failed=tally.all_failed,
        done=None if tally.done is None else frozenset(tally.done),
        lost=lost,
        last_failed=last_failed,
        counted_succeeded=tally.counted_succeeded if tally.done is None else len(tally.done),
        counted_failed=tally.counted_failed,
        waiting=(
            UncountedTerminatedPods(succeeded=tuple(succeeded), failed=tuple(failed))
            if succeeded or failed
            else _NOTHING
        ),
        released=tuple(islice(_released(job, pods, tally, kept), MAX_UNCOUNTED)),
        condition=said,
    )


def _released(job: Job, pods: JobPods, tally: _Tally, kept: set[str]) -> Iterator[Pod]:
    """Of whom the status, as it was written last, says all that there is to say. Source: canRemoveFinalizer."""
    if not tally.here and job.metadata.deletion_timestamp is None:
        return  # nothing has ended
    for uid in (*tally.succeeded, *tally.failed):
        yield tally.here[uid]
    if tally.done is not None:
        for pod in tally.more_succeeded:
            if valid_index(job, pod) in tally.before:
                yield pod
    for pod in tally.passed:
        if pod.metadata.uid not in kept:
            yield pod
    met, deleting = condition(job.status.conditions, CRITERIA_MET), job.metadata.deletion_timestamp is not None
    if deleting or (met is not None and met.status == "True"):
        yield from tally.going
    if deleting:
        yield from (pod for pod in pods.active.values() if FINALIZER in pod.metadata.finalizers)


def _lost(job: Job, pods: JobPods) -> frozenset[int] | None:
    """Source: calculateFailedIndexes."""
    if not is_indexed(job) or not counts_per_index(job):
        return None
    found = parsed(job.status.failed_indexes or "", job.spec.completions or 0)
    if decided_before(job) is not None:
        return frozenset(found)  # what is deleted from then on has not failed by itself
    for pod in pods.uncounted.values():
        index = valid_index(job, pod)
        if index is not None and has_failed(job, pod) and fails_index(job, pod):
            found.add(index)
    return frozenset(found)


def _last_failed(job: Job, pods: JobPods, over: set[int]) -> dict[int, Pod]:
    """Source: getPodsWithDelayedDeletionPerIndex."""
    at_work = {valid_index(job, pod) for pod in pods.active.values()}
    found: dict[int, Pod] = {}
    for pod in pods.uncounted.values():
        index = valid_index(job, pod)
        if index is None or index in at_work or index in over or not has_failed(job, pod):
            continue
        last = found.get(index)
        if last is None or (all_failures_of(last) <= all_failures_of(pod) and finished_at(pod) >= finished_at(last)):
            found[index] = pod
    return found


def decided_before(job: Job) -> Condition | None:
    """What the status says already."""
    failing = None
    for item in job.status.conditions:
        if item.status == "True":
            if item.type == CRITERIA_MET:
                return item
            if item.type == FAILURE_TARGET:
                failing = item
    return failing


def _condition(now: Instant, job: Job, pods: JobPods, tally: _Tally, lost: frozenset[int] | None) -> Condition | None:
    said = decided_before(job)
    if said is not None:
        return said
    failure = _failure(now, job, pods, tally, lost)
    if failure is not None:
        return _decided(now, FAILURE_TARGET, *failure)
    spec, succeeded = job.spec, tally.all_succeeded
    if tally.done is not None:
        rule = met_rule(job, tally.done)
        if rule is not None:
            return _decided(now, CRITERIA_MET, "SuccessPolicy", f"Matched rules at index {rule}")
    # A work queue: one success says that the work is done, and the other pods finish what they have.
    queue_done = succeeded > 0 and not pods.active
    if queue_done if spec.completions is None else succeeded >= spec.completions:
        return _decided(now, CRITERIA_MET, "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _failure(
    now: Instant, job: Job, pods: JobPods, tally: _Tally, lost: frozenset[int] | None
) -> tuple[str, str] | None:
    """(reason, message)"""
    spec = job.spec
    if spec.pod_failure_policy is not None:
        for pod in pods.uncounted.values():
            if has_failed(job, pod) and (why := matched_rule(spec.pod_failure_policy, pod).why):
                return "PodFailurePolicy", why
    limit = 6 if spec.backoff_limit is None else spec.backoff_limit
    restarted = restarts(pods.active.values()) if spec.template.spec.restart_policy == "OnFailure" else 0
    if tally.all_failed > limit or restarted > limit or (limit and restarted == limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = deadline_at(job, job.status)
    if deadline is not None and now >= deadline:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if lost is None or tally.done is None:
        return None
    if spec.max_failed_indexes is not None and len(lost) > spec.max_failed_indexes:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    if lost and len(lost) + len(tally.done) >= (spec.completions or 0):
        return "FailedIndexes", "Job has failed indexes"
    return None


def _decided(now: Instant, kind: str, reason: str, message: str) -> Condition:
    return Condition(type=kind, status="True", reason=reason, message=message, last_transition_time=Time(now))


def deadline_at(job: Job, status: JobStatus) -> Instant | None:
    """Source: pastActiveDeadline."""
    seconds, since = job.spec.active_deadline_seconds, status.start_time
    if seconds is None or since is None or job.spec.suspend:
        return None
    return since + seconds * SECOND
