"""When a CronJob should have started a Job last, and when it will next.

Source: pkg/controller/cronjob/utils.go mostRecentScheduleTime, nextScheduleTime, nextScheduleTimeDuration (1.32). Times
are seconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from harness.model.cron import CronSchedule, Every

MANY_MISSED = 100
"""Missed starts from which on something is wrong. Source: utils.go mostRecentScheduleTime."""

NEVER = "time difference between two schedules is less than 1 second"
"""Said of a schedule that is never due, such as that of 31 February."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """A schedule in a time zone, for one CronJob."""

    schedule: CronSchedule | Every
    zone: tzinfo
    created_s: int
    last_s: int | None  # status.lastScheduleTime
    deadline_s: int | None  # startingDeadlineSeconds

    def after(self, unix_s: int) -> int:
        """Raises ValueError where there is no such time."""
        found = self.schedule.next_after(unix_s, self.zone)
        if found is None:
            raise ValueError(NEVER)
        return found


class Latest(NamedTuple):
    """`at_s`: the last start that was due, None where there was none; `since_s`: since when starts are looked for."""

    since_s: int
    at_s: int | None
    missed: int


def latest_start(table: Timetable, now_s: int, *, within_deadline: bool) -> Latest:
    """Raises ValueError for a schedule that is never due."""
    since = table.created_s if table.last_s is None else table.last_s
    if within_deadline and table.deadline_s is not None:
        since = max(since, now_s - table.deadline_s)
    first = table.after(since)
    second = table.after(first)
    if now_s < first:
        return Latest(since, None, 0)
    if now_s < second:
        return Latest(since, first, 0)
    # As many as there would be if all were so far apart; then the last of them, whatever lies between.
    apart = second - first
    missed = (now_s - first) // apart + 1
    found: int | None = None
    at = table.after(first + (missed - 2) * apart)
    while at <= now_s:
        found = at
        at = table.after(at)
    return Latest(since, found, missed)


def next_start(table: Timetable, now_s: int) -> int:
    """Raises ValueError for a schedule that is never due."""
    latest = latest_start(table, now_s, within_deadline=False)
    if latest.at_s is not None:
        return table.after(latest.at_s)
    return table.after(now_s if latest.missed else latest.since_s)
