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

MORE_WARM, SETTLING_LINE = 24, 128
"""Requests that do not count for each that may wait, as a line takes its length to settle; up to lines of this length,
as longer ones would not have settled either."""

FILLING = 4
"""Requests to each server of an empty pod after which all have begun to work."""

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
    rng = np.random.Generator(np.random.PCG64(SEED))
    copies = min(COPIES, COPIES * COPIES // model.queue_limit)
    queues = _Queues(model, load, copies, rng)
    queues.begin(states)
    line = model.queue_limit
    for _ in range(max(WARM, MORE_WARM * line) if line <= SETTLING_LINE else WARM):
        queues.arrive()
    edges = model.grid / model.service_s
    counts = np.zeros(len(edges) + 1, dtype=np.int64)
    total, blocked = 0.0, 0
    for _ in range(COUNTED * COPIES // copies):
        latency, there = queues.arrive()
        latency = latency[there]
        counts += np.bincount(np.searchsorted(edges, latency * EXACT, side="left"), minlength=len(counts))
        total += float(latency.sum())
        blocked += copies - len(latency)
    served = int(counts.sum())
    return Simulated(blocked / (blocked + served), total / served, 1.0 - np.cumsum(counts)[:-1] / served)


class _Queues:
    """Copies of one queue, each with its own requests."""

    def __init__(self, model: QueueModel, load: float, copies: int, rng: np.random.Generator) -> None:
        c, line = model.concurrency, model.queue_limit
        self.model, self.rng, self.gap = model, rng, 1 / (load * c)
        self.now = np.zeros(copies)
        self.free = np.zeros((copies, c))  # when each server is free again
        self.ring = np.full((copies, line), -1.0)  # when each of those let in last began
        self.let_in = np.zeros(copies, dtype=np.int64)
        self.rows = np.arange(copies)

    def begin(self, states: Float64) -> None:
        c, line = self.model.concurrency, self.model.queue_limit
        shape = (len(self.rows), c)
        evenly = self.rng.permutation(len(self.rows)) + 0.5  # not at random: a long line keeps how it began
        there = np.searchsorted(np.cumsum(states / states.sum()), evenly / len(self.rows)).clip(0, c + line)
        if self.model.service_time.kind == "deterministic":
            # As long as all servers are busy each begins at the same phase again and again: the one that it began at.
            for _ in range(FILLING * c):
                self.arrive()
        else:
            busy = np.arange(c)[None, :] < there[:, None]
            self.free = np.where(busy, _left(self.model.service_time, shape, self.rng), 0.0)
        waiting = (self.ring > self.now[:, None]).sum(axis=1)
        for place in range(int((there - c - waiting).clip(0).max())):
            waits = self.rows[there - c - waiting > place]
            server = self.free[waits].argmin(axis=1)
            start = np.maximum(self.free[waits, server], self.now[waits])
            self.free[waits, server] = start + draw(self.model.service_time, len(waits), self.rng)
            self.ring[waits, self.let_in[waits] % line] = start
            self.let_in[waits] += 1

    def arrive(self) -> tuple[Float64, np.typing.NDArray[np.bool_]]:
        """One request to each: (its latency, whether it is let in)."""
        rows, copies = self.rows, len(self.rows)
        self.now += self.rng.exponential(1.0, copies) * self.gap
        takes = draw(self.model.service_time, copies, self.rng)
        place = self.let_in % self.model.queue_limit
        there = self.ring[rows, place] <= self.now  # else who came so many before has not begun: all places are taken
        server = self.free.argmin(axis=1)
        start = np.maximum(self.free[rows, server], self.now)
        self.free[rows[there], server[there]] = (start + takes)[there]
        self.ring[rows[there], place[there]] = start[there]
        self.let_in += there
        return start + takes - self.now, there


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
