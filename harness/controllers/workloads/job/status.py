"""The verdict on a Job: what has succeeded and failed, whether that is enough or too much, and the status of it.

Source: pkg/controller/job/job_controller.go syncJob, trackJobStatusAndRemoveFinalizers, enactJobFinished.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from harness.controllers.workloads.job.indexes import index_of, parsed, text_of
from harness.controllers.workloads.job.pods import JobPods, restarts
from harness.engine.component import SECOND, Instant
from harness.model.core import Pod
from harness.model.meta import Condition, condition
from harness.model.wire import Time
from harness.model.workloads import Job, JobStatus

MAX_UNCOUNTED = 500
"""Pods that one status holds between ended and counted. Source: job.MaxUncountedPods."""

COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
CRITERIA_MET, FAILURE_TARGET = "SuccessCriteriaMet", "FailureTarget"
"""Decided, and waiting for the last pods to be gone. Source: batch/v1 JobConditionType."""

_FINAL = {CRITERIA_MET: COMPLETE, FAILURE_TARGET: FAILED}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`succeeded` and `failed` count every pod that was ever seen to, each once. `done`: indexes, of Indexed Jobs."""

    succeeded: int
    failed: int
    done: frozenset[int] | None
    counted_succeeded: int  # of them in the status for good
    counted_failed: int
    waiting_succeeded: tuple[str, ...]  # uids on their way there, whose finalizer is still to be removed
    waiting_failed: tuple[str, ...]
    condition: Condition | None  # CRITERIA_MET or FAILURE_TARGET


def finished(job: Job) -> Condition | None:
    for item in job.status.conditions:
        if item.type in (COMPLETE, FAILED) and item.status == "True":
            return item
    return None


def is_indexed(job: Job) -> bool:
    return job.spec.completion_mode == "Indexed"


def uncounted_in(status: JobStatus) -> tuple[list[str], list[str]]:
    """Uids of (succeeded, failed) pods that the status holds. Source: status.uncountedTerminatedPods."""
    held: dict[str, Any] = (status.extra or {}).get("uncountedTerminatedPods") or {}
    return list(held.get("succeeded") or ()), list(held.get("failed") or ())


def judge(now: Instant, job: Job, pods: JobPods) -> Verdict:
    status, spec = job.status, job.spec
    here: dict[str, Pod] = {pod.metadata.uid: pod for pod in pods.uncounted.values()}
    succeeded, failed = uncounted_in(status)
    counted_succeeded = (status.succeeded or 0) + sum(uid not in here for uid in succeeded)
    counted_failed = (status.failed or 0) + sum(uid not in here for uid in failed)
    waiting_succeeded = [uid for uid in succeeded if uid in here]
    waiting_failed = [uid for uid in failed if uid in here]
    known = {*waiting_succeeded, *waiting_failed}
    done: set[int] | None = None
    if is_indexed(job):
        completions = spec.completions or 0
        done = parsed(str((status.extra or {}).get("completedIndexes", "")), completions)
        counted_succeeded = len(done)
    more_succeeded = more_failed = 0
    for uid, pod in here.items():
        if uid in known:
            continue
        room = len(waiting_succeeded) + len(waiting_failed) < MAX_UNCOUNTED
        if pod.status.phase == "Succeeded":
            if done is not None:
                index = index_of(pod)
                if index is not None and index < (spec.completions or 0):
                    done.add(index)
            more_succeeded += 1
            if room:
                waiting_succeeded.append(uid)
        else:
            more_failed += 1
            if room:
                waiting_failed.append(uid)
    all_succeeded = counted_succeeded + sum(uid in here for uid in succeeded) + more_succeeded
    if done is not None:
        all_succeeded = len(done)
    all_failed = counted_failed + sum(uid in here for uid in failed) + more_failed
    return Verdict(
        succeeded=all_succeeded,
        failed=all_failed,
        done=None if done is None else frozenset(done),
        counted_succeeded=counted_succeeded,
        counted_failed=counted_failed,
        waiting_succeeded=tuple(waiting_succeeded),
        waiting_failed=tuple(waiting_failed),
        condition=_condition(now, job, pods, all_succeeded, all_failed),
    )


