"""The Jobs of a CronJob: the one to start, those that are over, and which of these to forget.

Source: pkg/controller/cronjob/cronjob_controllerv2.go, utils.go (1.32).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo

from harness.controllers.runtime.pods import owner_reference
from harness.model.core import ObjectReference
from harness.model.cron_jobs import CronJob
from harness.model.meta import ObjectMeta
from harness.model.workloads import COMPLETE, FAILED, Job, finished_condition

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""Annotation of a Job. Source: batch/v1 CronJobScheduledTimestampAnnotation."""


def job_name(cron_job: CronJob, at_s: int) -> str:
    """By the minute, so that no controller starts one twice."""
    return f"{cron_job.metadata.name}-{at_s // 60}"


def new_job(cron_job: CronJob, at_s: int, zone: tzinfo) -> Job:
    """Source: getJobFromTemplate2."""
    template = cron_job.spec.job_template
    said = datetime.fromtimestamp(at_s, zone).isoformat().replace("+00:00", "Z")
    return Job(
        metadata=ObjectMeta(
            namespace=cron_job.metadata.namespace,
            name=job_name(cron_job, at_s),
            labels=template.metadata.labels,
            annotations={**template.metadata.annotations, SCHEDULED_AT: said},
            owner_references=(owner_reference(cron_job, "batch/v1", "CronJob"),),
        ),
        spec=template.spec,
    )


def reference_to(job: Job) -> ObjectReference:
    meta = job.metadata
    return ObjectReference(
        kind="Job",
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        api_version="batch/v1",
        resource_version=meta.resource_version,
    )


def to_forget(cron_job: CronJob, jobs: Iterable[Job]) -> list[Job]:
    """The oldest of those that are over, beyond the limits of the history. Source: cleanupFinishedJobs."""
    spec = cron_job.spec
    out: list[Job] = []
    over = {job.metadata.uid: said.type for job in jobs if (said := finished_condition(job)) is not None}
    for kind, limit in ((COMPLETE, spec.successful_jobs_history_limit), (FAILED, spec.failed_jobs_history_limit)):
        if limit is not None:
            of_kind = sorted((job for job in jobs if over.get(job.metadata.uid) == kind), key=_by_start)
            out += of_kind[: max(len(of_kind) - limit, 0)]
    return [job for job in out if job.metadata.deletion_timestamp is None]


def _by_start(job: Job) -> tuple[bool, int, str]:
    """Source: byJobStartTime."""
    since = job.status.start_time
    return since is None, since or 0, job.metadata.name
