"""CronJobs: a Job at each time of the schedule, none twice, late ones by the rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from harness.controllers.objects.garbage_collector import GarbageCollector
from harness.controllers.workloads.cronjob.controller import CronJobController
from harness.controllers.workloads.cronjob.schedule import NEVER, Timetable, latest_start, next_start
from harness.convergence.checkers import check
from harness.convergence.cluster_state import ClusterState
from harness.engine.component import Create, Delete, Update
from harness.model.core import ObjectReference
from harness.model.cron import parse_cron
from harness.model.cron_jobs import CronJob
from harness.model.meta import Condition
from harness.model.objects import from_wire
from harness.model.status import ApiError, forbidden
from harness.model.wire import VIRTUAL_EPOCH_UNIX_NS, Time
from harness.model.workloads import Job
from tests.controllers.rig import Rig

MINUTE, HOUR = 60, 3600
EPOCH_MINUTES = VIRTUAL_EPOCH_UNIX_NS // 10**9 // 60


def cron_job(schedule: str = "*/5 * * * *", name: str = "tick", **spec: Any) -> CronJob:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    job = {"metadata": {"labels": {"of": name}, "annotations": {"a": "b"}}, "spec": {"template": template}}
    meta = {"name": name, "namespace": "default"}
    made: CronJob = from_wire(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": meta,
            "spec": {"schedule": schedule, "jobTemplate": job, **spec},
        }
    )
    return made


class Clock(Rig):
    def __init__(self, *more: Any) -> None:
        self.controller = CronJobController()
        super().__init__(self.controller, *more)

    @property
    def tick(self) -> CronJob:
        found: CronJob = self.get("CronJob", "tick")
        return found

    def jobs(self) -> list[Job]:
        return [*self.server.listed("Job")]

    def minutes(self) -> list[int]:
        """Of each Job: the minute of the run that it was for."""
        return sorted(int(job.metadata.name.rpartition("-")[2]) - EPOCH_MINUTES for job in self.jobs())

    def active(self) -> list[int]:
        return [int(item.name.rpartition("-")[2]) - EPOCH_MINUTES for item in self.tick.status.active]

    def end(self, job: Job, kind: str = "Complete") -> None:
        """Somebody's Job controller says that it is over."""
        job = self.get("Job", job.metadata.name)
        said = Condition(type=kind, status="True", last_transition_time=Time(self.now))
        done = Time(self.now) if kind == "Complete" else None
        status = replace(
            job.status, conditions=(said,), start_time=job.metadata.creation_timestamp, completion_time=done
        )
        self.do(Update(replace(job, status=status), "status"))
        self.run()

    def said(self, reason: str) -> list[str]:
        return [event.message for event in self.events(reason)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_failure_policy_of_the_template_has_its_defaults_like_a_jobs(clock: Clock) -> None:
    """Seed 9020: a condition without a status was refused in a CronJob, and taken in a Job. Source: batch
    v1/defaults.go SetDefaults_PodFailurePolicyOnPodConditionsPattern (1.32)."""
    container = {"name": "c", "image": "i"}
    job = {
        "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
        "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]},
    }
    made = clock.create(cron_job(jobTemplate={"spec": job}))
    policy = made.spec.job_template.spec.pod_failure_policy
    assert policy is not None
    assert policy.rules[0].on_pod_conditions[0].status == "True"


def test_a_job_at_each_time(clock: Clock) -> None:
    made = clock.create(cron_job())
    clock.run(12 * MINUTE)
    assert clock.minutes() == [5, 10]
    job = clock.jobs()[0]
    assert job.metadata.name == f"tick-{EPOCH_MINUTES + 5}"
    assert job.metadata.labels == {"of": "tick"}
    assert job.metadata.annotations == {
        "a": "b",
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2025-01-01T00:05:00Z",
    }
    (owner,) = job.metadata.owner_references
    assert (owner.api_version, owner.kind, owner.uid, owner.controller) == (
        "batch/v1", "CronJob", made.metadata.uid, True,
    )  # fmt: skip
    status = clock.tick.status
    assert status.last_schedule_time == 10 * MINUTE * 10**9
    assert [item.uid for item in status.active] == [item.metadata.uid for item in clock.jobs()]
    assert clock.said("SuccessfulCreate") == [f"Created job {item.metadata.name}" for item in clock.jobs()]


def test_a_job_that_is_over_leaves_the_status_and_is_told(clock: Clock) -> None:
    clock.create(cron_job())
    clock.run(6 * MINUTE)
    (job,) = clock.jobs()
    clock.end(job)
    assert clock.active() == []
    assert clock.tick.status.last_successful_time == clock.jobs()[0].status.completion_time
    assert clock.said("SawCompletedJob") == [f"Saw completed job: {job.metadata.name}, condition: Complete"]


def test_forbid_waits_for_the_one_before_and_starts_late(clock: Clock) -> None:
    clock.create(cron_job(concurrencyPolicy="Forbid"))
    clock.run(17 * MINUTE)
    assert clock.minutes() == [5]
    assert len(clock.events("JobAlreadyActive")) == 1  # counted there
    clock.end(clock.jobs()[0])
    assert clock.minutes() == [5, 15]


def test_replace_deletes_the_one_before(clock: Clock) -> None:
    clock.create(cron_job(concurrencyPolicy="Replace"))
    clock.run(17 * MINUTE)
    assert clock.minutes() == [15]
    assert clock.active() == [15]
    assert len(clock.said("SuccessfulDelete")) == 2
    assert not clock.events("MissingJob")


def test_a_start_that_is_too_late_is_missed(clock: Clock) -> None:
    clock.create(cron_job(concurrencyPolicy="Forbid", startingDeadlineSeconds=30))
    clock.run(12 * MINUTE)
    clock.end(clock.jobs()[0])
    assert clock.minutes() == [5]
    clock.run(4 * MINUTE)
    assert clock.minutes() == [5, 15]


def test_suspended_it_starts_nothing_and_resumed_what_was_due_last(clock: Clock) -> None:
    clock.create(cron_job(suspend=True))
    clock.run(13 * MINUTE)
    assert clock.minutes() == []
    clock.change("CronJob", "tick", suspend=False)
    clock.run()
    assert clock.minutes() == [10]


def test_the_history_is_kept_within_its_limits(clock: Clock) -> None:
    clock.create(cron_job("* * * * *", successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1))
    for minute in range(1, 8):
        clock.run(MINUTE + 1 if minute == 1 else MINUTE - 1)
        clock.end(clock.jobs()[-1], "Failed" if minute % 3 == 0 else "Complete")
    assert clock.minutes() == [5, 6, 7]
    assert clock.active() == []
    assert len(clock.said("SuccessfulDelete")) == 4


def test_without_limits_all_is_kept(clock: Clock) -> None:
    clock.create(cron_job("* * * * *", successfulJobsHistoryLimit=9))
    for _ in range(6):
        clock.run(MINUTE)
        for job in clock.jobs():
            if not job.status.conditions:
                clock.end(job)
    assert len(clock.jobs()) == 6


def test_a_hundred_missed_starts_are_told_and_the_last_one_made_up_for(clock: Clock) -> None:
    clock.create(cron_job("* * * * *", suspend=True))
    clock.run(150 * MINUTE + 30)
    clock.change("CronJob", "tick", suspend=False)
    clock.run()
    assert clock.minutes() == [150]
    text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
    assert clock.said("TooManyMissedTimes") == [text]


def test_what_a_new_schedule_would_have_had_before_is_not_made_up_for(clock: Clock) -> None:
    clock.create(cron_job("0 0 1 1 *"))
    clock.run(17 * MINUTE)
    clock.change("CronJob", "tick", schedule="*/5 * * * *")
    clock.run(2 * MINUTE)
    assert clock.minutes() == []
    clock.run(2 * MINUTE)
    assert clock.minutes() == [20]


def test_a_job_that_somebody_deletes_is_missing(clock: Clock) -> None:
    clock.create(cron_job(concurrencyPolicy="Forbid"))
    clock.run(6 * MINUTE)
    name = clock.jobs()[0].metadata.name
    clock.do(Delete("Job", "default", name, propagation="Background"))
    clock.run()
    assert clock.said("MissingJob") == [f"Active job went missing: {name}"]
    assert clock.active() == []
    clock.run(5 * MINUTE)
    assert clock.minutes() == [10]


def test_a_process_that_dies_between_job_and_status_starts_no_second_one(clock: Clock) -> None:
    """Its successor finds the name taken, by a Job of its own. Source: syncCronJob, IsAlreadyExists (1.32)."""
    refused = forbidden("cronjobs", "tick", "the status is not written")
    clock.refuse = lambda name, effect: refused if isinstance(effect, Update) else None
    clock.create(cron_job())
    clock.run(5 * MINUTE + 2)
    assert (clock.minutes(), clock.active()) == ([5], [])
    clock.refuse = lambda name, effect: None
    clock.start(clock.controller)
    clock.run(5)
    assert (clock.minutes(), clock.active()) == ([5], [5])
    assert clock.tick.status.last_schedule_time == 5 * MINUTE * 10**9


def test_a_job_that_is_refused_is_told_and_tried_again(clock: Clock) -> None:
    quota = forbidden("jobs", "", "exceeded quota")
    clock.refuse = lambda name, effect: quota if isinstance(effect, Create) else None
    clock.create(cron_job())
    clock.run(5 * MINUTE + 3)
    assert clock.minutes() == []
    assert "Error creating job" in clock.said("FailedCreate")[0]
    clock.refuse = lambda name, effect: None
    clock.run(20)
    assert (clock.minutes(), clock.active()) == ([5], [5])


def test_a_job_that_is_over_leaves_the_status_though_the_next_is_refused(clock: Clock) -> None:
    """Source: cronjob_controllerv2.go sync: what syncCronJob saw is written before its error is returned (1.32)."""
    clock.create(cron_job())
    clock.run(6 * MINUTE)
    quota = forbidden("jobs", "", "exceeded quota")
    clock.refuse = lambda name, effect: quota if isinstance(effect, Create) else None
    clock.run(4 * MINUTE + 3)
    assert clock.active() == [5]
    clock.end(clock.jobs()[0])
    assert (clock.minutes(), clock.active()) == ([5], [])
    status = clock.tick.status
    assert (status.last_schedule_time, status.last_successful_time is None) == (5 * MINUTE * 10**9, False)
    clock.run(30 * MINUTE)
    assert len(clock.events("SawCompletedJob")) == 1
    assert sum(isinstance(effect, Update) for _, effect in clock.sent) == 2, "once with its Job, once without"


def test_a_job_that_cannot_be_replaced_stays_in_the_status(clock: Clock) -> None:
    clock.create(cron_job(concurrencyPolicy="Replace"))
    clock.run(6 * MINUTE)
    no = forbidden("jobs", "", "no")
    clock.refuse = lambda name, effect: no if isinstance(effect, Create | Delete) else None
    clock.run(4 * MINUTE + 3)
    assert (clock.minutes(), clock.active()) == ([5], [5])
    assert clock.events("FailedDelete")
    assert not clock.events("UnexpectedJob")
    clock.refuse = lambda name, effect: None
    clock.run(20)
    assert (clock.minutes(), clock.active()) == ([10], [10])


def test_what_it_owned_goes_with_it() -> None:
    clock = Clock(GarbageCollector())
    clock.create(cron_job())
    clock.run(11 * MINUTE)
    clock.delete("CronJob", "tick")
    clock.run(5)
    assert clock.jobs() == []


def test_the_zone_says_when_and_its_clock_changes(clock: Clock) -> None:
    begin = round(datetime(2025, 3, 29, 12, tzinfo=UTC).timestamp())
    clock.controller.epoch_unix_ns = begin * 10**9
    clock.create(cron_job("30 3 * * *", timeZone="Europe/Berlin"))
    clock.run(48 * HOUR)
    said = [job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] for job in clock.jobs()]
    assert said == ["2025-03-30T03:30:00+02:00", "2025-03-31T03:30:00+02:00"]
    clock.change("CronJob", "tick", time_zone=None)
    clock.run(24 * HOUR)
    last = clock.jobs()[-1].metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert last == "2025-04-01T03:30:00Z"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"schedule": ""}, "spec.schedule: Required value"),
        ({"schedule": "* * *"}, "expected exactly 5 fields, found 3: [* * *]"),
        ({"schedule": "TZ=UTC * * * * *"}, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ({"timeZone": ""}, "timeZone must be nil or non-empty string"),
        ({"timeZone": "Local"}, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"),
        ({"timeZone": "Mars/Olympus"}, "unknown time zone Mars/Olympus"),
        ({"concurrencyPolicy": "Never"}, 'Unsupported value: "Never": supported values: "Allow", "Forbid", "Replace"'),
        ({"startingDeadlineSeconds": -1}, "must be greater than or equal to 0"),
        ({"successfulJobsHistoryLimit": -1}, "must be greater than or equal to 0"),
        ({"jobTemplate": {"spec": {"template": {}}}}, "spec.jobTemplate.spec.template.spec.containers: Required value"),
        (
            {
                "jobTemplate": {
                    "spec": {
                        "manualSelector": True,
                        "selector": {"matchLabels": {"a": "b"}},
                        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
                    }
                }
            },
            "`selector` will be auto-generated",
        ),
    ],
)
def test_what_is_refused(clock: Clock, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError) as refused:
        clock.create(cron_job(**{"schedule": "* * * * *", **spec}))
    assert said in refused.value.message


