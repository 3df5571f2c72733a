"""How long requests wait in a pod, and how many are lost: a queue with several servers, a finite line, and clients who
give up.

Requests come to a pod at random (Poisson), `concurrency` are worked on at once, each for a time of `service_s` on
average, `queue_limit` more may wait, and what comes then is turned away. A client gives up after `timeout_s`; the pod,
which does not know, works on. All of it in closed form, so a request rate costs no more to look at than any other.
This is the steady state of a rate; how a line fills in overload and empties afterwards is in `passage`.

Exponential service times are here (M/M/c/K), all others in `general_queue` (M/G/c/K).

Source: Kleinrock, Queueing Systems I, 1975, section 3 (M/M/m/K); Gross and Harris, Fundamentals of Queueing Theory, for
the waiting time of those who are let in.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np

from harness.measure.general_queue import general_outcome
from harness.measure.queue_model import Outcome, QueueModel, outcome_of
from harness.measure.service_time import Float64


def outcome(model: QueueModel, rate_rps: float) -> Outcome:
    """At a rate of 0 or more; remembered."""
    return _outcome(model, float(f"{rate_rps:.4g}"))


@lru_cache(maxsize=4096)
def _outcome(model: QueueModel, rate: float) -> Outcome:
    if model.service_time.kind != "exponential":
        return general_outcome(model, rate)
    probabilities = states(model, rate)
    c = model.concurrency
    blocked = float(probabilities[-1])
    let_in = probabilities[:-1] / max(1.0 - blocked, 1e-300)
    free, waiting = float(let_in[:c].sum()), let_in[c:]
    grid = model.grid
    tail = free * np.exp(-grid / model.service_s) + _tails(model) @ waiting
    tail = np.clip(tail, 0.0, 1.0)
    queue = float(np.arange(len(waiting)) @ probabilities[c:-1]) + model.queue_limit * blocked
    busy = float(np.minimum(np.arange(len(probabilities)), c) @ probabilities)
    mean = model.service_s + (queue / (rate * (1.0 - blocked)) if rate and blocked < 1.0 else 0.0)
    return outcome_of(model, blocked, busy, mean, tail)


def states(model: QueueModel, rate: float) -> Float64:
    """The steady state: the probability of each number of requests in the pod, 0 to concurrency + queue_limit."""
    c, top = model.concurrency, model.concurrency + model.queue_limit
    if rate <= 0:
        out = np.zeros(top + 1)
        out[0] = 1.0
        return out
    n = np.arange(1, top + 1)
    steps = math.log(rate * model.service_s) - np.log(np.minimum(n, c))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


@cache
def _tails(model: QueueModel) -> Float64:
    """P(longer than t) of one that finds j waiting before it (all servers busy), float64 [grid, queue_limit]: it waits
    for j + 1 services at the pod's full rate, and then has its own."""
    from scipy.special import gammainc, gammaincc, gammaln

    c, k = model.concurrency, model.queue_limit
    t = model.grid
    own, full = 1.0 / model.service_s, c / model.service_s
    if c == 1:
        return np.asarray(gammaincc(np.arange(k)[None, :] + 2, (full * t)[:, None]))
    # I_j: the wait (Erlang of j stages) is over by t and the service is not. Backwards, where errors shrink:
    # I_j = (1 - 1/c) I_{j+1} + (full t)^j e^(-full t) / j!
    out = np.empty((len(t), k))
    j = np.arange(k + 1)
    pmf = np.exp(np.log(full * t)[:, None] * j[None, :] - (full * t)[:, None] - gammaln(j + 1)[None, :])
    reached = gammainc(k + 1, (full - own) * t)
    with np.errstate(divide="ignore"):
        logs = (k + 1) * math.log(c / (c - 1)) - own * t + np.log(reached)
    still = np.where(reached > 0, np.exp(np.minimum(logs, 0.0)), 0.0)
    for stages in range(k, 0, -1):
        if stages < k + 1:
            still = (1 - 1 / c) * still + pmf[:, stages]
        out[:, stages - 1] = gammaincc(stages, full * t) + still
    return out


def most_in_time(model: QueueModel) -> float:
    """The highest rate (requests per second) of which the objective's share is answered in time; 0 where none is."""
    return _most_in_time(model)


def meets_objective(model: QueueModel) -> bool:
    """Whether there is a rate at which the objective's share is answered in time: next to nothing, a millionth of the
    capacity, is looked at. What that rate is at most takes seconds to reckon (`most_in_time`)."""
    return outcome(model, model.capacity_rps * 1e-6).in_time >= model.objective


@cache
def _most_in_time(model: QueueModel) -> float:
    if _outcome(model, 0.0).in_time < model.objective:
        return 0.0
    low, high = 0.0, model.capacity_rps * 2
    for _ in range(50):
        middle = (low + high) / 2
        if _outcome(model, middle).in_time >= model.objective:
            low = middle
        else:
            high = middle
    return low


def quantile(model: QueueModel, tail: Float64, share: float) -> float:
    """The latency that a share (0..1) of requests stays within, in seconds, of a mixture's tail over the grid."""
    grid = model.grid
    above = 1.0 - share
    index = int(np.searchsorted(-tail, -above, side="left"))
    if index == 0:
        return float(grid[0])
    if index >= len(grid):
        return float(grid[-1])
    before, after = float(tail[index - 1]), float(tail[index])
    if before <= after:
        return float(grid[index])
    part = math.log(before / above) / math.log(before / after) if after > 0 else (before - above) / before
    return float(grid[index - 1] + (grid[index] - grid[index - 1]) * part)
