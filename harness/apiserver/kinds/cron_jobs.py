"""CronJob.

Source: pkg/apis/batch: validation ValidateCronJobSpec, v1/defaults.go SetDefaults_CronJob; printers.go (1.32).
"""

from __future__ import annotations

from typing import Any

from harness.apiserver.defaults.pod_spec import default_template
from harness.apiserver.kinds.jobs import default_failure_policy
from harness.apiserver.kinds.rules import KindRules, Table
from harness.apiserver.registry.lifecycle import replaced
from harness.apiserver.registry.table_cells import (
    NONE,
    TEMPLATE_COLUMNS,
    Moment,
    created,
    name_of,
    part,
    template_cells,
)
from harness.apiserver.validation import names
from harness.apiserver.validation.causes import at_least, required, unsupported, wrong
from harness.apiserver.validation.jobs import job_spec_problems
from harness.model.cron import parse_cron, time_zone
from harness.model.cron_jobs import CronJob, CronJobSpec
from harness.model.objects import KINDS
from harness.model.status import Cause
from harness.model.wire import Json, encode

LONGEST_NAME = 52
"""A Job's has 11 more: a dash and the minutes since 1970. Source: ValidateCronJobCreate (1.32)."""

POLICIES = ("Allow", "Forbid", "Replace")


def _defaults(obj: CronJob) -> CronJob:
    spec = obj.spec
    job = spec.job_template.spec
    policy = None if job.pod_failure_policy is None else default_failure_policy(job.pod_failure_policy)
    defaulted = replaced(job, template=default_template(job.template), pod_failure_policy=policy)
    template = replaced(spec.job_template, spec=defaulted)
    successful, failed = spec.successful_jobs_history_limit, spec.failed_jobs_history_limit
    return replaced(
        obj,
        spec=replaced(
            spec,
            concurrency_policy=spec.concurrency_policy or "Allow",
            suspend=bool(spec.suspend),
            successful_jobs_history_limit=3 if successful is None else successful,
            failed_jobs_history_limit=1 if failed is None else failed,
            job_template=template,
        ),
    )


def _problems(new: CronJob, old: CronJob | None) -> list[Cause]:
    found: list[Cause] = []
    spec, before = new.spec, None if old is None else old.spec
    if old is None and len(new.metadata.name) > LONGEST_NAME:
        found.append(wrong("metadata.name", new.metadata.name, f"must be no more than {LONGEST_NAME} characters"))
    _schedule_problems(found, spec, before)
    at_least(found, "spec.startingDeadlineSeconds", spec.starting_deadline_seconds)
    if spec.concurrency_policy not in POLICIES:
        found.append(unsupported("spec.concurrencyPolicy", spec.concurrency_policy, POLICIES))
    at_least(found, "spec.successfulJobsHistoryLimit", spec.successful_jobs_history_limit)
    at_least(found, "spec.failedJobsHistoryLimit", spec.failed_jobs_history_limit)
    at, job = "spec.jobTemplate", spec.job_template
    found += names.part_problems(job.metadata, f"{at}.metadata")
    job_spec_problems(found, job.spec, None if before is None else before.job_template.spec, f"{at}.spec")
    if job.spec.selector is not None:
        found.append(wrong(f"{at}.spec.selector", encode(job.spec.selector), "`selector` will be auto-generated"))
    if job.spec.manual_selector:
        found.append(unsupported(f"{at}.spec.manualSelector", True, ("nil", "false")))
    return found


def _schedule_problems(found: list[Cause], spec: CronJobSpec, old: CronJobSpec | None) -> None:
    """Source: validateScheduleFormat, validateTimeZone. A zone within the schedule stays where there was one before."""
    schedule, zone = spec.schedule, spec.time_zone
    if not schedule:
        found.append(required("spec.schedule"))
    elif "TZ" in schedule:
        if old is None or "TZ" not in old.schedule:
            why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            found.append(wrong("spec.schedule", schedule, why))
    else:
        try:
            parse_cron(schedule)
        except ValueError as error:
            found.append(wrong("spec.schedule", schedule, str(error)))
    if zone is None:
        return
    if not zone:
        found.append(wrong("spec.timeZone", zone, "timeZone must be nil or non-empty string"))
    elif zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        found.append(wrong("spec.timeZone", zone, why))
    else:
        try:
            time_zone(zone)
        except ValueError as error:
            found.append(wrong("spec.timeZone", zone, str(error)))


def _cells(obj: Json, moment: Moment) -> list[Any]:
    last = part(obj, "status", "lastScheduleTime")
    job = part(obj, "spec", "jobTemplate") or {}
    return [
        name_of(obj),
        part(obj, "spec", "schedule") or "",
        part(obj, "spec", "timeZone") or NONE,
        str(bool(part(obj, "spec", "suspend"))),
        len(part(obj, "status", "active") or []),
        moment.age(last) if last else NONE,
        moment.age(created(obj)),
        *template_cells(job),
    ]


_COLUMNS = ("Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age", *TEMPLATE_COLUMNS)

RULES = (
    KindRules(
        kind=KINDS["CronJob"],
        defaults=_defaults,
        validate=_problems,
        counts_generation=True,
        table=Table(_COLUMNS, _cells),
    ),
)