def test_a_name_leaves_room_for_the_minutes(clock: Clock) -> None:
    with pytest.raises(ApiError, match="must be no more than 52 characters"):
        clock.create(cron_job(name="a" * 53))


def test_the_defaults(clock: Clock) -> None:
    spec = clock.create(cron_job()).spec
    assert (spec.concurrency_policy, spec.suspend) == ("Allow", False)
    assert (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit) == (3, 1)
    assert spec.job_template.spec.completions is None  # the Job gets those


def table(schedule: str, created: str, last: str = "", deadline_s: int | None = None) -> Timetable:
    return Timetable(parse_cron(schedule), UTC, at(created), at(last) if last else None, deadline_s)


def at(text: str) -> int:
    return round(datetime.fromisoformat(f"2016-05-{text}").replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("timetable", "now", "latest", "following"),
    [
        (table("0 * * * ?", "19T09:00"), "19T09:59", "", "19T10:00"),
        (table("0 * * * ?", "19T09:30"), "19T10:01", "19T10:00", "19T11:00"),
        (table("0 * * * ?", "19T09:00", last="19T10:00"), "19T10:01", "", "19T11:00"),
        (table("0 * * * ?", "19T09:00"), "19T12:10", "19T12:00", "19T13:00"),
        (table("0 * * * ?", "19T09:00", deadline_s=600), "19T12:30", "", "19T13:00"),
        (table("30 6-16/4 * * 1-5", "13T06:00"), "16T06:31", "16T06:30", "16T10:30"),
        (table("30 6-16/4 * * 1-5", "13T06:00", last="13T14:30"), "16T06:00", "", "16T06:30"),
        (table("@every 1h", "19T09:10"), "19T12:15", "19T12:10", "19T13:10"),
    ],
)
def test_published_latest_and_next_starts(timetable: Timetable, now: str, latest: str, following: str) -> None:
    """Source: utils_test.go TestMostRecentScheduleTime, TestNextScheduleTimeDuration and their kind (1.32)."""
    found = latest_start(timetable, at(now), within_deadline=True)
    assert found.at_s == (at(latest) if latest else None)
    assert next_start(timetable, at(now)) == at(following)


def test_a_schedule_that_is_never_due_is_told(clock: Clock) -> None:
    clock.create(cron_job("59 23 31 2 *"))
    clock.run(MINUTE)
    assert clock.said("InvalidSchedule") == [f"invalid schedule: 59 23 31 2 * : {NEVER}"]


def test_the_checker_knows_what_should_be(clock: Clock) -> None:
    clock.create(cron_job(concurrencyPolicy="Replace"))
    clock.run(17 * MINUTE)

    def found(**changed: Any) -> list[str]:
        held = {**clock.server.objects("CronJob")}
        if changed:
            held = {key: replace(obj, status=replace(obj.status, **changed)) for key, obj in held.items()}
        return [
            item.what
            for item in check(
                ClusterState(lambda kind: held if kind == "CronJob" else objects(kind), clock.now), ["cron-jobs"]
            )
        ]

    def objects(kind: str) -> Any:
        return clock.server.objects(kind)

    assert found() == []
    assert found(active=(ObjectReference(name="ghost"),)) == ["lists ghost, which does not run"]
    assert found(last_schedule_time=Time(5 * MINUTE * 10**9)) == [f"no Job since {5 * MINUTE * 10**9}, one is due"]
