"""The status of a Job, from the verdict on it.

Source: pkg/controller/job/job_controller.go trackJobStatusAndRemoveFinalizers, enactJobFinished (1.32).
"""

from __future__ import annotations

from msgspec.structs import replace

from harness.controllers.workloads.job.indexes import text_of
from harness.controllers.workloads.job.pods import JobPods
from harness.controllers.workloads.job.verdict import CRITERIA_MET, FAILURE_TARGET, JobOutcome
from harness.engine.component import Instant
from harness.model.meta import Condition, condition
from harness.model.wire import Time
from harness.model.workloads import COMPLETE, FAILED, Job, JobStatus

SUSPENDED = "Suspended"

_FINAL = {CRITERIA_MET: COMPLETE, FAILURE_TARGET: FAILED}


def status_of(now: Instant, job: Job, pods: JobPods, verdict: JobOutcome, expected: int) -> JobStatus:
    """`expected`: pods created and not seen yet."""
    old, decided = job.status, verdict.condition
    conditions, start = old.conditions, old.start_time
    completion = old.completion_time
    if decided is None:
        conditions, start = _suspension(now, job)
    else:
        if condition(conditions, decided.type) is None:
            conditions = (*conditions, decided)
        over = pods.empty and not expected and not (verdict.waiting.succeeded or verdict.waiting.failed)
        if over:
            final = replace(decided, type=_FINAL[decided.type], last_transition_time=Time(now))
            conditions = (*conditions, final)
            if final.type == COMPLETE:
                completion = Time(now)
    if start is None and not job.spec.suspend:
        start = Time(now)
    return JobStatus(
        active=(len(pods.active) + expected) or None,
        ready=len(pods.ready),
        terminating=len(pods.going),
        succeeded=verdict.counted_succeeded or None,
        failed=verdict.counted_failed or None,
        start_time=start,
        completion_time=completion,
        conditions=conditions,
        completed_indexes="" if verdict.done is None else text_of(verdict.done),
        failed_indexes=None if verdict.lost is None else text_of(verdict.lost),
        uncounted_terminated_pods=verdict.waiting,
        extra=old.extra,
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
