"""A pod of a service as a queue, and what becomes of requests that come at one rate: the words of `queueing`."""

from __future__ import annotations

import math
from functools import cache

import msgspec
import numpy as np
import numpy.typing as npt

from harness.measure.service_time import EXPONENTIAL, ServiceTime, points

Float64 = npt.NDArray[np.float64]

STEP, FINE_STEP = 1.05, 1.01
"""Ratio of neighbouring points of the grid of latencies; between them the logarithm of the tail is interpolated. Fine,
from half a service time on, where service times are not exponential: their tails may fall within few per cent."""

MOST_STEPS = 200
"""Of different service times; each makes the tail jump, so each has its place in the grid. As many lengths of the
line of a pod whose services all take equally long."""


class QueueModel(msgspec.Struct, frozen=True):
    """One pod of a service. `slo_s`: a request is in time when it is answered within; `objective`: the share that must
    be (0..1)."""

    service_s: float
    concurrency: int
    queue_limit: int
    timeout_s: float
    slo_s: float
    objective: float
    service_time: ServiceTime = EXPONENTIAL

    @property
    def capacity_rps(self) -> float:
        """What it can answer at most."""
        return self.concurrency / self.service_s

    @property
    def grid(self) -> Float64:
        """Latencies in seconds, rising; the timeout and the objective's are among them."""
        return _grid(self)


class Outcome(msgspec.Struct, frozen=True, eq=False):
    """Of requests that come at one rate. Shares of all: `blocked` found the line full, `late` were given up by their
    client, `in_time` met the SLO. `tail`: share of those let in that take longer than each point of the grid."""

    blocked: float
    late: float
    in_time: float
    busy: float  # servers, on average
    mean_s: float  # of those let in
    tail: Float64


def outcome_of(model: QueueModel, blocked: float, busy: float, mean_s: float, tail: Float64) -> Outcome:
    """With the shares that follow from the tail."""
    grid = model.grid
    over, slow = (float(tail[np.searchsorted(grid, at)]) for at in (model.timeout_s, model.slo_s))
    return Outcome(blocked, (1 - blocked) * over, (1 - blocked) * (1 - max(over, slow)), busy, mean_s, tail)


@cache
def _grid(model: QueueModel) -> Float64:
    """From a thousandth of a service time to beyond all that can be."""
    most = 3 * (model.service_s * (model.queue_limit / model.concurrency + 10) + model.timeout_s + model.slo_s)
    grid = np.geomspace(model.service_s / 1000, most, math.ceil(math.log(most / model.service_s * 1000, STEP)))
    extra = [np.array([model.timeout_s, model.slo_s])]
    if model.service_time.kind != "exponential":
        extra.append(
            np.geomspace(model.service_s / 2, most, math.ceil(math.log(2 * most / model.service_s, FINE_STEP)))
        )
    if model.service_time.kind in ("deterministic", "samples"):
        steps = points(model.service_time)[0] * model.service_s
        if len(steps) <= MOST_STEPS:
            extra += [steps * (1 - 1e-9), steps]
    if model.service_time.kind == "deterministic":  # the line moves in steps, too
        in_line = np.arange(1, min(model.queue_limit, MOST_STEPS) + 1)
        extra.append(model.service_s * (1 + in_line / model.concurrency))
    return np.unique(np.concatenate([grid, *extra]))
