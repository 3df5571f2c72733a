"""Schedules: what they say, in which words they are refused, and when they are due."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.cron import Every, parse_cron, time_zone
from tests.examples import examples


def at(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=time_zone(zone)).timestamp())


def due(schedule: str, after: str, zone: str = "UTC", count: int = 1) -> list[str]:
    out, last = [], at(after, zone)
    for _ in range(count):
        found = parse_cron(schedule).next_after(last, time_zone(zone))
        assert found is not None
        last = found
        out.append(datetime.fromtimestamp(found, time_zone(zone)).isoformat())
    return out


PUBLISHED = [
    ("0/15 * * * *", "2012-07-09T14:45", "2012-07-09T15:00:00+00:00"),
    ("0/15 * * * *", "2012-07-09T14:59:59", "2012-07-09T15:00:00+00:00"),
    ("20-35/15 * * * *", "2012-07-09T15:45", "2012-07-09T16:20:00+00:00"),
    ("*/15 * * * *", "2012-07-09T23:46", "2012-07-10T00:00:00+00:00"),
    ("20-35/15 10/2 * * *", "2012-07-09T23:45", "2012-07-10T10:20:00+00:00"),
    ("0 0 9 Apr-Oct ?", "2012-07-09T23:35", "2012-08-09T00:00:00+00:00"),
    ("0 0 */5 Apr,Aug,Oct Mon", "2012-07-09T23:35", "2012-08-01T00:00:00+00:00"),
    ("0 0 */5 Oct Mon", "2012-07-09T23:35", "2012-10-01T00:00:00+00:00"),
    ("0 0 * Feb Mon", "2012-07-09T23:35", "2013-02-04T00:00:00+00:00"),
    ("0 0 * Feb Mon/2", "2012-07-09T23:35", "2013-02-01T00:00:00+00:00"),
    ("0 0 29 Feb ?", "2012-07-09T23:35", "2016-02-29T00:00:00+00:00"),
    ("0 0 1,15 * Sun", "2012-07-09T00:00", "2012-07-15T00:00:00+00:00"),
    ("@hourly", "2012-07-09T15:00", "2012-07-09T16:00:00+00:00"),
    ("@daily", "2012-07-09T15:00", "2012-07-10T00:00:00+00:00"),
    ("@weekly", "2012-07-09T15:00", "2012-07-15T00:00:00+00:00"),
    ("@monthly", "2012-07-09T15:00", "2012-08-01T00:00:00+00:00"),
    ("@yearly", "2012-07-09T15:00", "2013-01-01T00:00:00+00:00"),
]
"""Source: robfig/cron v3 spec_test.go TestNext, TestActivation (of those with five fields)."""


@pytest.mark.parametrize(("schedule", "after", "wanted"), PUBLISHED)
def test_published_instants(schedule: str, after: str, wanted: str) -> None:
    assert due(schedule, after) == [wanted]


def test_what_the_clock_skips_is_not_due_and_what_comes_twice_is_due_twice() -> None:
    """Source: robfig/cron v3 spec_test.go TestNext, "Daylight savings time"; America/New_York, 2012."""
    assert due("30 2 11 Mar ?", "2012-03-11T00:00", "America/New_York")[0].startswith("2013-03-11T02:30")
    assert due("0 * * * ?", "2012-03-11T00:00", "America/New_York", 3) == [
        "2012-03-11T01:00:00-05:00",
        "2012-03-11T03:00:00-04:00",
        "2012-03-11T04:00:00-04:00",
    ]
    assert due("30 1 4 Nov ?", "2012-11-04T00:00", "America/New_York", 2) == [
        "2012-11-04T01:30:00-04:00",
        "2012-11-04T01:30:00-05:00",
    ]
    assert due("0 3 * * *", "2012-11-03T12:00", "America/New_York", 2) == [
        "2012-11-04T03:00:00-05:00",
        "2012-11-05T03:00:00-05:00",
    ]


def test_every_so_often() -> None:
    assert parse_cron("@every 1h30m") == Every(5400)
    assert parse_cron("@every 5ms") == Every(1)
    assert due("@every 2m", "2012-07-09T14:45:10") == ["2012-07-09T14:47:10+00:00"]


@pytest.mark.parametrize("schedule", ["0 0 30 2 *", "0 0 31 4,6,9,11 ?"])
def test_what_is_never_due(schedule: str) -> None:
    assert parse_cron(schedule).next_after(at("2025-01-01T00:00")) is None


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* 25 * * *", "end of range (25) above maximum (23): 25"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("*/-2 * * * *", "negative number (-2) not allowed: -2"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
    ],
)
def test_in_which_words_it_is_refused(schedule: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        parse_cron(schedule)
    assert str(refused.value) == said


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "America", "zone.tab", "America/", "x" * 260])
def test_zones_that_there_are_not(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        time_zone(name)


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")


@settings(max_examples=examples(60), deadline=None)
@given(
    minute=st.sampled_from(["*", "0", "7", "*/7", "30-40", "1,59"]),
    hour=st.sampled_from(["*", "0", "2", "*/5", "1-3", "23"]),
    day=st.sampled_from(["*", "1", "28-31", "*/2", "15"]),
    weekday=st.sampled_from(["*", "0", "mon-fri", "6"]),
    zone=st.sampled_from(ZONES),
    begin=st.integers(at("2017-01-01T00:00") // 60, at("2019-12-01T00:00") // 60),
)
def test_the_next_instant_is_the_first_whose_local_time_matches(
    minute: str, hour: str, day: str, weekday: str, zone: str, begin: int
) -> None:
    """Against a walk through every minute."""

    def has(field: str, value: int, most: int) -> bool:
        for part in field.split(","):
            span, _, step = part.partition("/")
            first, last = (0, most) if span == "*" else map(int, (span.split("-") * 2)[:2])
            least = 1 if most == 31 else 0
            first = max(first, least)
            if first <= value <= last and (value - first) % int(step or 1) == 0:
                return True
        return False

    numbered = weekday.replace("mon-fri", "1-5")
    either = day[0] != "*" and weekday != "*"
    if day == "*/2":
        either = weekday != "*"

    def matches(unix_s: int) -> bool:
        local = datetime.fromtimestamp(unix_s, time_zone(zone))
        by_date, by_weekday = has(day, local.day, 31), has(numbered, local.isoweekday() % 7, 6)
        on = by_date or by_weekday if either else by_date and by_weekday
        return on and has(minute, local.minute, 59) and has(hour, local.hour, 23)

    found = parse_cron(f"{minute} {hour} {day} * {weekday}").next_after(begin * 60, time_zone(zone))
    assert found is not None
    assert matches(found)
    most = begin * 60 + round(timedelta(days=4).total_seconds())
    assert not any(matches(unix_s) for unix_s in range(begin * 60 + 60, min(found, most), 60))


def test_utc_is_utc() -> None:
    assert time_zone("UTC") is UTC
