"""A pod's line on its way: while it fills in overload, and while it empties afterwards.

In overload the line grows as requests come faster than they are answered, until it is full; when less comes it shrinks
in the same way. So what comes meanwhile waits for as long as the line before it takes: evenly spread from what the wait
was at first to what it is at last. Source: the fluid approximation, Kleinrock, Queueing Systems II, 1976, section 2.7;
Newell, Applications of Queueing Theory, 1982, chapter 2.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np

from harness.measure.queue_model import Outcome, QueueModel, outcome_of
from harness.measure.service_time import points, survival


class Passage(msgspec.Struct, frozen=True):
    """`rate_rps` for `seconds`, of whom the first waits `first_s` and the last `last_s`."""

    rate_rps: float
    seconds: float
    first_s: float
    last_s: float


def passage(model: QueueModel, line: float, rate_rps: float, seconds: float) -> tuple[Passage | None, float]:
    """(what comes until the line stands still: full in overload, else empty; the line at the end), from a line of so
    many requests on."""
    grows = rate_rps - model.capacity_rps
    goal = float(model.queue_limit) if grows > 0 else 0.0
    if line == goal:
        return None, line
    lasts = seconds if grows == 0 else min(seconds, (goal - line) / grows)
    end = goal if lasts < seconds else line + grows * lasts
    return Passage(rate_rps, lasts, line / model.capacity_rps, end / model.capacity_rps), end


@lru_cache(maxsize=4096)
def passage_outcome(model: QueueModel, of: Passage) -> Outcome:
    """All are let in."""
    low, high = sorted((of.first_s, of.last_s))
    if high - low < 1e-3 * model.service_s:
        tail = survival(model.service_time, (model.grid - high) / model.service_s)
    else:
        takes, weights = points(model.service_time)
        left = (high + takes[None, :] * model.service_s - model.grid[:, None]) / (high - low)
        tail = np.clip(left, 0.0, 1.0) @ weights
    return outcome_of(model, 0.0, float(model.concurrency), (low + high) / 2 + model.service_s, tail)
