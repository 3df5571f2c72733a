"""Service times of other distributions than the exponential: against formulas, and against an event-by-event
simulation of the same."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.general_queue import LOADS, approximated, general_outcome
from harness.measure.queue_model import QueueModel
from harness.measure.queueing import most_in_time, outcome, quantile
from harness.measure.service_time import ServiceTime, first_departure, points, survival
from tests.measure.queue_simulation import noise, simulate

SHAPES = {
    "deterministic": ServiceTime("deterministic"),
    "gamma 0.5": ServiceTime("gamma", 0.5),
    "gamma 2": ServiceTime("gamma", 2.0),
    "lognormal 0.5": ServiceTime("lognormal", 0.5),
    "lognormal 1.5": ServiceTime("lognormal", 1.5),
    "lognormal 3": ServiceTime("lognormal", 3.0),
    "samples": ServiceTime("samples", samples=(1.0, 1.0, 2.0, 6.0)),
}

SIMULATED = ("deterministic",)

WITHIN = 0.02
"""How far percentiles may be off, besides what the simulation they are held against is uncertain by."""


def model(
    shape: ServiceTime, c: int = 2, k: int = 20, service: float = 0.005, timeout: float = 0.06, slo: float = 0.03
) -> QueueModel:
    return QueueModel(service, c, k, timeout, slo, 0.99, shape)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_points_and_survival_are_of_one_distribution(shape: ServiceTime) -> None:
    x, weights = points(shape)
    assert weights.sum() == pytest.approx(1)
    assert weights @ x == pytest.approx(1, abs=1e-6)
    if shape.kind in ("gamma", "lognormal"):
        assert shape.variation == pytest.approx(shape.cv, rel=1e-4)
    for t in (0.3, 0.99, 1.7, 4.0):
        assert survival(shape, np.array([t]))[0] == pytest.approx(float(weights[x > t].sum()), abs=0.01)
    at, shares = first_departure(shape, 4)
    assert shares @ at == pytest.approx(0.25)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("k", [5, 300])
@pytest.mark.parametrize("load", [0.4, 0.9, 1.0, 1.3, 30.0])
def test_a_gamma_distribution_that_is_exponential_comes_to_the_closed_form(c: int, k: int, load: float) -> None:
    closed, general = model(ServiceTime(), c, k), model(ServiceTime("gamma", 1.0), c, k)
    rate = load * closed.capacity_rps
    a = outcome(closed, rate)
    index = int(np.argmin(np.abs(LOADS - load)))  # several servers: before what a simulation says, which is noise here
    b = approximated(general, index) if c > 1 and load < LOADS[-1] else outcome(general, rate)
    assert b.blocked == pytest.approx(a.blocked, abs=2e-4)
    assert b.mean_s == pytest.approx(a.mean_s, rel=2e-3 if load < 2 else 0.02)
    assert b.busy == pytest.approx(a.busy, rel=1e-3)
    exact = a.tail[np.searchsorted(closed.grid, np.intersect1d(closed.grid, general.grid))]
    found = b.tail[np.searchsorted(general.grid, np.intersect1d(closed.grid, general.grid))]
    assert len(exact) > 100
    assert np.abs(exact - found).max() < (5e-4 if load < 2 else 0.02)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_mean_wait_of_one_server_is_pollaczek_and_khinchines(shape: ServiceTime) -> None:
    """Load (1 + cv^2) / 2 (1 - load) services, with a long line. Source: Kleinrock I, (5.113)."""
    queue = model(shape, c=1, k=3000)
    for load in (0.3, 0.7):  # points of the grid of loads: nothing is interpolated
        found = general_outcome(queue, load * queue.capacity_rps)
        waits = load * (1 + shape.variation**2) / (2 * (1 - load))
        assert found.mean_s == pytest.approx(queue.service_s * (1 + waits), rel=1e-3)
        of_tail = float(np.trapezoid(found.tail, queue.grid)) + float(queue.grid[0])
        assert of_tail == pytest.approx(found.mean_s, rel=0.02)


def check(shape: str, c: int, load: float, requests: int, slack: float, seed: int) -> None:
    queue = model(SHAPES[shape], c)
    rate = load * queue.capacity_rps
    runs = [simulate(queue, rate, requests // 5, 10 * seed + at) for at in range(5)]
    latencies, losses = np.concatenate([of for of, _ in runs]), [of for _, of in runs]
    blocked = float(np.mean(losses))
    batches = np.array_split(latencies, 20)
    found = outcome(queue, rate)
    for share in (0.5, 0.9, 0.95, 0.99):
        theirs = float(np.quantile(latencies, share))
        ours = quantile(queue, found.tail, share)
        off = noise([float(np.quantile(batch, share)) for batch in batches])
        assert abs(ours - theirs) <= (WITHIN + slack) * theirs + off, (share, ours, theirs)
    off = noise(losses)  # one run of heavy tails is uncertain by 4 % of it
    assert abs(found.blocked - blocked) <= max((2 * WITHIN + slack) * blocked, 4e-3 + slack / 10) + off
    assert found.mean_s == pytest.approx(
        latencies.mean(), rel=WITHIN + slack, abs=noise([float(batch.mean()) for batch in batches])
    )
    for ours, theirs in (
        (found.late, (1 - blocked) * float((latencies > queue.timeout_s).mean())),
        (found.in_time, (1 - blocked) * float((latencies <= queue.slo_s).mean())),
    ):
        assert ours == pytest.approx(theirs, abs=0.01 + slack)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.8, 1.0, 1.2, 1.5])
@pytest.mark.parametrize("c", [1, 2, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_as_close_to_a_simulation_as_is_said(shape: str, c: int, load: float) -> None:
    """Beyond what the simulation itself is uncertain by."""
    check(shape, c, load, 500_000, 0.01, seed=c)


@pytest.mark.parametrize(
    ("shape", "c", "load"),
    [("lognormal 1.5", 1, 0.6), ("gamma 0.5", 2, 1.2), ("samples", 4, 0.8), ("lognormal 3", 8, 1.0)],
)
def test_it_is_close_to_a_short_simulation(shape: str, c: int, load: float) -> None:
    check(shape, c, load, 60_000, 0.04, seed=3)


def test_a_service_of_one_length_has_that_as_its_latency_where_nobody_waits() -> None:
    queue = model(ServiceTime("deterministic"), c=16)
    found = outcome(queue, 0.3 * queue.capacity_rps)
    for share in (0.01, 0.5, 0.99):
        assert quantile(queue, found.tail, share) == pytest.approx(queue.service_s, rel=1e-6)


# Several servers are simulated, which takes seconds for each shape: here the one that takes the least.
@pytest.mark.parametrize(
    ("shape", "c"),
    [
        pytest.param(name, c, marks=[] if c == 1 or name in SIMULATED else pytest.mark.slow)
        for name in SHAPES
        for c in (1, 2)
    ],
)
def test_more_load_is_never_better_and_overload_answers_what_there_is_capacity_for(shape: str, c: int) -> None:
    queue = model(SHAPES[shape], c, k=30)
    before = 1.0
    for load in (0.0, 0.1, 0.5, 1.0, 1.2, 4.0, 19.0, 25.0, 1000.0):
        found = outcome(queue, load * queue.capacity_rps)
        assert found.in_time <= before + 1e-4
        assert (np.diff(found.tail) <= 1e-12).all()
        assert 0 <= found.blocked + found.late + found.in_time <= 1 + 1e-9
        before = found.in_time
        if load > 3:
            assert (1 - found.blocked) * load == pytest.approx(1.0, rel=2e-3)


@pytest.mark.parametrize("c", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_regular_services_carry_more_in_time_than_scattered_ones(c: int) -> None:
    most = [most_in_time(model(SHAPES[name], c)) for name in ("deterministic", "gamma 0.5", "lognormal 1.5")]
    assert most == sorted(most, reverse=True)
    assert most[0] > 1.2 * most[-1]
