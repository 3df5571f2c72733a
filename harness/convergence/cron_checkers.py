"""CronJobs against the Jobs that there are, and against the calendar."""

from __future__ import annotations

from collections.abc import Iterator

from harness.controllers.workloads.cronjob.schedule import Timetable, latest_start
from harness.convergence.cluster_state import ClusterState
from harness.convergence.refusals import job_refused
from harness.engine.component import SECOND
from harness.model.cron import parse_cron, time_zone
from harness.model.cron_jobs import CronJob
from harness.model.workloads import COMPLETE, FAILED, Job, finished_condition

LATE_S = 60
"""A start that was due so long ago has not been overlooked by chance."""


def cron_jobs(state: ClusterState) -> Iterator[tuple[str, str]]:
    """Each unfinished Job of a CronJob is listed in its status, nothing else is; the history is within its limits; no
    start that was due is missing."""
    of_owner: dict[str, list[Job]] = {}
    for job in state.listed("Job"):
        owner = job.metadata.controller()
        if owner is not None and owner.kind == "CronJob":
            of_owner.setdefault(owner.uid, []).append(job)
    item: CronJob
    for item in state.listed("CronJob"):
        if item.metadata.deletion_timestamp is not None:
            continue
        subject, jobs = f"CronJob {item.metadata.key}", of_owner.get(item.metadata.uid, [])
        listed = {active.name for active in item.status.active}
        running = {job.metadata.name for job in jobs if finished_condition(job) is None}
        for name in sorted(listed - running):
            yield subject, f"lists {name}, which does not run"
        if item.spec.concurrency_policy != "Allow" and len(listed & running) > 1:
            yield subject, f"{len(listed & running)} Jobs at work, {item.spec.concurrency_policy} allows one"
        limits = {COMPLETE: item.spec.successful_jobs_history_limit, FAILED: item.spec.failed_jobs_history_limit}
        for kind, limit in limits.items():
            over = [job for job in jobs if (said := finished_condition(job)) is not None and said.type == kind]
            kept = [job for job in over if job.metadata.deletion_timestamp is None]
            if limit is not None and len(kept) > limit:
                yield subject, f"{len(kept)} Jobs are {kind}, {limit} are to be kept"
        yield from _overdue(state, item, bool(running))


def _overdue(state: ClusterState, item: CronJob, running: bool) -> Iterator[tuple[str, str]]:
    spec, last = item.spec, item.status.last_schedule_time
    if spec.suspend or "TZ" in spec.schedule or (spec.concurrency_policy == "Forbid" and running):
        return
    table = Timetable(
        schedule=parse_cron(spec.schedule),
        zone=time_zone(spec.time_zone or ""),
        created_s=(state.epoch_unix_ns + (item.metadata.creation_timestamp or 0)) // SECOND,
        last_s=None if last is None else (state.epoch_unix_ns + last) // SECOND,
        deadline_s=spec.starting_deadline_seconds,
    )
    now_s = (state.epoch_unix_ns + state.now) // SECOND
    try:
        at = latest_start(table, now_s, within_deadline=True).at_s
    except ValueError:
        return
    late = at is not None and now_s - at > LATE_S and (table.deadline_s is None or at + table.deadline_s > now_s)
    if late and not job_refused(state, item):
        yield f"CronJob {item.metadata.key}", f"no Job since {item.status.last_schedule_time}, one is due"