def _condition(now: Instant, job: Job, pods: JobPods, succeeded: int, failed: int) -> Condition | None:
    for kind in (FAILURE_TARGET, CRITERIA_MET):
        said = condition(job.status.conditions, kind)
        if said is not None and said.status == "True":
            return said
    spec = job.spec
    limit = 6 if spec.backoff_limit is None else spec.backoff_limit
    restarted = restarts(pods.active.values()) if spec.template.spec.restart_policy == "OnFailure" else 0
    if failed > limit or restarted > limit or (limit and restarted == limit):
        return _decided(now, FAILURE_TARGET, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = deadline_at(job)
    if deadline is not None and now >= deadline:
        return _decided(now, FAILURE_TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    if spec.completions is None:
        # A work queue: one success says that the work is done, and the other pods finish what they have.
        complete = succeeded > 0 and not pods.active and not pods.going
    else:
        complete = succeeded >= spec.completions
    if complete and not spec.suspend:
        return _decided(now, CRITERIA_MET, "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _decided(now: Instant, kind: str, reason: str, message: str) -> Condition:
    return Condition(type=kind, status="True", reason=reason, message=message, last_transition_time=Time(now))


def deadline_at(job: Job) -> Instant | None:
    """Source: pastActiveDeadline."""
    seconds, since = job.spec.active_deadline_seconds, job.status.start_time
    if seconds is None or since is None or job.spec.suspend:
        return None
    return since + seconds * SECOND


def status_of(now: Instant, job: Job, pods: JobPods, verdict: Verdict, expected: int) -> JobStatus:
    """`expected`: pods created and not seen yet."""
    old, spec = job.status, job.spec
    conditions, start = _suspension(now, job)
    completion = old.completion_time
    decided = verdict.condition
    if decided is not None:
        if condition(conditions, decided.type) is None:
            conditions = (*conditions, decided)
        over = pods.empty and not expected and not (verdict.waiting_succeeded or verdict.waiting_failed)
        if over:
            final = replace(decided, type=_FINAL[decided.type], last_transition_time=Time(now))
            conditions = (*conditions, final)
            if final.type == COMPLETE:
                completion = Time(now)
    extra = {
        key: value
        for key, value in (old.extra or {}).items()
        if key not in ("uncountedTerminatedPods", "terminating", "completedIndexes")
    }
    held = {
        name: list(uids)
        for name, uids in (("succeeded", verdict.waiting_succeeded), ("failed", verdict.waiting_failed))
        if uids
    }
    if held:
        extra["uncountedTerminatedPods"] = held
    if pods.going:
        extra["terminating"] = len(pods.going)
    succeeded = verdict.counted_succeeded
    if verdict.done is not None:
        succeeded = len(verdict.done)
        if verdict.done:
            extra["completedIndexes"] = text_of(verdict.done)
    if start is None and not spec.suspend:
        start = Time(now)
    return JobStatus(
        active=(len(pods.active) + expected) or None,
        ready=len(pods.ready) or None,
        succeeded=succeeded or None,
        failed=verdict.counted_failed or None,
        start_time=start,
        completion_time=completion,
        conditions=conditions,
        extra=extra or None,
    )


def _suspension(now: Instant, job: Job) -> tuple[tuple[Condition, ...], Time | None]:
    """Conditions, and when it started: anew when it is resumed."""
    conditions, start = job.status.conditions, job.status.start_time
    said = condition(conditions, SUSPENDED)
    suspended = bool(job.spec.suspend)
    if suspended == (said is not None and said.status == "True"):
        return conditions, start
    if suspended:
        new = Condition(type=SUSPENDED, status="True", reason="JobSuspended", message="Job suspended")
    else:
        new = Condition(type=SUSPENDED, status="False", reason="JobResumed", message="Job resumed")
        start = Time(now)
    new = replace(new, last_transition_time=Time(now))
    return (*(item for item in conditions if item.type != SUSPENDED), new), start
