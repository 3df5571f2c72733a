"""CronJobs (batch/v1), and the template of the pods that anything makes."""

from __future__ import annotations

from typing import Any

from harness.model.core import ObjectReference, PodTemplateSpec
from harness.model.meta import ObjectMeta
from harness.model.wire import Time, Wire
from harness.model.workloads import JobSpec


class JobTemplateSpec(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: JobSpec = JobSpec()


class CronJobSpec(Wire, frozen=True, kw_only=True):
    schedule: str = ""
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = ""  # Allow, Forbid, Replace
    suspend: bool | None = None
    job_template: JobTemplateSpec = JobTemplateSpec()
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None


class CronJobStatus(Wire, frozen=True, kw_only=True):
    active: tuple[ObjectReference, ...] = ()
    last_schedule_time: Time | None = None
    last_successful_time: Time | None = None


class CronJob(Wire, frozen=True, kw_only=True):
    """batch/v1: Jobs at the times of a schedule."""

    metadata: ObjectMeta = ObjectMeta()
    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()


def pod_template(obj: Any) -> tuple[PodTemplateSpec | None, str]:
    """(the template of the pods that an object makes, its path); (None, '') of what makes none."""
    if isinstance(obj, CronJob):
        return obj.spec.job_template.spec.template, "spec.jobTemplate.spec.template"
    template = getattr(getattr(obj, "spec", None), "template", None)
    return (template, "spec.template") if isinstance(template, PodTemplateSpec) else (None, "")
