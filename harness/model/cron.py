"""Schedules as crontab writes them, and when they are due next, in any time zone.

Kubernetes parses them with robfig/cron v3 (ParseStandard), whose form, semantics and words these are: five fields, or a
descriptor such as @daily or @every 1h30m. Where a zone's clock is put forward, what it skips is not due; where it is
put back, what comes twice is due twice. Source: github.com/robfig/cron v3 parser.go, spec.go, constantdelay.go.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from harness.model.times import parse_duration
from harness.model.whole_numbers import whole_number

YEARS_AHEAD = 5
"""A schedule that is not due for so long never is. Source: robfig/cron spec.go Next."""

DAY_S, MINUTE_S = 86_400, 60

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class _Field:
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (_Field(0, 59), _Field(0, 23), _Field(1, 31), _Field(1, 12, _MONTHS), _Field(0, 6, _WEEKDAYS))
"""Minute, hour, day of the month, month, day of the week (0 is Sunday)."""

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "


@dataclass(frozen=True, slots=True)
class Every:
    """So many seconds after whatever it is counted from."""

    seconds: int

    def next_after(self, unix_s: int, zone: tzinfo = UTC) -> int | None:
        return unix_s + self.seconds


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """`minutes`: of the day, in order. `days`, `weekdays`: either is enough when neither of the two is a star."""

    minutes: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def next_after(self, unix_s: int, zone: tzinfo = UTC) -> int | None:
        """Seconds since 1970 of the first instant after `unix_s`; None where there is none for years."""
        day = datetime.fromtimestamp(unix_s, zone).date()
        last = day + timedelta(days=365 * YEARS_AHEAD + 1)
        while day <= last:
            if day.month not in self.months:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
                continue
            if self._on(day):
                due = self._of(day, zone)
                index = bisect_right(due, unix_s)
                if index < len(due):
                    return due[index]
            day += timedelta(days=1)
        return None

    def _on(self, day: date) -> bool:
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either else by_date and by_weekday

    def _of(self, day: date, zone: tzinfo) -> list[int]:
        """The instants of one day, in order."""
        begin, end = (datetime(of.year, of.month, of.day, tzinfo=zone) for of in (day, day + timedelta(days=1)))
        if begin.utcoffset() == end.utcoffset():
            first = round(begin.timestamp())
            return [first + minute * MINUTE_S for minute in self.minutes]
        found = set()
        for minute in self.minutes:
            for fold in (0, 1):
                local = begin.replace(hour=minute // 60, minute=minute % 60, fold=fold)
                at = round(local.timestamp())
                there = datetime.fromtimestamp(at, zone)
                if (there.day, there.hour, there.minute) == (day.day, local.hour, local.minute):
                    found.add(at)
        return sorted(found)


@lru_cache(maxsize=1024)
def parse_cron(text: str) -> CronSchedule | Every:
    """Raises ValueError in the words of robfig/cron. A time zone before the fields is no part of it here."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        return _descriptor(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = (
        _parsed(field, bounds) for field, bounds in zip(fields, _FIELDS, strict=True)
    )
    of_day = tuple(hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes))
    return CronSchedule(of_day, frozenset(days), frozenset(months), frozenset(weekdays), not (any_day or any_weekday))


def _descriptor(text: str) -> CronSchedule | Every:
    if text in _DESCRIPTORS:
        return parse_cron(_DESCRIPTORS[text])
    if not text.startswith(_EVERY):
        raise ValueError(f"unrecognized descriptor: {text}")
    try:
        seconds = parse_duration(text[len(_EVERY) :]) // 10**9
    except ValueError:
        what = f'time: invalid duration "{text[len(_EVERY) :]}"'
        raise ValueError(f"failed to parse duration {text}: {what}") from None
    return Every(max(seconds, 1))


def _parsed(field: str, bounds: _Field) -> tuple[set[int], bool]:
    """(the values, whether a star stands for all of them)."""
    found: set[int] = set()
    star = False
    for part in filter(None, field.split(",")):
        values, all_of_them = _range(part, bounds)
        found.update(values)
        star = star or all_of_them
    return found, star


def _range(text: str, bounds: _Field) -> tuple[range, bool]:
    span, *steps = text.split("/")
    ends = span.split("-")
    star = ends[0] in ("*", "?")
    if star:
        first, last = bounds.least, bounds.most
    else:
        if len(ends) > 2:
            raise ValueError(f"too many hyphens: {text}")
        first = _number(ends[0], bounds.names, bounds.least)
        last = _number(ends[-1], bounds.names, bounds.least)
    step = 1
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0])
        if len(ends) == 1:
            last = bounds.most  # "N/step" is "N-most/step"
        star = star and step <= 1
    if first < bounds.least:
        raise ValueError(f"beginning of range ({first}) below minimum ({bounds.least}): {text}")
    if last > bounds.most:
        raise ValueError(f"end of range ({last}) above maximum ({bounds.most}): {text}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(first, last + 1, step), star


def _number(text: str, names: tuple[str, ...] = (), first: int = 0) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + first
    number = whole_number(text)
    if number is not None:
        return number
    if text.startswith("-") and whole_number(text[1:]) is not None:
        raise ValueError(f"negative number ({text}) not allowed: {text}")
    raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')


LONGEST_ZONE = 100
"""Letters. The longest that there is has 32; of some hundred the system says that no file can have such a name."""
_ZONE = re.compile(r"[A-Za-z0-9+_-]+(/[A-Za-z0-9+_-]+)*")


@lru_cache(maxsize=1024)
def time_zone(name: str) -> tzinfo:
    """Of an IANA name, by the database that is installed with Podyard: runs are the same on every machine. Raises
    ValueError in Go's words."""
    if name in ("", "UTC"):
        return UTC
    found = files("tzdata").joinpath("zoneinfo", *name.split("/"))
    if len(name) > LONGEST_ZONE or not _ZONE.fullmatch(name) or not found.is_file():
        raise ValueError(f"unknown time zone {name}")
    with found.open("rb") as data:
        try:
            return ZoneInfo.from_file(data, key=name)
        except ValueError:
            raise ValueError(f"unknown time zone {name}") from None
