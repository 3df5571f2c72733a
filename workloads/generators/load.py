"""The load of a service over time, in thousandths of a request per second: piecewise linear, exact, composable.

A curve answers for any instant, for the integral between two, and for when its slope next changes, so that whoever
turns it into CPU usage or requests needs no sampling. All arithmetic is in integers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from harness.model.errors import UserError, did_you_mean
from harness.model.load import LoadCurve
from harness.model.times import parse_duration

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS


@dataclass(frozen=True)
class Points:
    """Straight lines between `points` (t_ns, milli_rps), times ascending; constant before the first and after the last.

    Two points at one instant are a jump: the second holds from then on.
    """

    points: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        times = [t for t, _ in self.points]
        assert times, "a curve needs a point"
        assert times == sorted(times), f"times must ascend: {times}"
        assert all(rate >= 0 for _, rate in self.points), "a rate is never negative"

    @cached_property
    def _times(self) -> list[int]:
        return [t for t, _ in self.points]

    def rate_milli_rps(self, t_ns: int) -> int:
        right = bisect_right(self._times, t_ns)
        if right == 0:
            return self.points[0][1]
        t0, r0 = self.points[right - 1]
        if right == len(self.points):
            return r0
        t1, r1 = self.points[right]
        return r0 + (r1 - r0) * (t_ns - t0) // (t1 - t0)

    def next_change_ns(self, t_ns: int) -> int | None:
        right = bisect_right(self._times, t_ns)
        return self._times[right] if right < len(self.points) else None


def constant(milli_rps: int) -> Points:
    return Points(((0, milli_rps),))


def ramp(start_ns: int, end_ns: int, from_milli_rps: int, to_milli_rps: int) -> Points:
    """From one rate to another, evenly between two instants."""
    return Points(((start_ns, from_milli_rps), (end_ns, to_milli_rps)))


def step(at_ns: int, before_milli_rps: int, after_milli_rps: int) -> Points:
    """One rate up to `at_ns`, another from then on."""
    return Points(((at_ns, before_milli_rps), (at_ns, after_milli_rps)))


def spike(
    at_ns: int,
    base_milli_rps: int,
    peak_milli_rps: int,
    *,
    rise_ns: int = 0,
    hold_ns: int = 60 * SECOND_NS,
    fall_ns: int = 0,
) -> Points:
    """A base rate, and from `at_ns` on a rise to a peak that is held and falls back."""
    top, down = at_ns + rise_ns, at_ns + rise_ns + hold_ns
    return Points(
        (
            (at_ns, base_milli_rps),
            (top, peak_milli_rps),
            (down, peak_milli_rps),
            (down + fall_ns, base_milli_rps),
        )
    )


# (1 - cos(2 pi h / 24)) / 2 in millionths for h = 0..23: a day's course, lowest at 0.
_DAY = (0, 17037, 66987, 146447, 250000, 370590, 500000, 629410, 750000, 853553, 933013, 982963)
_COURSE: tuple[int, ...] = (*_DAY, 1_000_000, *reversed(_DAY[1:]))


@dataclass(frozen=True, slots=True)
class Diurnal:
    """A day's course between `low` and `high`, lowest at `lowest_at_ns`: a raised cosine in 24 lines."""

    low_milli_rps: int
    high_milli_rps: int
    period_ns: int = DAY_NS
    lowest_at_ns: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.low_milli_rps <= self.high_milli_rps, "low is at most high, and not negative"
        assert self.period_ns >= len(_COURSE), "the period is too short"

    def _phase(self, t_ns: int) -> tuple[int, int]:
        """(point before t, how far beyond it: in units of period / 24 by period_ns)."""
        return divmod((t_ns - self.lowest_at_ns) % self.period_ns * len(_COURSE), self.period_ns)

    def rate_milli_rps(self, t_ns: int) -> int:
        at, beyond = self._phase(t_ns)
        left, right = _COURSE[at], _COURSE[(at + 1) % len(_COURSE)]
        millionths = left * self.period_ns + (right - left) * beyond
        height: int = (self.high_milli_rps - self.low_milli_rps) * millionths // (10**6 * self.period_ns)
        return self.low_milli_rps + height

    def next_change_ns(self, t_ns: int) -> int | None:
        at, _ = self._phase(t_ns)
        since = (t_ns - self.lowest_at_ns) % self.period_ns
        return t_ns - since + -(-(at + 1) * self.period_ns // len(_COURSE))


@dataclass(frozen=True, slots=True)
class Sum:
    """Several loads on one service."""

    curves: tuple[LoadCurve, ...]

    def rate_milli_rps(self, t_ns: int) -> int:
        return sum(curve.rate_milli_rps(t_ns) for curve in self.curves)

    def next_change_ns(self, t_ns: int) -> int | None:
        return _earliest(self.curves, t_ns)


@dataclass(frozen=True, slots=True)
class Scaled:
    """`times_milli` thousandths of a load."""

    curve: LoadCurve
    times_milli: int

    def rate_milli_rps(self, t_ns: int) -> int:
        return self.curve.rate_milli_rps(t_ns) * self.times_milli // 1000

    def next_change_ns(self, t_ns: int) -> int | None:
        return self.curve.next_change_ns(t_ns)


@dataclass(frozen=True, slots=True)
class Delayed:
    """The same load, later."""

    curve: LoadCurve
    by_ns: int

    def rate_milli_rps(self, t_ns: int) -> int:
        return self.curve.rate_milli_rps(t_ns - self.by_ns)

    def next_change_ns(self, t_ns: int) -> int | None:
        found = self.curve.next_change_ns(t_ns - self.by_ns)
        return None if found is None else found + self.by_ns


@dataclass(frozen=True, slots=True)
class Then:
    """One load up to `at_ns`, another from then on (with its own clock going on)."""

    first: LoadCurve
    at_ns: int
    second: LoadCurve

    def rate_milli_rps(self, t_ns: int) -> int:
        return (self.first if t_ns < self.at_ns else self.second).rate_milli_rps(t_ns)

    def next_change_ns(self, t_ns: int) -> int | None:
        if t_ns >= self.at_ns:
            return self.second.next_change_ns(t_ns)
        found = self.first.next_change_ns(t_ns)
        return self.at_ns if found is None else min(found, self.at_ns)


def _earliest(curves: tuple[LoadCurve, ...], t_ns: int) -> int | None:
    found = [at for curve in curves if (at := curve.next_change_ns(t_ns)) is not None]
    return min(found, default=None)


def requests_milli(curve: LoadCurve, start_ns: int, end_ns: int) -> int:
    """Thousandths of requests that arrive in [start_ns, end_ns): the integral, piece by straight piece.

    Rates are whole, so it falls short of the true integral by at most one for each second and part of the curve.
    """
    total = 0
    t = start_ns
    while t < end_ns:
        change = curve.next_change_ns(t)
        until = end_ns if change is None else min(change, end_ns)
        last = curve.rate_milli_rps(until - 1)
        total += (curve.rate_milli_rps(t) + last) * (until - t) // (2 * SECOND_NS)
        t = until
    return total


def cpu_milli(rate_milli_rps: int, cpu_us_per_request: int) -> int:
    """CPU that a rate keeps busy, in thousandths of a core, rounded up: an idle service alone needs none."""
    return -(-rate_milli_rps * cpu_us_per_request // 10**6)


RATE, TIME = "requests per second", "a duration such as 90s or 2h"
FORMS: Mapping[str, tuple[dict[str, str], dict[str, Any]]] = {
    "constant": ({"rps": RATE}, {}),
    "ramp": ({"start": TIME, "end": TIME, "from": RATE, "to": RATE}, {}),
    "step": ({"at": TIME, "before": RATE, "after": RATE}, {}),
    "spike": (
        {"at": TIME, "base": RATE, "peak": RATE},
        {"rise": 0, "hold": 60 * SECOND_NS, "fall": 0},
    ),
    "diurnal": ({"low": RATE, "high": RATE}, {"period": DAY_NS, "lowestAt": 0}),
}
"""By kind: what it demands (RATE or TIME), and durations with their defaults in ns."""


FileReader: TypeAlias = Callable[[Any, str], LoadCurve]
"""Makes a curve of what stands under `file`, given where that is."""


def load_curve(form: Any, where: str = "load", file: FileReader | None = None) -> LoadCurve:
    """A curve from plain data: `{ramp: {start: 0s, end: 10m, from: 5, to: 80}}`; a list is the sum of its curves.
    `file` reads those that stand in a file.

    Raises UserError for anything else, naming the field under `where`.
    """
    if isinstance(form, list) and form:
        return Sum(tuple(load_curve(item, f"{where}[{at}]", file) for at, item in enumerate(form)))
    known = (*FORMS, "file") if file is not None else tuple(FORMS)
    if not isinstance(form, Mapping) or len(form) != 1:
        raise UserError(f"{where}: not a load curve", found=repr(form), expected=" or ".join(known))
    ((kind, fields),) = form.items()
    if kind == "file" and file is not None:
        return file(fields, f"{where}.file")
    if kind not in FORMS:
        hint = did_you_mean(str(kind), known)
        raise UserError(f"{where}: unknown load curve {kind!r}", expected=" or ".join(known), hint=hint)
    where = f"{where}.{kind}"
    required, optional = FORMS[kind]
    if not isinstance(fields, Mapping):
        raise UserError(f"{where}: no fields", found=repr(fields), expected=", ".join((*required, *optional)))
    for name in fields:
        if name not in required and name not in optional:
            known = (*required, *optional)
            raise UserError(
                f"{where}: unknown field {name!r}", expected=", ".join(known), hint=did_you_mean(name, known)
            )
    values: dict[str, int] = dict(optional)
    for name, meaning in (required | dict.fromkeys(optional, TIME)).items():
        if name in fields:
            values[name] = _value(fields[name], meaning, f"{where}.{name}")
        elif name in required:
            raise UserError(f"{where}: {name} is missing", expected=meaning)
    return _curve(kind, values, where)


def _value(value: Any, meaning: str, where: str) -> int:
    if meaning is TIME:
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise UserError(f"{where}: {error}", found=repr(value), expected=TIME) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise UserError(f"{where}: not a rate", found=repr(value), expected=RATE)
    return round(value * 1000)


def _curve(kind: str, v: dict[str, int], where: str) -> LoadCurve:
    match kind:
        case "constant":
            return constant(v["rps"])
        case "ramp":
            if v["end"] < v["start"]:
                found = f"start {v['start'] / SECOND_NS:g} s, end {v['end'] / SECOND_NS:g} s"
                raise UserError(f"{where}: ends before it starts", found=found, expected="end at or after start")
            return ramp(v["start"], v["end"], v["from"], v["to"])
        case "step":
            return step(v["at"], v["before"], v["after"])
        case "spike":
            return spike(v["at"], v["base"], v["peak"], rise_ns=v["rise"], hold_ns=v["hold"], fall_ns=v["fall"])
        case _:
            if v["high"] < v["low"] or v["period"] < SECOND_NS:
                raise UserError(f"{where}: high is below low, or the period is under 1s")
            return Diurnal(v["low"], v["high"], v["period"], v["lowestAt"])
