"""An M/G/c/K queue: requests come at random, service times have any distribution.

With one server this is exact. With several it is Tijms' approximation: as long as a server is free, what is left of the
services in progress is as of independent ones in equilibrium; while all are busy, they work like one server that is c
times as fast. From it follow the probability of each number of requests in the pod, a recursion that also holds in
overload (Tijms, section 9.8.2, after van Hoorn and Tijms), and the wait of those that are let in. That wait is what is
left of the service in progress, which depends on how many came during it, and the services of those before: a sum over
all numbers, in the Fourier domain (Fang and Oosterlee's cosine series brings it back). With several servers what a
simulation finds it to be off by is taken off (`simulated_queue`).

Sources: H. C. Tijms, A First Course in Stochastic Models, 2003, sections 9.6 and 9.8; F. Fang and C. W. Oosterlee,
"A novel pricing method for European options based on Fourier-cosine series expansions", SIAM J. Sci. Comput. 31, 2008.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.measure.queue_model import Outcome, QueueModel, outcome_of
from harness.measure.service_time import Float64, ServiceTime, first_departure, largest, points, survival
from harness.measure.simulated_queue import Simulated, simulate

Complex128 = npt.NDArray[np.complex128]

LOADS: Float64 = np.array(
    sorted(
        {
            round(float(load), 9)
            for part in (
                np.linspace(0.0, 0.7, 71),
                np.linspace(0.7, 0.9, 41),
                np.linspace(0.9, 0.97, 36),
                np.linspace(0.97, 1.03, 121),
                np.linspace(1.03, 1.3, 55),
                np.geomspace(1.3, 20.0, 140),
            )
            for load in part
        }
    )
)
"""Offered load over capacity. Outcomes are computed here and interpolated between; beyond, the line is always full."""

NEVER = 1e-13
"""The probability of a state that is left out."""

TERMS = 512
"""Of the cosine series."""


def general_outcome(model: QueueModel, rate_rps: float) -> Outcome:
    """At a rate of 0 or more."""
    load = rate_rps / model.capacity_rps
    if load >= LOADS[-1]:
        full = _at_load(model, len(LOADS) - 1)
        let_in = (1 - full.blocked) * float(LOADS[-1]) / load
        return outcome_of(model, 1 - let_in, full.busy, full.mean_s, full.tail)
    right = int(np.searchsorted(LOADS, load, side="right"))
    before, after = _at_load(model, right - 1), _at_load(model, right)
    part = (load - float(LOADS[right - 1])) / float(LOADS[right] - LOADS[right - 1])

    def mixed(a: float, b: float) -> float:
        return a + (b - a) * part

    return outcome_of(
        model,
        mixed(before.blocked, after.blocked),
        mixed(before.busy, after.busy),
        mixed(before.mean_s, after.mean_s),
        before.tail + (after.tail - before.tail) * part,
    )


CORRECTED: Float64 = np.array([0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0])
"""Loads at which the approximation of several servers is corrected; none at the first and the last."""


@lru_cache(maxsize=4096)
def _at_load(model: QueueModel, index: int) -> Outcome:
    """The approximation, with what a simulation says of it (simulated_queue) where there are several servers."""
    found, load = approximated(model, index), float(LOADS[index])
    if model.concurrency == 1 or not CORRECTED[0] < load < CORRECTED[-1]:
        return found
    right = int(np.searchsorted(CORRECTED, load, side="right"))
    part = (load - float(CORRECTED[right - 1])) / float(CORRECTED[right] - CORRECTED[right - 1])
    before = _off(model, right - 1)
    after = _off(model, right) if part > 1e-9 else before
    blocked = found.blocked + before.blocked + (after.blocked - before.blocked) * part
    mean = model.service_s + (found.mean_s - model.service_s) * (before.mean + (after.mean - before.mean) * part)
    tail = found.tail + before.tail + (after.tail - before.tail) * part
    blocked = min(max(blocked, 0.0), 1.0)
    tail = np.minimum.accumulate(np.clip(tail, 0.0, 1.0))
    busy = load * model.concurrency * (1 - blocked)
    return outcome_of(model, blocked, min(busy, float(model.concurrency)), mean, tail)


@lru_cache(maxsize=1024)
def _off(model: QueueModel, index: int) -> Simulated:
    """Simulated less approximated; of the mean, the time that is waited over the approximated one."""
    if index in (0, len(CORRECTED) - 1):
        return Simulated(0.0, 1.0, np.zeros_like(model.grid))
    load = float(CORRECTED[index])
    near = int(np.argmin(np.abs(LOADS - load)))
    found = approximated(model, near)
    true = simulate(model, float(LOADS[near]), general_states(model, float(LOADS[near]))[0])
    waits = found.mean_s / model.service_s - 1
    mean = (true.mean - 1) / waits if waits > 1e-3 else 1.0
    return Simulated(true.blocked - found.blocked, mean, true.tail - found.tail)


@lru_cache(maxsize=4096)
def approximated(model: QueueModel, index: int) -> Outcome:
    """Without a correction, at LOADS[index]."""
    own = survival(model.service_time, model.grid / model.service_s)
    if index == 0:
        return outcome_of(model, 0.0, 0.0, model.service_s, own)
    load, c = float(LOADS[index]), model.concurrency
    probabilities, arrivals, first = general_states(model, load)
    full = len(probabilities) == c + model.queue_limit + 1
    blocked = float(probabilities[-1]) if full else 0.0
    found = probabilities[:-1] if full else probabilities
    free, waiting = float(found[:c].sum()), found[c:]
    queue = float(np.arange(len(waiting)) @ waiting) + model.queue_limit * blocked
    busy = load * c * (1 - blocked)
    mean = model.service_s * (1 + queue / busy)
    tail = free * own + _waiting_tail(model, load, found, arrivals, first)
    tail = np.minimum.accumulate(np.clip(tail / (1 - blocked), 0.0, 1.0))
    return outcome_of(model, blocked, busy, mean, tail)


def general_states(model: QueueModel, load: float) -> tuple[Float64, Float64, Float64]:
    """(probability of each number of requests in the pod, from 0 to where it becomes nothing or the line is full; of
    each number of arrivals during a service of the pod at its full rate; the same during the first of a busy time).
    Services at the full rate are 1/concurrency as long."""
    c, top = model.concurrency, model.queue_limit
    levels = np.arange(c)
    logs = levels * math.log(load * c) - np.cumsum(np.log(np.maximum(levels, 1)))
    below = np.exp(logs - logs[-1])  # probabilities over that of c - 1
    begun = below[-1] / below.sum()
    arrivals, first = (_arrivals(model.service_time, c, load, top, of_first=of) for of in (False, True))
    more, more_first = (np.maximum(1.0 - np.cumsum(item), 0.0) for item in (arrivals, first))
    p = np.zeros(top)
    total, size = 1 / begun, top
    for j in range(top):
        p[j] = (more_first[j] + float(more[j:0:-1] @ p[:j])) / arrivals[0]
        total += p[j]
        if total > 1e200:
            below *= 1e-200
            more_first *= 1e-200
            p[: j + 1] *= 1e-200
            total *= 1e-200
        if load < 1 and p[j] < NEVER * total:
            size = j + 1
            break
    last = load * below[-1] + (load - 1) * float(p.sum())
    states = np.concatenate([below, p[:size], [max(last, 0.0)] if size == top else []])
    return states / states.sum(), arrivals[:size], first[:size]


def _arrivals(dist: ServiceTime, c: int, load: float, most: int, *, of_first: bool) -> Float64:
    """P(i arrivals during a service at the full rate), i < most; `of_first`: of the first of a busy time."""
    from scipy.special import gammaln

    at, weights = first_departure(dist, c) if of_first else points(dist)
    come = at * load * (c if of_first else 1)
    out = np.zeros(most)
    zero = 0.0
    if not come[0]:
        zero, come, weights = float(weights[0]), come[1:], weights[1:]
    for begin in range(0, most, 64):
        i = np.arange(begin, min(begin + 64, most))
        logs = i[:, None] * np.log(come)[None, :] - come[None, :] - gammaln(i + 1)[:, None]
        out[begin : begin + 64] = np.exp(logs) @ weights
        if begin > come[-1] and out[begin] < 1e-18:
            break
    out[0] += zero
    return out


def _waiting_tail(model: QueueModel, load: float, found: Float64, arrivals: Float64, first: Float64) -> Float64:
    """P(has to wait, is let in, and takes longer than t) over the grid. Times in services at the full rate."""
    c, dist = model.concurrency, model.service_time
    p, begun = found[c:], float(found[c - 1])
    size = len(p)
    ahead = int(np.argmax(np.cumsum(p[::-1]) > 1e-7 * max(float(p.sum()), 1e-300)))
    deepest = size - ahead + 1
    longest = deepest + 6 * math.sqrt(deepest) * max(dist.variation, 0.2) + c * largest(dist, 1e-6)
    span = 2.0 ** (math.ceil(2 * math.log2(longest)) / 2)
    frequencies, service, of_first, own = _transforms(dist, c, span)
    pole = 1 / (load + 1j * frequencies)
    left = (service - arrivals[0]) * pole  # of the service in progress, with no arrival during it so far
    left_first = (of_first - first[0]) * pole
    power = np.ones_like(service)
    upto, upto_first = left.copy(), left_first.copy()
    reached = p[size - 1] * upto
    rest = np.cumsum(p)[::-1]
    settled = False  # more arrivals than this do not come during one service
    for i in range(1, size):
        if rest[i] < NEVER:  # nor is the line ever as short
            reached *= service ** (size - i)
            upto_first *= 0.0
            break
        if not settled:
            left = (load * left - arrivals[i]) * pole
            left_first = (load * left_first - first[i]) * pole
            power = power * service
            upto = upto + left * power
            upto_first = upto_first + left_first * power
            settled = max(arrivals[i : i + 64].max(), first[i : i + 64].max()) < 1e-16 and i > 64
        reached *= service
        reached += p[size - 1 - i] * upto
    density = load * (reached + begun * upto_first) * own
    # The cosine series of the density, integrated up to t; one term less than nothing beyond the span.
    t = np.minimum(model.grid * (c / model.service_s), span)
    waves = np.sin(np.outer(t, frequencies[1:])) / frequencies[1:]
    upto_t = (t * density[0].real + 2 * waves @ density[1:].real) / span
    return np.asarray(float(p.sum()) - upto_t)


@lru_cache(maxsize=256)
def _transforms(dist: ServiceTime, c: int, span: float) -> tuple[Float64, Complex128, Complex128, Complex128]:
    """(frequencies of the cosine series over the span; E exp(i w X) of a service at the full rate, of the first of a
    busy time, and of a request's own service)."""
    terms = TERMS if span < 100 * c else 2 * TERMS
    frequencies: Float64 = np.arange(terms, dtype=np.float64) * (math.pi / span)
    at, weights = points(dist)
    first_at, first_weights = first_departure(dist, c)

    def transform(values: Float64, shares: Float64) -> Complex128:
        return np.asarray(np.exp(1j * np.outer(frequencies, values)) @ shares)

    return frequencies, transform(at, weights), transform(first_at * c, first_weights), transform(at * c, weights)
