"""How far the approximation of several servers is off, found by simulating the queue once for a model and load.

Many copies of a pod's queue go on side by side, request by request, each from a state drawn from the approximation
itself: what is simulated is only how that is to be corrected, so that a line too long to settle in the time that is
simulated keeps the approximation's. The random numbers are the same for every load and in every run.

Source of the recursion (the server that is free first): Kiefer and Wolfowitz, "On the theory of queues with many
servers", Trans. AMS 78, 1955; of common random numbers: Law, Simulation Modeling and Analysis, 2015, section 11.2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from harness.measure.queue_model import QueueModel
from harness.measure.service_time import Float64, ServiceTime, points

COPIES, WARM, COUNTED = 1024, 600, 2000
"""Queues side by side, fewer where lines are longer than that; requests to each that do not count, and that do."""

EXACT = 1 - 5e-10
"""Times are sums of floats: one that stands in the grid counts as no longer than its point there."""

SEED = 20_040_219


class Simulated(NamedTuple):
    """`tail`: share of those let in that take longer than each point of the model's grid; `mean` in services."""

    blocked: float
    mean: float
    tail: Float64


def simulate(model: QueueModel, load: float, states: Float64) -> Simulated:
    """`states`: probability of each number of requests in the pod, to begin with. Times in services."""
    c, line = model.concurrency, model.queue_limit
    rng = np.random.Generator(np.random.PCG64(SEED))
    copies = min(COPIES, COPIES * COPIES // line)
    steps = WARM + COUNTED * COPIES // copies
    free, ring, let_in = _begin(model, states, copies, rng)
    rows = np.arange(copies)
    edges = model.grid / model.service_s
    counts = np.zeros(len(edges) + 1, dtype=np.int64)
    now, total, blocked = np.zeros(copies), 0.0, 0
    for step in range(steps):
        now = now + rng.exponential(1.0, copies) / (load * c)
        takes = draw(model.service_time, copies, rng)
        full = ring[rows, let_in % line] > now  # who came so many before has not begun: all places are taken
        server = free.argmin(axis=1)
        start = np.maximum(free[rows, server], now)
        there = ~full
        free[rows[there], server[there]] = (start + takes)[there]
        ring[rows[there], let_in[there] % line] = start[there]
        let_in += there
        if step >= WARM:
            latency = (start + takes - now)[there]
            counts += np.bincount(np.searchsorted(edges, latency * EXACT, side="left"), minlength=len(counts))
            total += float(latency.sum())
            blocked += int(full.sum())
    served = int(counts.sum())
    return Simulated(blocked / (blocked + served), total / served, 1.0 - np.cumsum(counts)[:-1] / served)


def _begin(
    model: QueueModel, states: Float64, copies: int, rng: np.random.Generator
) -> tuple[Float64, Float64, np.typing.NDArray[np.int64]]:
    """(when each server is free, when each of those let in last began, how many those are) at instant 0."""
    c, line = model.concurrency, model.queue_limit
    there = np.searchsorted(np.cumsum(states / states.sum()), rng.random(copies)).clip(0, c + line)
    left = _left(model.service_time, (copies, c), rng)
    free = np.where(np.arange(c)[None, :] < there[:, None], left, 0.0)
    ring = np.full((copies, line), -1.0)
    let_in = np.zeros(copies, dtype=np.int64)
    rows = np.arange(copies)
    for place in range(int((there - c).clip(0).max())):
        waits = rows[there - c > place]
        server = free[waits].argmin(axis=1)
        start = free[waits, server]
        free[waits, server] = start + draw(model.service_time, len(waits), rng)
        ring[waits, let_in[waits] % line] = start
        let_in[waits] += 1
    return free, ring, let_in


def draw(dist: ServiceTime, count: int, rng: np.random.Generator) -> Float64:
    """Service times of mean 1."""
    if dist.kind == "deterministic":
        return np.ones(count)
    if dist.kind == "gamma":
        return rng.gamma(dist.cv**-2, dist.cv**2, count)
    if dist.kind == "lognormal":
        sigma = math.sqrt(math.log1p(dist.cv**2))
        return rng.lognormal(-(sigma**2) / 2, sigma, count)
    at, weights = points(dist)
    return np.asarray(rng.choice(at, count, p=weights / weights.sum()))


def _left(dist: ServiceTime, shape: tuple[int, int], rng: np.random.Generator) -> Float64:
    """What is left of services in progress: a part of one that was drawn with its length as weight."""
    at, weights = points(dist)
    longer = at * weights
    return np.asarray(rng.choice(at, shape, p=longer / longer.sum()) * rng.random(shape))
