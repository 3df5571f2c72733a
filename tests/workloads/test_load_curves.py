"""Load curves: exact at every instant, their integral equal to a sum over instants, their changes where they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.errors import UserError
from harness.model.load import LoadCurve
from workloads.generators.load import (
    Delayed,
    Diurnal,
    Points,
    Scaled,
    Sum,
    Then,
    constant,
    cpu_milli,
    load_curve,
    ramp,
    requests_milli,
    spike,
    step,
)

S = 10**9


def rates(curve: LoadCurve, *seconds: int) -> list[int]:
    return [curve.rate_milli_rps(second * S) for second in seconds]


def test_shapes() -> None:
    assert rates(constant(7), 0, 99) == [7, 7]
    assert rates(ramp(10 * S, 20 * S, 0, 1000), 0, 10, 15, 20, 99) == [0, 0, 500, 1000, 1000]
    assert rates(step(10 * S, 5, 50), 9, 10, 11) == [5, 50, 50]
    assert step(10 * S, 5, 50).rate_milli_rps(10 * S - 1) == 5
    burst = spike(10 * S, 100, 900, rise_ns=4 * S, hold_ns=6 * S, fall_ns=8 * S)
    assert rates(burst, 0, 10, 12, 14, 20, 24, 28, 99) == [100, 100, 500, 900, 900, 500, 100, 100]


def test_a_day_is_lowest_and_highest_where_it_says() -> None:
    day = Diurnal(1000, 9000, lowest_at_ns=4 * 3600 * S)
    assert rates(day, 4 * 3600, 16 * 3600, 28 * 3600) == [1000, 9000, 1000]
    assert rates(day, 10 * 3600) == rates(day, 22 * 3600) == [5000]
    assert day.next_change_ns(4 * 3600 * S) == 5 * 3600 * S


def test_composition() -> None:
    base = ramp(0, 10 * S, 0, 100)
    assert rates(Sum((base, constant(7))), 5) == [57]
    assert rates(Scaled(base, 2500), 4) == [100]
    assert rates(Delayed(base, 5 * S), 5, 10) == [0, 50]
    assert rates(Then(constant(1), 3 * S, base), 2, 3) == [1, 30]
    assert Then(constant(1), 3 * S, base).next_change_ns(0) == 3 * S


def test_the_integral() -> None:
    assert requests_milli(constant(1500), 0, 10 * S) == 15_000
    assert requests_milli(ramp(0, 10 * S, 0, 1000), 0, 10 * S) == pytest.approx(5000, abs=10)
    assert requests_milli(step(5 * S, 0, 1000), 0, 10 * S) == 5000


points = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5000)), min_size=1, max_size=6).map(
    lambda found: Points(tuple(sorted(((t * S, rate) for t, rate in found), key=lambda point: point[0])))
)
simple = points | st.builds(
    Diurnal,
    st.integers(0, 100),
    st.integers(100, 9000),
    st.integers(24, 60).map(lambda seconds: seconds * S),
    st.integers(0, 30).map(lambda seconds: seconds * S),
)
curves = st.recursive(
    simple,
    lambda inner: (
        st.builds(Sum, st.tuples(inner, inner))
        | st.builds(Scaled, inner, st.integers(0, 3000))
        | st.builds(Delayed, inner, st.integers(-20, 20).map(lambda seconds: seconds * S))
        | st.builds(Then, inner, st.integers(0, 60).map(lambda seconds: seconds * S), inner)
    ),
    max_leaves=4,
)


@given(curve=curves, start=st.integers(0, 50), length=st.integers(0, 60))
@settings(deadline=None)
def test_integral_and_changes_agree_with_the_curve(curve: LoadCurve, start: int, length: int) -> None:
    t, end = start * S, (start + length) * S
    pieces = 0
    while t < end:
        change = curve.next_change_ns(t)
        assert change is None or change > t
        until = end if change is None else min(change, end)
        # Straight in between: the middle is the mean of the ends, but for rounding down (once a part of the curve).
        middle = (t + until - 1) // 2
        mean = (curve.rate_milli_rps(t) + curve.rate_milli_rps(until - 1)) / 2
        assert abs(curve.rate_milli_rps(middle) - mean) <= 13
        t = until
        pieces += 1
    step_ns = S // 20
    sampled = sum(curve.rate_milli_rps(at) for at in range(start * S, end, step_ns)) * step_ns / S
    # A jump or a slope inside a step is seen up to a step late.
    worst = max((curve.rate_milli_rps(at) for at in range(start * S, end, step_ns)), default=0)
    exact = requests_milli(curve, start * S, end)
    assert abs(exact - sampled) <= (pieces + 2) * (worst * 0.06 + 15) + 8 * length


def test_cpu_of_a_rate() -> None:
    assert cpu_milli(100_000, 5000) == 500  # 100 requests a second of 5 ms each
    assert cpu_milli(1, 1) == 1
    assert cpu_milli(0, 5000) == 0


def test_from_plain_data() -> None:
    assert load_curve({"ramp": {"start": "0s", "end": "10m", "from": 5, "to": 80}}) == ramp(0, 600 * S, 5000, 80_000)
    assert load_curve({"diurnal": {"low": 1, "high": 2, "period": "1h"}}) == Diurnal(1000, 2000, 3600 * S)
    both = load_curve([{"constant": {"rps": 0.5}}, {"step": {"at": "1s", "before": 0, "after": 1}}])
    assert rates(both, 0, 1) == [500, 1500]
    assert load_curve({"spike": {"at": "5s", "base": 1, "peak": 9}}).next_change_ns(5 * S) == 65 * S


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"rampp": {}}, "did you mean 'ramp'"),
        ({"ramp": {"start": "0s"}}, "end is missing"),
        ({"ramp": {"start": "0s", "end": "x", "from": 1, "to": 2}}, "load.ramp.end"),
        ({"ramp": {"start": "9s", "end": "1s", "from": 1, "to": 2}}, "ends before it starts"),
        ({"constant": {"rps": -1}}, "requests per second"),
        ({"constant": {"rps": True}}, "requests per second"),
        ({"constant": {"rps": 1, "rsp": 2}}, "did you mean 'rps'"),
        ([], "not a load curve"),
        (None, "not a load curve"),
        ({"diurnal": {"low": 5, "high": 1}}, "high is below low"),
    ],
)
def test_wrong_data_is_told_where(form: object, words: str) -> None:
    with pytest.raises(UserError) as told:
        load_curve(form)
    assert words in str(told.value)
