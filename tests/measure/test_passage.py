"""A spike of load: the line fills, overflows and empties; against an event-by-event simulation of the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.measure.queue_model import QueueModel
from harness.measure.queueing import outcome
from harness.measure.service_time import ServiceTime
from harness.measure.traffic import Traffic
from tests.measure.queue_simulation import draw, serve

S = 10**9
GAMMA = ServiceTime("gamma", 0.5)


def measured(queue: QueueModel, steps: list[tuple[float, int]]) -> dict[str, float]:
    """`steps`: (requests per second, for so many seconds), sent to one pod."""
    seen = Traffic({"d/web": queue})
    seen.observe(0, "n", "serving", ("d/web-0", "u", 1))
    at = 0
    for rate, seconds in steps:
        seen.observe(at * S, "gw", "route", ("d/web", (("u", round(rate * 1000)),), 0))
        at += seconds
    found = seen.metrics(at * S)["d/web"]
    sent = found["sent"]
    return {
        **found["latencySeconds"],
        "blocked": found["lostBy"]["overload"] / sent,
        "late": found["lostBy"]["timeout"] / sent,
        "in_time": found["sloAttainment"],
    }


def simulated(queue: QueueModel, steps: list[tuple[float, int]], runs: int, first: int = 0) -> dict[str, float]:
    """Over many spikes alike, each from an idle pod on."""
    latencies, blocked, sent = [], 0, 0
    for seed in range(first, first + runs):
        rng = np.random.default_rng(seed)
        arrivals: list[float] = []
        at = 0.0
        for rate, seconds in steps:
            count = int(rng.poisson(rate * seconds))
            arrivals += np.sort(rng.uniform(at, at + seconds, count)).tolist()
            at += seconds
        services = draw(queue.service_time, len(arrivals), rng) * queue.service_s
        got, lost = serve(queue, arrivals, services.tolist())
        latencies.append(np.array(got))
        blocked += lost
        sent += len(arrivals)
    everything = np.concatenate(latencies)
    out = {f"p{share}": float(np.quantile(everything, share / 100)) for share in (50, 90, 95, 99)}
    return out | {
        "mean": float(everything.mean()),
        "blocked": blocked / sent,
        "late": float((everything > queue.timeout_s).sum()) / sent,
        "in_time": float((everything <= min(queue.slo_s, queue.timeout_s)).sum()) / sent,
    }


@pytest.mark.parametrize(
    "shape",
    [ServiceTime(), pytest.param(GAMMA, marks=pytest.mark.slow)],  # whose queue takes seconds to work out
    ids=["exponential", "gamma"],
)
@pytest.mark.parametrize(
    "steps",
    [
        [(80, 20), (300, 6), (80, 30)],  # never full
        [(80, 20), (300, 20), (100, 30)],  # full after 10 s of 20, empty 10 s later
        [(80, 10), (600, 10), (0, 3), (120, 30)],  # nothing comes for a while
    ],
)
def test_a_spike_costs_what_a_simulation_says(steps: list[tuple[float, int]], shape: ServiceTime) -> None:
    queue = QueueModel(0.01, 2, 1024, 4.0, 0.5, 0.99, shape)
    ours, theirs = measured(queue, steps), simulated(queue, steps, 40)
    for name in ("mean", "p90", "p95", "p99"):
        # How high the line gets in a short spike is chance, which the fluid knows nothing of.
        within = 0.1 if name == "p99" and not theirs["blocked"] else 0.04
        assert ours[name] == pytest.approx(theirs[name], rel=within), name
    for name in ("blocked", "late", "in_time"):
        assert ours[name] == pytest.approx(theirs[name], abs=0.012), name


@pytest.mark.parametrize(
    ("shape", "queue_limit", "steps"),
    [
        (ServiceTime(), 1024, [(200, 60)]),  # at capacity: in the steady state half of the line is full
        (ServiceTime(), 1024, [(100, 20), (199, 60), (201, 60)]),  # it goes on where it was
        pytest.param(GAMMA, 300, [(200, 90)], marks=pytest.mark.slow),
        (ServiceTime(), 20, [(201, 60)]),  # settled within a second: a little too much is no fluid
        (ServiceTime(), 20, [(300, 5), (200, 30)]),
    ],
)
def test_a_line_near_capacity_is_on_its_way_for_long(
    shape: ServiceTime, queue_limit: int, steps: list[tuple[float, int]]
) -> None:
    """Within 3 % beyond three standard errors of the simulation's own, by ten batches of runs."""
    queue = QueueModel(0.01, 2, queue_limit, 4.0, 0.5, 0.99, shape)
    ours, batches = measured(queue, steps), [simulated(queue, steps, 8, seed) for seed in range(0, 80, 8)]
    for name in ("p50", "mean", "p90", "p95", "p99", "blocked", "late", "in_time"):
        of_batches = [batch[name] for batch in batches]
        theirs, noise = float(np.mean(of_batches)), 3 * float(np.std(of_batches, ddof=1)) / math.sqrt(len(batches))
        assert abs(ours[name] - theirs) <= 0.03 * theirs + noise + 1e-3, (name, ours[name], theirs, noise)


def test_hours_at_capacity_come_to_the_steady_state() -> None:
    queue = QueueModel(0.01, 2, 100, 4.0, 0.5, 0.99)
    found = measured(queue, [(200, 200_000)])
    steady = outcome(queue, 200.0)
    assert found["mean"] == pytest.approx(steady.mean_s, rel=1e-3)
    assert found["blocked"] == pytest.approx(steady.blocked, rel=1e-3)
    halves = measured(queue, [(200, 20), (200, 20)])  # the same rate: nothing has changed
    assert halves == pytest.approx(measured(queue, [(200, 40)]), rel=1e-3)


def test_a_line_dies_with_its_pod() -> None:
    queue = QueueModel(0.01, 2, 1024, 15.0, 0.5, 0.99)
    seen = Traffic({"d/web": queue})
    seen.observe(0, "n", "serving", ("d/web-0", "u", 1))
    seen.observe(0, "gw", "route", ("d/web", (("u", 400_000),), 0))
    seen.observe(4 * S, "n", "serving", ("d/web-0", "u", 0))
    seen.observe(4 * S, "gw", "route", ("d/web", (("u", 1_000),), 0))
    seen.observe(5 * S, "n", "serving", ("d/web-0", "u", 1))
    found = seen.metrics(1000 * S)["d/web"]
    assert found["lostBy"]["overload"] == 0
    assert found["latencySeconds"]["p99"] < 5.0  # and only of those that came in the first four seconds
