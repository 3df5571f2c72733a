"""The queue against an event-by-event simulation of the same, and against the closed form of M/M/c."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.measure.queue_model import QueueModel
from harness.measure.queueing import most_in_time, outcome, quantile, states
from tests.measure.queue_simulation import noise, simulate


def model(c: int = 2, k: int = 1024, service: float = 0.005, timeout: float = 15.0, slo: float = 0.05) -> QueueModel:
    return QueueModel(service, c, k, timeout, slo, 0.99)


def erlang_c(c: int, a: float) -> float:
    """Probability to wait, M/M/c without end. Source: Kleinrock I, (3.40)."""
    top = a**c / math.factorial(c) * c / (c - a)
    return top / (sum(a**n / math.factorial(n) for n in range(c)) + top)


@pytest.mark.parametrize("c", [1, 2, 4, 16])
@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_a_long_line_is_that_of_mmc(c: int, load: float) -> None:
    """Mean wait C/(c mu - lambda), and P(R > t) as the closed form of M/M/c has it."""
    queue = model(c)
    mu, a = 1 / queue.service_s, load * c
    found = outcome(queue, a * mu)
    waits = erlang_c(c, a)
    assert found.mean_s == pytest.approx(1 / mu + waits / (c * mu - a * mu), rel=1e-3)
    theta = c * mu - a * mu
    for t, share in zip(queue.grid.tolist(), found.tail.tolist(), strict=True):
        if share < 1e-9:
            break
        if math.isclose(theta, mu):
            wanted = math.exp(-mu * t) * (1 + waits * mu * t)
        else:
            wanted = math.exp(-mu * t) + waits * mu / (theta - mu) * (math.exp(-mu * t) - math.exp(-theta * t))
        assert share == pytest.approx(wanted, rel=2e-3, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.8, 1.0, 1.2, 1.5])
@pytest.mark.parametrize("c", [1, 2, 8])
def test_it_is_within_two_percent_of_a_simulation(c: int, load: float) -> None:
    """Beyond what the simulation itself is uncertain by (two standard errors, by the means of 20 batches)."""
    queue = model(c, k=20, slo=0.03, timeout=0.06)
    rate = load * queue.capacity_rps
    latencies, blocked = simulate(queue, rate, 1_000_000, seed=c)
    batches = np.array_split(latencies, 20)
    found = outcome(queue, rate)

    def close(ours: float, theirs: float, over: list[float], least: float = 0.0) -> None:
        assert abs(ours - theirs) <= 0.02 * abs(theirs) + noise(over) + least, (ours, theirs, noise(over))

    close(found.mean_s, float(latencies.mean()), [float(batch.mean()) for batch in batches])
    for share in (0.5, 0.9, 0.95, 0.99):
        theirs = float(np.quantile(latencies, share))
        close(quantile(queue, found.tail, share), theirs, [float(np.quantile(batch, share)) for batch in batches])
    close(found.blocked, blocked, [blocked, blocked], 2e-4 + 0.03 * blocked)
    late = (1 - blocked) * float((latencies > queue.timeout_s).mean())
    close(found.late, late, [float((batch > queue.timeout_s).mean()) for batch in batches], 2e-4)
    in_time = (1 - blocked) * float((latencies <= queue.slo_s).mean())
    close(found.in_time, in_time, [float((batch <= queue.slo_s).mean()) for batch in batches])


@pytest.mark.parametrize("load", [0.3, 0.8, 1.0, 1.5])
def test_it_is_close_to_a_short_simulation(load: float) -> None:
    queue = model(2, k=20, slo=0.03, timeout=0.06)
    latencies, blocked = simulate(queue, load * queue.capacity_rps, 60_000, seed=7)
    found = outcome(queue, load * queue.capacity_rps)
    assert found.mean_s == pytest.approx(latencies.mean(), rel=0.08)
    assert quantile(queue, found.tail, 0.95) == pytest.approx(np.quantile(latencies, 0.95), rel=0.08)
    assert found.blocked == pytest.approx(blocked, rel=0.15, abs=4e-3)


def test_overload_is_lost_and_answers_no_more_than_there_is_capacity_for() -> None:
    queue = model(2)
    for rate in (500.0, 4000.0, 1e6):
        found = outcome(queue, rate)
        assert (1 - found.blocked) * rate == pytest.approx(queue.capacity_rps, rel=1e-3)
        assert found.mean_s == pytest.approx(queue.service_s + 1024 / queue.capacity_rps, rel=0.02)
    assert outcome(queue, 0.0).in_time == pytest.approx(1.0, abs=1e-4)


def test_probabilities_sum_up_and_more_load_is_never_better() -> None:
    queue = model(3, k=30)
    before = 1.0
    for rate in np.linspace(1, 2000, 40):
        assert states(queue, float(rate)).sum() == pytest.approx(1)
        found = outcome(queue, float(rate))
        assert found.in_time <= before + 1e-9
        assert found.blocked + found.late + found.in_time <= 1 + 1e-9
        assert (np.diff(found.tail) <= 1e-12).all()
        before = found.in_time


def test_the_most_that_is_in_time_is_the_last_rate_that_is() -> None:
    queue = model(2)
    most = most_in_time(queue)
    assert 0 < most < queue.capacity_rps
    assert outcome(queue, most * 0.995).in_time >= 0.99
    assert outcome(queue, most * 1.005).in_time < 0.99
    assert most_in_time(model(2, slo=0.0001)) == 0.0
