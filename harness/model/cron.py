"""Cron schedules of five fields, in UTC.

Source: robfig/cron v3 spec.go and parser.go (ParseStandard), which CronJobs and Karpenter's budgets go by: names of
months and weekdays, steps, @hourly and its kin; where both the day of the month and the weekday are restricted, either
is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harness.model.whole_numbers import whole_number

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {name: at for at, name in enumerate(_MONTHS, 1)},
    {name: at for at, name in enumerate(_DAYS)},
)
_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_YEARS = 5
"""A schedule that does not come within so long never does (30 February)."""


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Values of each field. `any_day`, `any_weekday`: the field was written as *."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0: Sunday
    any_day: bool
    any_weekday: bool

    def next_after(self, unix_s: int) -> int | None:
        """The first instant after `unix_s` (seconds since 1970) at which it comes; None: never."""
        at = datetime.fromtimestamp(unix_s, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        last = at.year + _YEARS
        while at.year <= last:
            if at.month not in self.months:
                at = (at.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._is_day(at):
                at = at.replace(hour=0, minute=0) + timedelta(days=1)
            elif at.hour not in self.hours:
                at = at.replace(minute=0) + timedelta(hours=1)
            elif at.minute not in self.minutes:
                at += timedelta(minutes=1)
            else:
                return int(at.timestamp())
        return None

    def _is_day(self, at: datetime) -> bool:
        day, weekday = at.day in self.days, (at.weekday() + 1) % 7 in self.weekdays
        return (day and weekday) if self.any_day or self.any_weekday else (day or weekday)


def parse_cron(text: str) -> CronSchedule:
    """Raises ValueError that says which field is wrong."""
    fields = _SHORT.get(text.strip(), text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text!r}")
    values = [_values(field, index) for index, field in enumerate(fields)]
    stars = [field.startswith(("*", "?")) for field in fields]
    minutes, hours, days, months, weekdays = values
    return CronSchedule(minutes, hours, days, months, weekdays, any_day=stars[2], any_weekday=stars[4])


def _values(text: str, index: int) -> frozenset[int]:
    name, least, most = _FIELDS[index]
    out: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, index, 1, most) if slash else 1
        if span in ("*", "?"):
            first, last = least, most
        else:
            begin, dash, end = span.partition("-")
            first = _number(begin, index, least, most)
            # 7 is Sunday nowhere in this parser; a step alone runs to the end of the range.
            last = _number(end, index, least, most) if dash else (most if slash else first)
            if last < first:
                raise ValueError(f"the {name} begins after it ends: {part!r}")
        out.update(range(first, last + 1, step))
    return frozenset(out)


def _number(text: str, index: int, least: int, most: int) -> int:
    name = _FIELDS[index][0]
    known = _NAMES[index].get(text.lower())
    if known is not None:
        return known
    number = whole_number(text)
    if number is None or not least <= number <= most:
        raise ValueError(f"the {name} is a number from {least} to {most}, found {text!r}")
    return number
