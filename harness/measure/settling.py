"""A pod's line near capacity: how it spreads, step by step, towards the steady state that it would have after hours.

Near capacity the line wanders like a random walk between empty and full, and forgets where it began only after about
the square of its length: at a load of 1, a queue limit of 1024 and 200 requests a second that takes half an hour. So
the line of such a pod is a distribution, which a step takes from its beginning to its end; what requests meet is its
average over the step. Away from capacity a line settles within seconds, or grows as a fluid does (`passage`).

Source: the diffusion approximation, Kleinrock, Queueing Systems II, 1976, section 2.9 (reflected Brownian motion);
Scharfetter and Gummel, "Large-signal analysis of a silicon Read diode oscillator", IEEE Trans. ED 16, 1969, for the
walk between cells whose steady state is that of the diffusion.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import msgspec
import numpy as np

from harness.measure.queue_model import Outcome, QueueModel, outcome_of
from harness.measure.service_time import Float64, survival

CELLS = 128
"""Of the line at most, from empty to full."""

NEAR = 30.0
"""A steady state that falls by less than e^NEAR along the line is near capacity."""

SETTLED = 100.0
"""So many times the time in which the slowest part of it fades, and a step is in the steady state."""


class Settling(msgspec.Struct, frozen=True):
    """`rate_rps` for `seconds`, of a line that is so likely in each cell at first (float64, as bytes)."""

    rate_rps: float
    seconds: float
    first: bytes


def near_capacity(model: QueueModel, rate_rps: float) -> bool:
    """Whether a line is a random walk rather than a fluid."""
    drift, spread = _walk(model, rate_rps)
    return 2 * abs(drift) * model.queue_limit < NEAR * spread


def settles(model: QueueModel, rate_rps: float, seconds: float) -> bool:
    """Whether a line near capacity is on its way for a good part of such a step."""
    drift, spread = _walk(model, rate_rps)
    fades = drift**2 / (2 * spread) + math.pi**2 * spread / (2 * model.queue_limit**2)
    return fades * seconds < SETTLED


def settled_line(model: QueueModel, rate_rps: float) -> bytes:
    """The distribution of the line in the steady state."""
    return bytes(_settled(model, rate_rps).tobytes())


def cell_levels(model: QueueModel) -> Float64:
    """Requests in line in each cell."""
    return np.linspace(0.0, model.queue_limit, min(CELLS, model.queue_limit) + 1)


def distribution(model: QueueModel, line: float) -> bytes:
    """A line of so many requests: shared between the two cells beside it."""
    levels = cell_levels(model)
    right = int(np.searchsorted(levels, line, side="left").clip(1, len(levels) - 1))
    part = (line - levels[right - 1]) / (levels[right] - levels[right - 1])
    out = np.zeros(len(levels))
    out[right - 1], out[right] = 1 - part, part
    return out.tobytes()


def mean_line(model: QueueModel, line: bytes) -> float:
    return float(np.frombuffer(line) @ cell_levels(model))


@lru_cache(maxsize=4096)
def line_after(model: QueueModel, of: Settling) -> bytes:
    """The distribution of the line at the end."""
    modes, scale, fades, _ = _modes(model, of.rate_rps)
    at_first = modes.T @ (np.frombuffer(of.first) / scale)
    last = scale * (modes @ (np.exp(fades * of.seconds) * at_first))
    last = np.maximum(last, 0.0)
    return bytes((last / last.sum()).tobytes())


@lru_cache(maxsize=4096)
def settling_outcome(model: QueueModel, of: Settling, steady: Outcome) -> Outcome:
    """`steady`: at the same rate; what is made of it is its difference to the average over the step."""
    modes, scale, fades, settled = _modes(model, of.rate_rps)
    at_first = modes.T @ (np.frombuffer(of.first) / scale)
    x = fades * of.seconds
    kept = np.where(x > -1e-9, 1.0, -np.expm1(x) / np.where(x > -1e-9, 1.0, -x))  # of each mode, on average
    average = np.maximum(scale * (modes @ (kept * at_first)), 0.0)
    average /= average.sum()
    other = average - settled
    blocked = min(1.0, steady.blocked * float(average[-1] / settled[-1]))
    idle = (model.concurrency - steady.busy) * float(average[0] / settled[0])
    tail = np.minimum.accumulate(np.clip(steady.tail + _tails(model) @ other, 0.0, 1.0))
    mean = steady.mean_s + float(other @ cell_levels(model)) / model.capacity_rps
    busy = min(max(model.concurrency - idle, 0.0), float(model.concurrency))
    return outcome_of(model, blocked, busy, max(mean, model.service_s), tail)


def _walk(model: QueueModel, rate_rps: float) -> tuple[float, float]:
    """(how fast the line grows on average, the variance that it gains in a second)."""
    capacity = model.capacity_rps
    return rate_rps - capacity, rate_rps + capacity * _variation(model) ** 2


@cache
def _variation(model: QueueModel) -> float:
    return model.service_time.variation


@lru_cache(maxsize=256)
def _settled(model: QueueModel, rate_rps: float) -> Float64:
    drift, spread = _walk(model, rate_rps)
    logs = 2 * drift / spread * cell_levels(model)
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=256)
def _modes(model: QueueModel, rate_rps: float) -> tuple[Float64, Float64, Float64, Float64]:
    """(orthonormal modes of the walk, as columns; what makes a distribution symmetric; how fast each mode fades, as a
    negative rate; the steady state)."""
    from scipy.linalg import eigh_tridiagonal

    drift, spread = _walk(model, rate_rps)
    settled = _settled(model, rate_rps)
    width = float(cell_levels(model)[1])
    tilt = 2 * drift * width / spread  # logarithm of up over down
    up = spread / (2 * width**2) * (tilt / -math.expm1(-tilt) if abs(tilt) > 1e-9 else 1.0)
    down = up * math.exp(-tilt)
    diagonal = np.full(len(settled), -(up + down))
    diagonal[0], diagonal[-1] = -up, -down
    fades, modes = eigh_tridiagonal(diagonal, np.full(len(settled) - 1, math.sqrt(up * down)))
    return modes, np.sqrt(settled), np.minimum(fades, 0.0), settled


@cache
def _tails(model: QueueModel) -> Float64:
    """P(longer than t) behind a line as of each cell, float64 [grid, cells]: it is worked off at the full rate."""
    wait = cell_levels(model)[None, :] / model.capacity_rps
    left = (model.grid[:, None] - wait) / model.service_s
    return np.where(left < 0, 1.0, survival(model.service_time, left))
