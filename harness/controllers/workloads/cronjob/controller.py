"""The CronJob controller: Jobs at the times of a schedule, told apart by the minute in their names.

Source: pkg/controller/cronjob/cronjob_controllerv2.go (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from harness.controllers.runtime.pods import controller_of
from harness.controllers.runtime.reconciler import Reconciler
from harness.controllers.workloads.cronjob.jobs import job_name, new_job, reference_to, to_forget
from harness.controllers.workloads.cronjob.schedule import MANY_MISSED, Timetable, latest_start, next_start
from harness.engine.component import MS, SECOND, Create, Delete, Instant, LazyWatch, Outcome, Update
from harness.model.cron import parse_cron, time_zone
from harness.model.cron_jobs import CronJob, CronJobStatus
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS, Time
from harness.model.workloads import COMPLETE, Job, finished_condition

LATER_NS = 100 * MS
"""After the time of a start it is looked at, lest a clock that is behind sees it early. Source: nextScheduleDelta."""

_IN_SCHEDULE = ("CRON_TZ=", "TZ=")


class _Start(NamedTuple):
    """A Job that is being made, and the status that follows: with the Job once it is made, else without it."""

    status: CronJobStatus
    at_s: int


class CronJobController(Reconciler):
    """Keys are 'namespace/name' of CronJobs. `epoch_unix_ns`: instant 0 by the calendar (harness.engine.component)."""

    epoch_unix_ns = VIRTUAL_EPOCH_UNIX_NS

    def __init__(self, name: str = "cronjob-controller") -> None:
        super().__init__(name, {"CronJob": self._cron_job_changed, "Job": self._job_changed}, {"Job": _is_scheduled})
        self.lazy_watches = (LazyWatch(("Job",), {"CronJob": None}),)
        self._jobs = self.informer.index("Job", _owner_uid)
        self._keys: dict[str, str] = {}  # uid -> key
        self._unseen: dict[str, None] = {}  # uids of Jobs that were made and not heard of yet
        self._starts: dict[str, _Start] = {}  # by key, while a Job is made

    def forget_all(self) -> None:
        super().forget_all()
        self._keys.clear()
        self._unseen.clear()
        self._starts.clear()

    # -- what happened -------------------------------------------------------------------------------------------------

    def _cron_job_changed(self, old: CronJob | None, new: CronJob | None) -> None:
        if new is None:
            assert old is not None
            self._keys.pop(old.metadata.uid, None)
            self._starts.pop(old.metadata.key, None)
            return
        key = new.metadata.key
        self._keys[new.metadata.uid] = key
        spec = new.spec
        if old is not None and (old.spec.schedule, old.spec.time_zone) != (spec.schedule, spec.time_zone):
            try:  # what the new schedule would have had before is not made up for
                at = self._instant(next_start(self._timetable(new), self._unix_s(self.now)))
            except ValueError:
                text = f"unparseable schedule for cronjob: {spec.schedule}"
                self.record(new, "Warning", "UnParseableCronJobSchedule", text)
            else:
                self.queue.add_at(key, at + LATER_NS)
            return
        self.queue.add(key)

    def _job_changed(self, old: Job | None, new: Job | None) -> None:
        for job in (old, new):
            owner = None if job is None else controller_of(job, "CronJob")
            if job is not None and owner is not None:
                self._unseen.pop(job.metadata.uid, None)
                if owner.uid in self._keys:
                    self.queue.add(self._keys[owner.uid])

    # -- what to do ----------------------------------------------------------------------------------------------------

    def reconcile(self, now: Instant, key: str) -> None:
        cron_job: CronJob | None = self.informer.get("CronJob", key)
        if cron_job is None:
            return
        jobs: Mapping[str, Job] = self._jobs[cron_job.metadata.uid]
        status = self._seen(cron_job, jobs)
        started = cron_job.metadata.deletion_timestamp is None and self._start(now, key, cron_job, status)
        for job in to_forget(cron_job, jobs.values()):
            self._delete(key, job)
        if not started and status != cron_job.status:
            self.write(key, Update(replace(cron_job, status=status), "status", key))

    def _seen(self, cron_job: CronJob, jobs: Mapping[str, Job]) -> CronJobStatus:
        """The status, by the Jobs that there are. Source: syncCronJob, its first half."""
        status = cron_job.status
        active = {item.uid: item for item in status.active}
        succeeded = status.last_successful_time
        there = set()
        for job in jobs.values():
            uid, over = job.metadata.uid, finished_condition(job)
            there.add(uid)
            if uid not in active and over is None:
                text = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
                self.record(cron_job, "Warning", "UnexpectedJob", text)
            elif uid in active and over is not None:
                del active[uid]
                text = f"Saw completed job: {job.metadata.name}, condition: {over.type}"
                self.record(cron_job, "Normal", "SawCompletedJob", text)
            if over is not None and over.type == COMPLETE:
                at = job.status.completion_time
                if succeeded is None or (at is not None and at > succeeded):
                    succeeded = at
        for uid, item in tuple(active.items()):
            if uid not in there and uid not in self._unseen:
                del active[uid]
                self.record(cron_job, "Normal", "MissingJob", f"Active job went missing: {item.name}")
        return replace(status, active=tuple(active.values()), last_successful_time=succeeded)

    def _start(self, now: Instant, key: str, cron_job: CronJob, status: CronJobStatus) -> bool:
        """Whether a Job is being made, after which the status is written. Source: syncCronJob, its second half."""
        spec = cron_job.spec
        table = self._readable(cron_job)
        if table is None:
            return False
        now_s = self._unix_s(now)
        try:
            latest = latest_start(table, now_s, within_deadline=True)
            self.queue.add_at(key, self._instant(next_start(table, now_s)) + LATER_NS)
        except ValueError as error:
            self.record(cron_job, "Warning", "InvalidSchedule", f"invalid schedule: {spec.schedule} : {error}")
            return False
        at = latest.at_s
        if at is None:
            return False
        if latest.missed > MANY_MISSED:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.record(cron_job, "Warning", "TooManyMissedTimes", text)
        # Never too late: what is looked for is within the deadline. So nobody hears Kubernetes' MissSchedule either.
        if table.last_s == at or any(item.name == job_name(cron_job, at) for item in status.active):
            return False
        if spec.concurrency_policy == "Forbid" and status.active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.record(cron_job, "Normal", "JobAlreadyActive", text)
            return False
        if spec.concurrency_policy == "Replace":
            running = {item.uid for item in status.active}
            for job in self._jobs[cron_job.metadata.uid].values():
                if job.metadata.uid in running and job.metadata.deletion_timestamp is None:
                    self._delete(key, job)
            status = replace(status, active=())
        self._starts[key] = _Start(status, at)
        self.write(key, Create(new_job(cron_job, at, table.zone), key))
        return True

    def _readable(self, cron_job: CronJob) -> Timetable | None:
        """None where it starts nothing, which is told unless somebody wants it so."""
        spec = cron_job.spec
        try:
            time_zone(spec.time_zone or "")
        except ValueError as error:
            text = f'invalid timeZone: "{spec.time_zone}": {error}'
            self.record(cron_job, "Warning", "UnknownTimeZone", text)
            return None
        if spec.suspend:
            return None
        if "TZ" in spec.schedule:
            text = (
                f'CRON_TZ or TZ used in schedule "{spec.schedule}" is not officially supported, see '
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
            self.record(cron_job, "Warning", "UnsupportedSchedule", text)
        try:
            return self._timetable(cron_job)
        except ValueError as error:
            text = f'unparseable schedule: "{spec.schedule}" : {error}'
            self.record(cron_job, "Warning", "UnparseableSchedule", text)
            return None

    def _timetable(self, cron_job: CronJob) -> Timetable:
        """Raises ValueError."""
        spec, meta, last = cron_job.spec, cron_job.metadata, cron_job.status.last_schedule_time
        text, zone = spec.schedule, spec.time_zone
        for prefix in _IN_SCHEDULE:
            if text.startswith(prefix):
                zone, _, text = text.removeprefix(prefix).partition(" ")
        return Timetable(
            schedule=parse_cron(text.strip()),
            zone=time_zone(zone or ""),
            created_s=self._unix_s(meta.creation_timestamp or 0),
            last_s=None if last is None else self._unix_s(last),
            deadline_s=spec.starting_deadline_seconds,
        )

    def _delete(self, key: str, job: Job) -> None:
        meta = job.metadata
        self.write(key, Delete("Job", meta.namespace, meta.name, meta.uid, None, "Background", key))

    def _unix_s(self, at: Instant) -> int:
        return (self.epoch_unix_ns + at) // SECOND

    def _instant(self, unix_s: int) -> Instant:
        return unix_s * SECOND - self.epoch_unix_ns

    # -- what came of it -----------------------------------------------------------------------------------------------

    def succeeded(self, key: str, outcome: Outcome) -> None:
        effect, cron_job = outcome.effect, self.informer.get("CronJob", key)
        if cron_job is None:
            return
        if isinstance(effect, Create):
            assert outcome.obj is not None
            self.record(cron_job, "Normal", "SuccessfulCreate", f"Created job {outcome.obj.metadata.name}")
            self._made(key, outcome.obj)
        elif isinstance(effect, Delete):
            self.record(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {effect.name}")

    def _made(self, key: str, job: Job) -> None:
        if self.informer.get("Job", job.metadata.key) is None:
            self._unseen[job.metadata.uid] = None
        start = self._starts[key]
        active = (*start.status.active, reference_to(job))
        status = replace(start.status, active=active, last_schedule_time=Time(self._instant(start.at_s)))
        self._starts[key] = _Start(status, start.at_s)

    def failed(self, key: str, outcome: Outcome) -> bool:
        effect, error = outcome.effect, outcome.error
        assert error is not None
        cron_job: CronJob | None = self.informer.get("CronJob", key)
        if isinstance(effect, Create):
            if cron_job is None or (error.code == 403 and "being terminated" in error.message):
                return False
            if error.code == 409:  # made before, by a process that could not write the status any more
                job: Job | None = self.informer.get("Job", effect.obj.metadata.key)
                owner = None if job is None else controller_of(job, "CronJob")
                if job is not None and owner is not None and owner.uid == cron_job.metadata.uid:
                    self._made(key, job)
                    return False
            if error.code != 409:
                self.record(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
        elif isinstance(effect, Delete) and cron_job is not None and error.code != 404:
            self.record(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            self._not_replaced(key, cron_job, effect)
        return super().failed(key, outcome)

    def _not_replaced(self, key: str, cron_job: CronJob, effect: Delete) -> None:
        """It stays in the status while it runs."""
        start, job = self._starts.get(key), self.informer.get("Job", f"{effect.namespace}/{effect.name}")
        if start is not None and job is not None and finished_condition(job) is None:
            left = tuple(item for item in cron_job.status.active if item.uid == effect.uid)
            self._starts[key] = _Start(replace(start.status, active=(*left, *start.status.active)), start.at_s)

    def settled(self, now: Instant, key: str, failures: Sequence[Outcome]) -> None:
        """The status tells what was seen, whether or not a Job was made. Source: sync, updateStatusAfterSync."""
        start = self._starts.pop(key, None)
        cron_job: CronJob | None = self.informer.get("CronJob", key)
        if start is not None and cron_job is not None and start.status != cron_job.status:
            self.write(key, Update(replace(cron_job, status=start.status), "status", key))
            if not failures:
                return
        super().settled(now, key, failures)


def _owner_uid(job: Any) -> tuple[str, ...]:
    owner = controller_of(job, "CronJob")
    return () if owner is None else (owner.uid,)


def _is_scheduled(job: Job) -> bool:
    return controller_of(job, "CronJob") is not None
